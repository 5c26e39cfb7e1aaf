from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
)

from pytest_binance_replay.cassette import Batch, Mark
from pytest_binance_replay.catalogue import Catalogue, Routes
from pytest_binance_replay.client import Client
from pytest_binance_replay.errors import CassetteFormatError
from pytest_binance_replay.hub import MAX_STREAMS, HangUp, Hub, Outgoing, Say
from pytest_binance_replay.journal import ClientRequest, Missing, Reason, RestRequest
from pytest_binance_replay.protocols.address import Address, Refusal, parse_address
from pytest_binance_replay.streams import Market
from pytest_binance_replay.tape import SEAM, Tape
from pytest_binance_replay.wire import Block

OK = '{"result":null,"id":1}'
INVALID_DATA = '{"error":"Invalid data"}'
REFUSED = HangUp(1008, "Invalid request")
BTC, ETH, DEPTH = "btcusdt@trade", "ethusdt@trade", "btcusdt@depth"


class Shelf:
    """A store of blocks in memory."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []

    def put(self, block: Block) -> None:
        self.blocks.append(block)

    def get(self, number: int) -> Block:
        return next(b for b in self.blocks if b.first <= number < b.end)

    def clear(self) -> None:
        self.blocks.clear()


def trade(number: int, symbol: str = "BTCUSDT") -> bytes:
    return (
        f'{{"e":"trade","E":{1795168800000 + number},"s":"{symbol}","t":{number},'
        f'"p":"1.10","q":"2","T":{1795168800000 + number},"m":true,"M":true}}'
    ).encode()


def make_tape(frames: Iterable[tuple[str, bytes]], size: int = 100) -> Tape:
    """Lay frames on a tape, a microsecond apart, some to a block."""
    rows = [(n, key.encode(), payload) for n, (key, payload) in enumerate(frames)]

    def batches() -> Iterator[Batch]:
        for start in range(0, len(rows), size):
            times, keys, payloads = zip(*rows[start : start + size], strict=True)
            yield Batch(list(times), list(keys), list(payloads), [])

    return Tape(batches, Shelf())


def make_hub(
    *streams: str,
    market: Market = "spot",
    routes: Routes = "live",
    frames: Iterable[str] = (),
    size: int = 100,
) -> Hub:
    """Make a hub whose catalogue has some streams, and whose tape some frames."""
    rows = [(name, trade(n)) for n, name in enumerate(frames)]
    catalogue = Catalogue({market: set(streams)}, {market: routes})
    return Hub(make_tape(rows, size), catalogue)


def both_markets() -> Hub:
    rows = [("spot/btcusdt@trade", b'"spot"'), ("usdm/btcusdt@trade", b'"usdm"')]
    return Hub(make_tape(rows), Catalogue({"spot": {BTC}, "usdm": {BTC}}))


def connect(hub: Hub, target: str) -> Client:
    address = parse_address(target)
    assert isinstance(address, Address)
    return hub.accept(address, target)


def refusal(hub: Hub, target: str) -> Refusal | None:
    address = parse_address(target)
    assert isinstance(address, Address)
    return hub.refusal(address)


def ask(method: str, *params: object, request_id: object = 1) -> str:
    return json.dumps({"method": method, "params": params, "id": request_id})


def simple(pair: str, stream: str = "trade", *, action: str = "subscribe") -> str:
    return json.dumps({"action": action, "pair": pair, "stream": stream})


def say(hub: Hub, client: Client, message: str) -> str:
    """Send a message that has one reply and no other effect on the connection."""
    (reply,) = hub.receive(client, message)
    assert isinstance(reply, Say)
    return reply.text


def listed(hub: Hub, client: Client) -> list[str]:
    names: list[str] = json.loads(say(hub, client, ask("LIST_SUBSCRIPTIONS")))["result"]
    return names


def release(hub: Hub, count: int = 1) -> None:
    for _ in range(count):
        hub.tape.release(hub.tape.released + 1)


def deliver(hub: Hub, client: Client, *, now_us: int = 0) -> list[bytes]:
    """Hand a client all that was released, as the server does; return the texts."""
    data = b""
    while client.cursor < hub.tape.released:
        if not client.view.keys:
            client.cursor = hub.tape.released
            break
        block = hub.tape.block_at(client.cursor)
        start = client.cursor - block.first
        stop = min(hub.tape.released, block.end) - block.first
        data += block.wire(client.view).cut(start, stop)
        client.note_passed(block, start, stop, now_us)
        client.cursor = block.first + stop
    return list(texts(data))


def texts(data: bytes) -> Iterator[bytes]:
    """Take the texts out of WebSocket frames of less than 64 KiB."""
    while data:
        assert data[0] == 0x81
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        yield data[start : start + size]
        data = data[start + size :]


# Subscribing


def test_a_subscription_is_acknowledged_and_listed() -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/ws")
    assert say(hub, client, ask("SUBSCRIBE", BTC)) == OK
    assert listed(hub, client) == [BTC]


def test_a_connection_without_streams_lists_none() -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/ws")
    reply = say(hub, client, ask("LIST_SUBSCRIPTIONS", request_id="a"))
    assert reply == '{"result":[],"id":"a"}'


def test_subscriptions_are_listed_in_their_order_exactly_as_sent() -> None:
    hub = make_hub(ETH, BTC, market="usdm")
    client = connect(hub, f"/ws/{ETH}/{BTC}")
    odd = ["nosuch@trade", "BTCUSDT@trade", "btcusdt@markPrice"]
    assert say(hub, client, ask("SUBSCRIBE", *odd)) == OK
    assert listed(hub, client) == [ETH, BTC, *odd]


def test_a_stream_subscribed_twice_keeps_its_first_place() -> None:
    hub = make_hub(BTC, ETH, frames=[BTC])
    client = connect(hub, "/ws")
    assert say(hub, client, ask("SUBSCRIBE", BTC, ETH, BTC)) == OK
    assert say(hub, client, ask("SUBSCRIBE", ETH, BTC)) == OK
    assert listed(hub, client) == [BTC, ETH]
    release(hub)
    assert deliver(hub, client) == [trade(0)]


def test_streams_of_the_address_and_of_subscribe_are_one_set() -> None:
    hub = make_hub(BTC, ETH)
    client = connect(hub, f"/ws/{BTC}")
    say(hub, client, ask("SUBSCRIBE", ETH))
    assert say(hub, client, ask("UNSUBSCRIBE", BTC)) == OK
    assert listed(hub, client) == [ETH]


def test_an_unsubscribed_stream_comes_back_at_the_end_of_the_list() -> None:
    hub = make_hub(BTC, ETH)
    client = connect(hub, f"/ws/{BTC}/{ETH}")
    say(hub, client, ask("UNSUBSCRIBE", BTC))
    say(hub, client, ask("SUBSCRIBE", BTC))
    assert listed(hub, client) == [ETH, BTC]


def test_unsubscribing_what_is_not_subscribed_is_acknowledged() -> None:
    hub = make_hub(BTC)
    client = connect(hub, f"/ws/{BTC}")
    assert say(hub, client, ask("UNSUBSCRIBE", "nosuch@trade")) == OK
    assert listed(hub, client) == [BTC]
    assert not hub.missing


@pytest.mark.parametrize("method", ["SUBSCRIBE", "UNSUBSCRIBE"])
def test_a_request_for_nothing_is_acknowledged_without_effect(method: str) -> None:
    hub = make_hub(BTC)
    client = connect(hub, f"/ws/{BTC}")
    assert say(hub, client, ask(method)) == OK
    assert listed(hub, client) == [BTC]


def test_after_unsubscribing_no_frame_of_the_stream_follows() -> None:
    hub = make_hub(BTC, ETH, frames=[BTC, ETH, BTC])
    client = connect(hub, f"/ws/{BTC}/{ETH}")
    release(hub)
    assert deliver(hub, client) == [trade(0)]
    say(hub, client, ask("UNSUBSCRIBE", BTC))
    release(hub, 2)
    assert deliver(hub, client) == [trade(1)]


def test_a_subscription_brings_no_history() -> None:
    hub = make_hub(BTC, frames=[BTC, BTC])
    client = connect(hub, "/ws")
    release(hub)
    say(hub, client, ask("SUBSCRIBE", BTC))
    release(hub)
    assert deliver(hub, client) == [trade(1)]


def test_a_connection_stays_open_without_its_last_stream() -> None:
    hub = make_hub(BTC)
    client = connect(hub, f"/ws/{BTC}")
    assert say(hub, client, ask("UNSUBSCRIBE", BTC)) == OK
    assert client.connected
    assert hub.listeners() == []


def test_connections_keep_subscriptions_of_their_own() -> None:
    hub = make_hub(BTC, ETH, frames=[BTC, ETH])
    one, two = connect(hub, f"/ws/{BTC}"), connect(hub, f"/ws/{ETH}")
    release(hub, 2)
    assert (deliver(hub, one), deliver(hub, two)) == ([trade(0)], [trade(1)])


def test_streams_up_to_the_limit_are_taken() -> None:
    hub = make_hub()
    client = connect(hub, "/ws")
    names = [f"s{n}@trade" for n in range(MAX_STREAMS)]
    assert say(hub, client, ask("SUBSCRIBE", *names)) == OK
    assert say(hub, client, ask("SUBSCRIBE", *names)) == OK
    assert listed(hub, client) == names


def test_of_too_many_streams_none_is_added() -> None:
    hub = make_hub()
    client = connect(hub, "/ws/first@trade")
    names = [f"s{n}@trade" for n in range(MAX_STREAMS)]
    reply = say(hub, client, ask("SUBSCRIBE", *names, request_id=7))
    assert reply == '{"error":{"code":4,"msg":"Too many subscriptions"},"id":7}'
    assert listed(hub, client) == ["first@trade"]


def test_unsubscribing_is_not_held_against_the_limit() -> None:
    hub = make_hub()
    client = connect(hub, "/ws")
    names = [f"s{n}@trade" for n in range(MAX_STREAMS)]
    say(hub, client, ask("SUBSCRIBE", *names))
    assert say(hub, client, ask("UNSUBSCRIBE", "other@trade", names[0])) == OK
    assert say(hub, client, ask("SUBSCRIBE", "other@trade")) == OK


def test_of_a_request_with_a_malformed_name_none_is_added() -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/ws")
    hub.receive(client, ask("SUBSCRIBE", BTC, "not a stream"))
    assert listed(hub, client) == []


# Wrapping


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (f"/ws/{BTC}", trade(0)),
        (
            f"/stream?streams={BTC}",
            b'{"stream":"btcusdt@trade","data":%b}' % trade(0),
        ),
    ],
)
def test_the_path_decides_the_wrapping(target: str, text: bytes) -> None:
    hub = make_hub(BTC, frames=[BTC])
    client = connect(hub, target)
    release(hub)
    assert deliver(hub, client) == [text]


def test_the_wrapping_changes_from_the_next_frame_on() -> None:
    hub = make_hub(BTC, frames=[BTC] * 3)
    client = connect(hub, f"/ws/{BTC}")
    release(hub)
    got = deliver(hub, client)
    assert say(hub, client, ask("SET_PROPERTY", "combined", True)) == OK
    release(hub)
    got += deliver(hub, client)
    assert say(hub, client, ask("SET_PROPERTY", "combined", False)) == OK
    release(hub)
    got += deliver(hub, client)
    wrapped = b'{"stream":"btcusdt@trade","data":%b}' % trade(1)
    assert got == [trade(0), wrapped, trade(2)]


@pytest.mark.parametrize(
    ("target", "value"), [("/ws", "false"), ("/stream?streams=", "true")]
)
def test_the_wrapping_can_be_asked_for(target: str, value: str) -> None:
    hub = make_hub(BTC)
    client = connect(hub, target)
    reply = say(hub, client, ask("GET_PROPERTY", "combined"))
    assert reply == f'{{"result":{value},"id":1}}'


def test_the_wrapping_is_each_connection_s_own() -> None:
    hub = make_hub(BTC, frames=[BTC])
    one, two = connect(hub, f"/ws/{BTC}"), connect(hub, f"/ws/{BTC}")
    say(hub, one, ask("SET_PROPERTY", "combined", True))
    release(hub)
    deliver(hub, one)
    assert deliver(hub, two) == [trade(0)]


# What closes


def error(code: int, msg: str, request_id: int | None = 1) -> Say:
    body: dict[str, object] = {"error": {"code": code, "msg": msg}}
    if request_id is not None:
        body["id"] = request_id
    return Say(json.dumps(body, separators=(",", ":")))


NOT_JSON = error(3, "Invalid JSON: expected value at line 1 column 1", None)
MALFORMED = error(2, "Invalid request: invalid stream")
TOO_MANY = error(4, "Too many subscriptions")
UNKNOWN = error(0, "Unknown property")
BAD_REQUESTS: list[tuple[str, Say, bool]] = [
    ("?", NOT_JSON, True),
    (ask("SUBSCRIBE", "nonsense"), MALFORMED, True),
    (ask("SUBSCRIBE", *(f"s{n}@trade" for n in range(1025))), TOO_MANY, True),
    (ask("GET_PROPERTY", "x"), UNKNOWN, False),
]


@pytest.mark.parametrize(("text", "reply", "_"), BAD_REQUESTS)
def test_spot_stays_open_after_a_bad_request(text: str, reply: Say, _: bool) -> None:
    hub = make_hub(BTC)
    assert hub.receive(connect(hub, "/ws"), text) == [reply]


@pytest.mark.parametrize(("text", "reply", "closes"), BAD_REQUESTS)
def test_futures_close_after_some_bad_requests(
    text: str, reply: Say, *, closes: bool
) -> None:
    hub = make_hub(BTC, market="usdm")
    expected: list[Outgoing] = [reply, REFUSED] if closes else [reply]
    assert hub.receive(connect(hub, "/ws"), text) == expected


@pytest.mark.parametrize("market", ["spot", "usdm"])
@pytest.mark.parametrize("target", ["/ws", "/stream", "/stream?streams="])
def test_a_binary_frame_closes_a_native_connection(market: Market, target: str) -> None:
    hub = make_hub(BTC, market=market)
    client = connect(hub, target)
    assert hub.receive(client, b"\x00") == [REFUSED]
    assert client.requests[-1] == ClientRequest(1, r"b'\x00'", ())


# Connections that may speak either protocol


@pytest.mark.parametrize("target", ["/stream", "/stream/"])
@pytest.mark.parametrize(
    ("text", "reply"),
    [
        (
            simple("BTCUSDT"),
            '{"action":"subscribe","subscription":"BTCUSDT-trade","result":true}',
        ),
        (ask("SUBSCRIBE", BTC), OK),
        ('{"action":"dance"}', INVALID_DATA),
        ('{"action":"subscribe","method":"SUBSCRIBE","id":1}', INVALID_DATA),
    ],
)
def test_the_first_text_says_which_protocol_is_spoken(
    target: str, text: str, reply: str
) -> None:
    hub = make_hub(BTC)
    assert say(hub, connect(hub, target), text) == reply


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", '{"id":1}'])
def test_a_first_text_of_neither_is_an_error_as_the_path_has_it(text: str) -> None:
    hub = make_hub(BTC)
    assert say(hub, connect(hub, "/stream/"), text) == INVALID_DATA
    assert say(hub, connect(hub, "/stream"), text).startswith('{"error":{"code":')


@pytest.mark.parametrize(
    ("first", "second", "reply"),
    [
        (ask("SUBSCRIBE", BTC), simple("BTCUSDT"), '{"error":{"code":2,'),
        (simple("BTCUSDT"), ask("SUBSCRIBE", BTC), INVALID_DATA),
        ("hello", ask("SUBSCRIBE", BTC), INVALID_DATA),
    ],
)
def test_a_connection_stays_what_its_first_text_made_it(
    first: str, second: str, reply: str
) -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/stream/")
    say(hub, client, first)
    assert say(hub, client, second).startswith(reply)


@pytest.mark.parametrize("target", ["/ws", f"/stream?streams={BTC}", "/public/stream"])
def test_other_paths_speak_the_native_protocol_only(target: str) -> None:
    hub = make_hub(BTC, market="usdm")
    reply = say(hub, connect(hub, target), simple("BTCUSDT"))
    assert reply.startswith('{"error":{"code":2,"msg":"Invalid request: missing field')


def test_a_binary_frame_is_ignored_where_the_simple_protocol_is_spoken() -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/stream/")
    assert hub.receive(client, b"{}") == []
    assert say(hub, client, ask("SUBSCRIBE", BTC)) == OK, "only a text decides"


def test_a_binary_frame_is_ignored_once_the_simple_protocol_is_chosen() -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/stream")
    say(hub, client, simple("BTCUSDT"))
    assert hub.receive(client, b"{}") == []


@pytest.mark.parametrize("target", ["/stream", "/stream/"])
def test_native_clients_of_the_shared_path_get_wrapped_frames(target: str) -> None:
    hub = make_hub(BTC, frames=[BTC])
    client = connect(hub, target)
    say(hub, client, ask("SUBSCRIBE", BTC))
    release(hub)
    text = b'{"stream":"btcusdt@trade","data":%b}' % trade(0)
    assert deliver(hub, client) == [text]


# The simple protocol


def test_simple_clients_get_readable_events() -> None:
    hub = make_hub(BTC, frames=[BTC])
    client = connect(hub, "/stream/")
    say(hub, client, simple("BTCUSDT"))
    release(hub)
    assert deliver(hub, client) == [
        b'{"event": "trade", "event_time": 1795168800000, "symbol": "BTCUSDT", '
        b'"price": 1.1, "quantity": 2.0, "trade_time": 1795168800000, '
        b'"market_marker": true, "ignore": true}'
    ]


def test_a_second_simple_subscription_changes_nothing() -> None:
    hub = make_hub(BTC, frames=[BTC])
    client = connect(hub, "/stream/")
    first, second = (say(hub, client, simple("BTCUSDT")) for _ in range(2))
    assert first == second
    release(hub)
    assert len(deliver(hub, client)) == 1
    assert hub.subscriptions_made == 1


def test_after_a_simple_unsubscribe_nothing_follows() -> None:
    hub = make_hub(BTC, frames=[BTC])
    client = connect(hub, "/stream/")
    say(hub, client, simple("BTCUSDT"))
    reply = say(hub, client, simple("BTCUSDT", action="unsubscribe"))
    assert (
        reply == '{"action":"unsubscribe","subscription":"BTCUSDT-trade","result":true}'
    )
    release(hub)
    assert deliver(hub, client) == []


def test_a_simple_unsubscribe_of_nothing_is_acknowledged() -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/stream/")
    reply = say(hub, client, simple("X", action="unsubscribe"))
    assert json.loads(reply)["result"] is True
    assert not hub.missing


@pytest.mark.parametrize(
    ("held", "feeds"),
    [
        ([DEPTH, "btcusdt@depth@100ms"], [DEPTH]),
        (["btcusdt@depth@100ms"], ["btcusdt@depth@100ms"]),
    ],
)
def test_simple_depth_is_fed_by_the_plain_stream_first(
    held: list[str], feeds: list[str]
) -> None:
    hub = make_hub(*held)
    client = connect(hub, "/stream/")
    say(hub, client, simple("BTCUSDT", "depth"))
    assert sorted(client.view.keys) == [name.encode() for name in feeds]


def test_aggregated_trades_do_not_feed_simple_trades() -> None:
    hub = make_hub("btcusdt@aggTrade")
    say(hub, connect(hub, "/stream/"), simple("BTCUSDT"))
    assert [m.reason for m in hub.missing] == ["pair"]


@pytest.mark.parametrize(
    ("pair", "stream", "nearest"),
    [
        ("btcusdt", "trade", ("BTCUSDT-trade",)),
        ("BTCUSDT", "trades", ("BTCUSDT-trade",)),
        ("LTCUSDT", "trade", ("BTCUSDT-trade",)),
        ("XYZ", "klines", ()),
    ],
)
def test_an_unknown_pair_is_acknowledged_and_reported_once(
    pair: str, stream: str, nearest: tuple[str, ...]
) -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/stream/")
    for action in ("subscribe", "subscribe", "unsubscribe", "subscribe"):
        reply = say(hub, client, simple(pair, stream, action=action))
        assert json.loads(reply)["result"] is True
    assert hub.missing == [Missing(1, f"{pair}-{stream}", "pair", "spot", nearest)]


def test_a_simple_client_gets_frames_of_a_stream_that_nobody_announced() -> None:
    hub = make_hub(frames=["btcusdt@depth@100ms", BTC])
    client = connect(hub, "/stream/")
    say(hub, client, simple("BTCUSDT"))
    release(hub, 2)
    assert len(deliver(hub, client)) == 1


# Routes of the futures


def test_a_stream_on_the_wrong_route_is_acknowledged_silent_and_reported() -> None:
    name = "btcusdt@markPrice"
    hub = make_hub(name, market="usdm", frames=[name])
    client = connect(hub, "/public/ws")
    assert say(hub, client, ask("SUBSCRIBE", name)) == OK
    release(hub)
    assert listed(hub, client) == [name]
    assert deliver(hub, client) == []
    assert hub.missing == [Missing(1, name, "route", "usdm")]


@pytest.mark.parametrize(
    ("target", "routes", "reasons"),
    [
        ("/ws", "live", ["route"]),
        ("/ws", "any", []),
        ("/public/ws", "any", []),
        ("/market/ws", "live", []),
        ("/usdm/market/ws", "live", []),
        ("/private/ws", "live", ["route"]),
    ],
)
def test_routes_are_kept_as_the_catalogue_says(
    target: str, routes: Routes, reasons: list[Reason]
) -> None:
    name = "btcusdt@aggTrade"
    hub = make_hub(name, market="usdm", routes=routes, frames=[name])
    client = connect(hub, target)
    say(hub, client, ask("SUBSCRIBE", name))
    release(hub)
    assert len(deliver(hub, client)) == (not reasons)
    assert [m.reason for m in hub.missing] == reasons


def test_a_stream_of_the_address_is_held_to_the_route_too() -> None:
    name = "btcusdt@kline_1m"
    hub = make_hub(name, market="usdm")
    connect(hub, f"/ws/{name}")
    assert [m.asked for m in hub.missing] == [name]


def test_a_private_connection_is_accepted_and_silent() -> None:
    hub = make_hub(BTC, market="usdm", frames=[BTC])
    client = connect(hub, "/private/ws?listenKey=abc")
    release(hub)
    assert deliver(hub, client) == []
    assert not hub.missing


def test_the_simple_protocol_knows_no_routes() -> None:
    name = "btcusdt@ticker"
    hub = make_hub(name, market="usdm")
    client = connect(hub, "/stream/")
    say(hub, client, simple("BTCUSDT", "ticker"))
    assert client.view.keys == {name.encode()}
    assert not hub.missing


# Markets


@pytest.mark.parametrize("target", ["/ws", "/stream", f"/stream?streams={BTC}"])
def test_a_tape_of_two_markets_wants_to_know_which(target: str) -> None:
    path = target.partition("?")[0]
    assert refusal(both_markets(), target) == Refusal(
        400,
        f"The tape holds spot and usdm: connect to /spot{path} or /usdm{path}",
    )


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (f"/spot/ws/{BTC}", b'"spot"'),
        (f"/usdm/ws/{BTC}", b'"usdm"'),
        (f"/public/ws/{BTC}", b'"usdm"'),
        (
            f"/usdm/public/stream?streams={BTC}",
            b'{"stream":"btcusdt@trade","data":"usdm"}',
        ),
    ],
)
def test_each_market_has_its_own_stream_of_a_name(target: str, text: bytes) -> None:
    hub = both_markets()
    client = connect(hub, target)
    release(hub, 2)
    assert deliver(hub, client) == [text]
    assert hub.records()[0].sent == {BTC: 1}


@pytest.mark.parametrize(
    ("target", "held", "market"),
    [("/usdm/ws", "spot", "usdm"), ("/public/ws", "spot", "usdm")],
)
def test_a_market_that_is_not_on_the_tape_is_refused(
    target: str, held: Market, market: Market
) -> None:
    hub = make_hub(BTC, market=held)
    assert refusal(hub, target) == Refusal(
        404, f"Invalid request path: the tape holds {held}, no {market}"
    )


def test_an_address_to_refuse_is_no_client() -> None:
    hub = both_markets()
    with pytest.raises(ValueError, match="The tape holds spot and usdm"):
        connect(hub, "/ws")
    assert hub.clients == []


@pytest.mark.parametrize("target", ["/ws", "/spot/ws"])
def test_a_tape_of_one_market_serves_it_with_and_without_a_prefix(target: str) -> None:
    assert refusal(make_hub(BTC), target) is None


# Microseconds


@pytest.mark.parametrize(
    ("market", "query", "time"),
    [
        ("spot", "", "1795168800000"),
        ("spot", "?timeUnit=MILLISECOND", "1795168800000"),
        ("spot", "?timeUnit=MICROSECOND", "1795168800000000"),
        ("usdm", "?timeUnit=MICROSECOND", "1795168800000"),
    ],
)
def test_microseconds_are_spot_s_alone(market: Market, query: str, time: str) -> None:
    hub = make_hub(BTC, market=market, frames=[BTC])
    client = connect(hub, f"/ws/{BTC}{query}")
    release(hub)
    (text,) = deliver(hub, client)
    assert text == trade(0).replace(b"1795168800000", time.encode())


@pytest.mark.parametrize(
    ("query", "zeros"), [("", "000"), ("?timeUnit=MILLISECOND", "")]
)
def test_recorded_microseconds_stay_unless_milliseconds_are_asked_for(
    query: str, zeros: str
) -> None:
    in_us = b'{"e":"trade","E":1795168800000000}'
    hub = Hub(make_tape([(BTC, in_us)]), Catalogue({"spot": {BTC}}))
    client = connect(hub, f"/ws/{BTC}{query}")
    release(hub)
    text = f'{{"e":"trade","E":1795168800000{zeros}}}'
    assert deliver(hub, client) == [text.encode()]


# What is missing


@pytest.mark.parametrize(
    ("asked", "reason", "nearest"),
    [
        ("btcusdt@trades", "stream", (BTC,)),
        ("BTCUSDT@trade", "case", (BTC,)),
        ("btcusdt@Trade", "case", (BTC,)),
        ("xyz@kline_1m", "stream", ()),
    ],
)
def test_an_unknown_stream_is_reported_with_the_nearest_names(
    asked: str, reason: Reason, nearest: tuple[str, ...]
) -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/ws")
    assert say(hub, client, ask("SUBSCRIBE", asked)) == OK
    assert hub.missing == [Missing(1, asked, reason, "spot", nearest)]


def test_a_stream_without_frames_is_not_missing() -> None:
    hub = make_hub(BTC)
    connect(hub, f"/ws/{BTC}")
    assert not hub.missing


def test_frames_of_a_stream_that_the_header_forgot_are_sent() -> None:
    hub = make_hub(frames=[BTC])
    client = connect(hub, f"/ws/{BTC}")
    release(hub)
    assert deliver(hub, client) == [trade(0)]


def test_a_forgotten_stream_on_the_wrong_route_stays_silent() -> None:
    name = "btcusdt@aggTrade"
    hub = make_hub(market="usdm", frames=[name])
    client = connect(hub, f"/ws/{name}")
    release(hub)
    assert deliver(hub, client) == []
    assert [m.reason for m in hub.missing] == ["stream", "route"]


def test_what_many_clients_miss_is_reported_once() -> None:
    hub = make_hub(BTC)
    for _ in range(3):
        connect(hub, "/ws/nosuch@trade")
    assert [(m.client, m.asked) for m in hub.missing] == [(1, "nosuch@trade")]


def test_of_very_many_missing_things_the_first_hundred_are_kept() -> None:
    hub = make_hub(BTC)
    client = connect(hub, "/ws")
    names = [f"btcusdt{n}@trade" for n in range(200)]
    assert say(hub, client, ask("SUBSCRIBE", *names)) == OK
    assert [m.asked for m in hub.missing] == names[:100]
    guessed = [bool(m.nearest) for m in hub.missing]
    assert guessed == [True] * 10 + [False] * 90


@pytest.mark.parametrize("target", ["/ws/btcusdt", "/ws/BTCUSDT", "/stream/btcusdt"])
def test_a_symbol_in_the_place_of_a_stream_is_reported(target: str) -> None:
    hub = make_hub(BTC)
    client = connect(hub, target)
    asked = target.rpartition("/")[2]
    assert hub.missing == [Missing(1, asked, "stream", "spot", (BTC,))]
    assert listed(hub, client) == []


@pytest.mark.parametrize(
    "target", ["/ws/0", "/stream/3", "/ws/pqia91ma19a5s61cv6a81va"]
)
def test_other_odd_segments_of_a_path_mean_nothing(target: str) -> None:
    hub = make_hub(BTC)
    connect(hub, target)
    assert not hub.missing


# Requests over HTTP


def test_requests_over_http_are_kept_in_order() -> None:
    hub = make_hub(BTC)
    requests = [RestRequest(f"/api/v3/{n}", "", 200) for n in range(3)]
    for request in requests:
        hub.note_rest(request, None)
    assert list(hub.rest_requests) == requests
    assert {"/api/v3/0", "/api/v3/1", "/api/v3/2"} <= hub.asked


def test_a_request_without_an_answer_is_reported_once() -> None:
    hub = make_hub(BTC)
    missing = Missing(0, "/api/v3/depth", "rest", "spot")
    for _ in range(2):
        hub.note_rest(RestRequest("/api/v3/depth", "", 404), missing)
    assert hub.missing == [missing]
    assert len(hub.rest_requests) == 2


# What had gone by


def test_a_late_subscription_counts_what_had_gone_by() -> None:
    hub = make_hub(BTC, ETH, frames=[BTC, ETH, BTC, BTC])
    release(hub, 3)
    client = connect(hub, f"/ws/{BTC}")
    say(hub, client, ask("SUBSCRIBE", ETH))
    assert hub.records()[0].missed == {BTC: 2, ETH: 1}


def test_a_subscription_in_time_has_missed_nothing() -> None:
    hub = make_hub(BTC, frames=[BTC])
    client = connect(hub, f"/ws/{BTC}")
    release(hub)
    deliver(hub, client)
    assert hub.records()[0].missed == {}


def test_what_goes_by_while_unsubscribed_is_not_missed() -> None:
    hub = make_hub(BTC, ETH, frames=[ETH, BTC, BTC, BTC])
    release(hub, 2)
    client = connect(hub, f"/ws/{BTC}")
    say(hub, client, ask("UNSUBSCRIBE", BTC))
    release(hub, 2)
    say(hub, client, ask("SUBSCRIBE", BTC))
    assert hub.records()[0].missed == {BTC: 1}


def test_a_lagging_client_misses_only_what_lies_behind_it() -> None:
    hub = make_hub(BTC, ETH, frames=[ETH, BTC, ETH, ETH, BTC], size=2)
    client = connect(hub, f"/ws/{BTC}")
    release(hub, 2)
    got = deliver(hub, client)
    release(hub, 3)
    say(hub, client, ask("SUBSCRIBE", ETH))
    got += deliver(hub, client)
    assert got == [trade(1), trade(2), trade(3), trade(4)]
    assert hub.records()[0].missed == {ETH: 1}


def test_what_a_seek_passed_over_is_not_missed() -> None:
    hub = make_hub(BTC, frames=[BTC] * 5)
    release(hub, 3)
    hub.tape.seek_frame(1)
    connect(hub, f"/ws/{BTC}")
    hub.tape.seek_frame(4)
    connect(hub, f"/ws/{BTC}")
    assert [record.missed for record in hub.records()] == [{}, {}]


def test_a_simple_subscription_counts_what_had_gone_by_in_its_own_words() -> None:
    hub = make_hub(BTC, frames=[BTC])
    release(hub)
    say(hub, connect(hub, "/stream/"), simple("BTCUSDT"))
    assert hub.records()[0].missed == {"BTCUSDT-trade": 1}


# Who listens


def test_names_are_known_in_the_client_s_words_and_in_ours() -> None:
    hub = make_hub(BTC, ETH)
    say(hub, connect(hub, "/stream/"), simple("BTCUSDT"))
    connect(hub, "/ws/nosuch@trade")
    gone = connect(hub, f"/ws/{ETH}")
    hub.depart(gone, 1000, "", 0, by_client=True)
    assert hub.subscribed_names() == {"BTCUSDT-trade", BTC, "nosuch@trade"}
    assert hub.asked == {"BTCUSDT-trade", BTC, "nosuch@trade", ETH}


def test_new_subscriptions_are_counted_and_repetitions_are_not() -> None:
    hub = make_hub(BTC, ETH)
    client = connect(hub, f"/ws/{BTC}")
    say(hub, client, ask("SUBSCRIBE", BTC, ETH, DEPTH, ETH))
    assert hub.subscriptions_made == 3


def test_only_connected_clients_with_a_subscription_are_listeners() -> None:
    hub = make_hub(BTC)
    connect(hub, "/ws")
    gone, there = connect(hub, f"/ws/{BTC}"), connect(hub, f"/ws/{BTC}")
    hub.depart(gone, 1000, "", 0, by_client=True)
    assert hub.listeners() == [there]
    assert hub.audience().takers == [(frozenset({BTC.encode()}), there.bucket)]


def test_cursors_are_those_of_listeners() -> None:
    hub = make_hub(BTC, frames=[BTC] * 4)
    connect(hub, "/ws")
    release(hub)
    connect(hub, f"/ws/{BTC}")
    release(hub)
    connect(hub, f"/ws/{BTC}")
    release(hub)
    assert (hub.lowest_cursor(), hub.highest_cursor()) == (1, 2)


def test_without_listeners_cursors_are_where_the_tape_is() -> None:
    hub = make_hub(BTC, frames=[BTC] * 2)
    release(hub)
    assert (hub.lowest_cursor(), hub.highest_cursor()) == (1, 1)


def test_every_change_is_announced() -> None:
    hub = make_hub(BTC)
    changes: list[str] = []
    hub.on_change = lambda: changes.append("change")
    client = connect(hub, "/ws")
    hub.receive(client, "x")
    hub.receive(client, b"x")
    hub.note_rest(RestRequest("/", "", 404), None)
    hub.depart(client, 1000, "", 0, by_client=True)
    assert len(changes) == 5


# Books


@pytest.mark.parametrize(
    ("name", "follows"),
    [
        (DEPTH, True),
        ("btcusdt@depth@100ms", True),
        ("btcusdt@depth10", False),
        (BTC, False),
    ],
)
def test_whoever_is_sent_diffs_follows_a_book(name: str, *, follows: bool) -> None:
    hub = make_hub(name)
    assert hub.follows_book(connect(hub, f"/ws/{name}")) is follows


def test_followers_of_a_book_are_sent_away_before_a_seam() -> None:
    hub = make_hub(DEPTH, BTC, frames=[BTC, BTC])
    follower, other = connect(hub, f"/ws/{DEPTH}"), connect(hub, f"/ws/{BTC}")
    release(hub)
    later = connect(hub, f"/ws/{DEPTH}")
    hub.end_books(1)
    assert [c.stop_at for c in (follower, other, later)] == [1, None, None]


def test_whoever_stops_following_a_book_may_stay() -> None:
    hub = make_hub(DEPTH, BTC, frames=[BTC])
    client = connect(hub, f"/ws/{DEPTH}/{BTC}")
    hub.end_books(1)
    say(hub, client, ask("UNSUBSCRIBE", BTC))
    assert client.stop_at == 1
    say(hub, client, ask("UNSUBSCRIBE", DEPTH))
    assert client.stop_at is None


# Going away


def test_a_client_that_is_cut_with_frames_due_has_vanished() -> None:
    hub = make_hub(BTC, frames=[BTC])
    client = connect(hub, f"/ws/{BTC}")
    hub.depart(client, 1006, "", 0, by_client=True)
    (record,) = hub.records()
    assert record.vanished
    assert (record.connected, record.close_code) == (False, 1006)


def departed(hub: Hub, *, code: int = 1006, by_client: bool = True) -> bool:
    client = connect(hub, f"/ws/{BTC}")
    hub.depart(client, code, "bye", 0, by_client=by_client)
    (record,) = hub.records()
    assert (record.close_code, record.close_reason) == (code, "bye")
    return record.vanished


def test_a_proper_goodbye_is_no_vanishing() -> None:
    assert not departed(make_hub(BTC, frames=[BTC]), code=1000)


def test_a_client_that_the_server_cuts_has_not_vanished() -> None:
    assert not departed(make_hub(BTC, frames=[BTC]), by_client=False)


def test_a_client_that_has_everything_may_go() -> None:
    assert not departed(make_hub(BTC))


def test_a_client_without_a_subscription_may_go() -> None:
    hub = make_hub(BTC, frames=[BTC])
    client = connect(hub, "/ws")
    hub.depart(client, 1006, "", 0, by_client=True)
    assert not client.vanished
    assert hub.cut_off_us is None


def test_released_frames_that_a_client_has_not_had_are_due() -> None:
    hub = make_hub(BTC, frames=[BTC])
    client = connect(hub, f"/ws/{BTC}")
    release(hub)
    assert hub.has_frames_due(client)
    deliver(hub, client)
    assert not hub.has_frames_due(client)


def test_a_broken_cassette_has_no_frames_due() -> None:
    facts = ("x.jsonl", 1, "broken")

    def batches() -> Iterator[Batch]:
        yield Batch([], [], [], [])
        raise CassetteFormatError(*facts)

    hub = Hub(Tape(batches, Shelf()), Catalogue({"spot": {BTC}}))
    assert not departed(hub)


def test_a_burst_before_a_departure_is_remembered() -> None:
    hub = make_hub(BTC, frames=[BTC] * 60)
    client = connect(hub, f"/ws/{BTC}")
    release(hub, 50)
    deliver(hub, client, now_us=1_000_000)
    hub.depart(client, 1000, "", 1_100_000, by_client=True)
    assert hub.records()[0].burst == 50


def test_the_loss_of_the_last_listener_is_timed_until_somebody_listens() -> None:
    hub = make_hub(BTC, frames=[BTC])
    one, two = connect(hub, f"/ws/{BTC}"), connect(hub, f"/ws/{BTC}")
    hub.depart(one, 1006, "", 5, by_client=True)
    assert hub.cut_off_us is None
    hub.depart(two, 1006, "", 7, by_client=True)
    assert hub.audience().cut_off_us == 7
    connect(hub, f"/ws/{BTC}")
    assert hub.audience().cut_off_us is None
    assert hub.cut_off_us is None


@pytest.mark.parametrize(
    ("code", "by_client", "cut_off_us"),
    [(1006, True, 7), (1001, False, 7), (1000, True, None)],
)
def test_a_client_that_left_is_not_waited_for(
    code: int, by_client: bool, cut_off_us: int | None
) -> None:
    hub = make_hub(BTC, frames=[BTC])
    hub.depart(connect(hub, f"/ws/{BTC}"), code, "", 7, by_client=by_client)
    assert hub.cut_off_us == cut_off_us


def test_each_departure_can_be_followed_by_one_reconnect() -> None:
    hub = make_hub(BTC)
    first, second = connect(hub, "/ws"), connect(hub, "/ws")
    assert hub.reconnects == 0
    hub.depart(first, 1000, "", 0, by_client=True)
    hub.depart(second, 1000, "", 0, by_client=True)
    counts = []
    for _ in range(3):
        connect(hub, "/ws")
        counts.append(hub.reconnects)
    assert counts == [1, 2, 2]


# The journal


def test_messages_are_kept_with_their_replies() -> None:
    hub = make_hub(BTC, market="usdm")
    client = connect(hub, "/ws")
    say(hub, client, ask("SUBSCRIBE", BTC))
    hub.receive(client, "?")
    assert hub.records()[0].requests == (
        ClientRequest(1, ask("SUBSCRIBE", BTC), (OK,)),
        ClientRequest(1, "?", (NOT_JSON.text,)),
    )


def test_records_show_a_moment_and_stay_as_they_are() -> None:
    hub = make_hub(BTC, ETH, frames=[BTC, BTC])
    client = connect(hub, f"/ws/{BTC}?timeUnit=MILLISECOND")
    release(hub, 2)
    before = hub.records()[0]
    deliver(hub, client)
    say(hub, client, ask("SUBSCRIBE", ETH))
    assert (before.behind, before.sent, before.subscriptions) == (2, {}, (BTC,))
    after = hub.records()[0]
    assert (after.behind, after.sent, after.subscriptions) == (0, {BTC: 2}, (BTC, ETH))
    assert after.path == f"/ws/{BTC}?timeUnit=MILLISECOND"
    with pytest.raises(FrozenInstanceError):
        after.behind = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("target", "text", "protocol"),
    [
        ("/ws", ask("SUBSCRIBE", BTC), "raw"),
        ("/stream", ask("SUBSCRIBE", BTC), "combined"),
        ("/stream", simple("BTCUSDT"), "simple"),
        ("/ws", ask("SET_PROPERTY", "combined", True), "combined"),
    ],
)
def test_a_record_says_how_events_are_sent(
    target: str, text: str, protocol: str
) -> None:
    hub = make_hub(BTC)
    say(hub, connect(hub, target), text)
    assert hub.records()[0].protocol == protocol


def test_whoever_is_not_listening_is_not_behind() -> None:
    hub = make_hub(BTC, frames=[BTC])
    connect(hub, "/ws")
    gone = connect(hub, f"/ws/{BTC}")
    release(hub)
    hub.depart(gone, 1000, "", 0, by_client=True)
    assert [record.behind for record in hub.records()] == [0, 0]


# Everything at once

STREAMS = [BTC, ETH, DEPTH, "ethusdt@depth@100ms"]
FEEDS: Mapping[str, str] = {
    "BTCUSDT-trade": BTC,
    "ETHUSDT-trade": ETH,
    "BTCUSDT-depth": DEPTH,
    "ETHUSDT-depth": "ethusdt@depth@100ms",
    "LTCUSDT-trade": "",
}
NAMES = st.lists(st.sampled_from([*STREAMS, "nosuch@trade", "BTCUSDT@trade"]))


def payload(stream: str, number: int) -> bytes:
    if "trade" in stream:
        return trade(number, stream.partition("@")[0].upper())
    return b'{"e":"depthUpdate","E":%d,"s":"X","U":1,"u":2,"b":[],"a":[]}' % number


def shown(form: str, stream: str, data: bytes) -> bytes:
    """What a client is to be sent for a frame, made in the plainest way."""
    if form == "raw":
        return data
    if form == "combined":
        return b'{"stream":"%b","data":%b}' % (stream.encode(), data)
    event = json.loads(data)
    if event["e"] == "trade":
        members = {
            "event": "trade",
            "event_time": event["E"],
            "symbol": event["s"],
            "price": 1.1,
            "quantity": 2.0,
            "trade_time": event["T"],
            "market_marker": True,
            "ignore": True,
        }
    else:
        members = {
            "event": "depthUpdate",
            "event_time": event["E"],
            "symbol": "X",
            "first_update_id": 1,
            "final_update_id": 2,
            "bids": [],
            "asks": [],
        }
    return json.dumps(members).encode()


class Model:
    """What a client must be like, kept apart from the hub."""

    def __init__(self, client: Client, form: str, cursor: int) -> None:
        self.client = client
        self.form = form
        self.cursor = cursor
        self.names: list[str] = []
        self.expected: list[bytes] = []
        self.got: list[bytes] = []

    def hears(self, stream: str) -> bool:
        return stream in (FEEDS.get(name, name) for name in self.names)

    def add(self, names: Iterable[str], released: int) -> None:
        if not self.names:
            self.cursor = released
        self.names += [n for n in dict.fromkeys(names) if n not in self.names]


class HubMachine(RuleBasedStateMachine):
    """Whatever clients do, each gets what it is subscribed to, once and in order."""

    native = Bundle("native")
    simples = Bundle("simples")

    @initialize(
        streams=st.lists(st.sampled_from(STREAMS), max_size=40),
        size=st.integers(1, 7),
    )
    def start(self, streams: list[str], size: int) -> None:
        self.frames = [(name, payload(name, n)) for n, name in enumerate(streams)]
        self.hub = Hub(make_tape(self.frames, size), Catalogue({"spot": set(STREAMS)}))
        self.models: list[Model] = []

    def _connect(self, target: str, form: str, names: list[str]) -> Model:
        model = Model(connect(self.hub, target), form, self.hub.tape.released)
        model.add(names, self.hub.tape.released)
        self.models.append(model)
        return model

    @rule(target=native, names=NAMES)
    def connect_raw(self, names: list[str]) -> Model:
        return self._connect("/ws/" + "/".join(names), "raw", names)

    @rule(target=native, names=NAMES)
    def connect_combined(self, names: list[str]) -> Model:
        return self._connect(f"/stream?streams={'/'.join(names)}", "combined", names)

    @rule(target=simples, path=st.sampled_from(["/stream", "/stream/"]))
    def connect_simple(self, path: str) -> Model:
        return self._connect(path, "simple", [])

    @rule(model=native, names=NAMES)
    def subscribe(self, model: Model, names: list[str]) -> None:
        assert say(self.hub, model.client, ask("SUBSCRIBE", *names)) == OK
        model.add(names, self.hub.tape.released)

    @rule(model=native, names=NAMES)
    def unsubscribe(self, model: Model, names: list[str]) -> None:
        assert say(self.hub, model.client, ask("UNSUBSCRIBE", *names)) == OK
        model.names = [name for name in model.names if name not in names]

    @rule(model=native, combined=st.booleans())
    def wrap(self, model: Model, *, combined: bool) -> None:
        request = ask("SET_PROPERTY", "combined", combined)
        assert say(self.hub, model.client, request) == OK
        model.form = "combined" if combined else "raw"

    @rule(model=simples, name=st.sampled_from(sorted(FEEDS)))
    def subscribe_simply(self, model: Model, name: str) -> None:
        say(self.hub, model.client, simple(*name.split("-")))
        model.add([name], self.hub.tape.released)

    @rule(model=simples, name=st.sampled_from(sorted(FEEDS)))
    def unsubscribe_simply(self, model: Model, name: str) -> None:
        request = simple(*name.split("-"), action="unsubscribe")
        say(self.hub, model.client, request)
        model.names = [other for other in model.names if other != name]

    @rule(count=st.integers(1, 5))
    def release(self, count: int) -> None:
        release(self.hub, min(count, len(self.frames) - self.hub.tape.released))

    @rule(model=st.one_of(native, simples))
    def deliver(self, model: Model) -> None:
        model.got += deliver(self.hub, model.client)
        released = self.hub.tape.released
        for stream, data in self.frames[model.cursor : released]:
            if model.hears(stream):
                model.expected.append(shown(model.form, stream, data))
        model.cursor = released

    @rule(model=st.one_of(consumes(native), consumes(simples)))
    def disconnect(self, model: Model) -> None:
        self.hub.depart(model.client, 1006, "", 0, by_client=True)
        model.names = []

    @invariant()
    def each_got_its_own_frames_once_in_order(self) -> None:
        for model in getattr(self, "models", []):
            assert model.got == model.expected
            assert model.client.sent.total() == len(model.got)

    @invariant()
    def the_hub_knows_who_listens(self) -> None:
        models = getattr(self, "models", [])
        names = {name for model in models for name in model.names}
        feeds = {FEEDS.get(name) or name for name in names}
        if models:
            known = self.hub.subscribed_names()
            assert names <= known
            assert known - {"ltcusdt@trade"} <= names | feeds


HubMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None
)
TestHub = HubMachine.TestCase


def test_the_seam_of_a_tape_does_not_disturb_the_hub() -> None:
    def batches() -> Iterator[Batch]:
        yield Batch([0], [BTC.encode()], [trade(0)], [])
        yield Batch([1], [BTC.encode()], [trade(1)], [(0, Mark(1, SEAM, {}))])

    hub = Hub(Tape(batches, Shelf(), endless=True), Catalogue({"spot": {BTC}}))
    client = connect(hub, f"/ws/{BTC}")
    release(hub, 2)
    assert deliver(hub, client) == [trade(0), trade(1)]
