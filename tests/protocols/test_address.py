from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_binance_replay.protocols.address import (
    Address,
    Dialect,
    Refusal,
    decide_dialect,
    parse_address,
)

NAMES = st.lists(
    st.from_regex(r"(?a:[a-z0-9_]{1,8}|币安)@[a-z]{1,8}(@[0-9]{3}ms)?", fullmatch=True)
    | st.sampled_from(["!ticker@arr", "!bookTicker", "tradingSession", "BTCUSDT@trade"])
)
PREFIXES = st.sampled_from(["", "/spot", "/usdm", "/public", "/market", "/usdm/public"])


def address_of(target: str) -> Address:
    address = parse_address(target)
    assert isinstance(address, Address)
    return address


def refusal_of(target: str) -> Refusal:
    refusal = parse_address(target)
    assert isinstance(refusal, Refusal)
    return refusal


@pytest.mark.parametrize(
    ("target", "combined", "streams"),
    [
        ("/ws", False, ()),
        ("/ws/", False, ()),
        ("/ws/ltcbtc@trade", False, ("ltcbtc@trade",)),
        ("/ws/ltcbtc@trade/", False, ("ltcbtc@trade",)),
        ("/ws/b@trade/a@depth@100ms", False, ("b@trade", "a@depth@100ms")),
        ("/ws/a@trade//b@trade", False, ("a@trade", "b@trade")),
        ("//ws//a@trade", False, ("a@trade",)),
        ("/ws/!ticker@arr/!bookTicker", False, ("!ticker@arr", "!bookTicker")),
        ("/ws/tradingSession", False, ("tradingSession",)),
        ("/ws/BTCUSDT@trade", False, ("BTCUSDT@trade",)),
        ("/stream?streams=a@trade", True, ("a@trade",)),
        ("/stream?streams=b@trade/a@trade", True, ("b@trade", "a@trade")),
        ("/stream/?streams=a@trade", True, ("a@trade",)),
        ("/stream?streams=/a@trade//b@trade/", True, ("a@trade", "b@trade")),
        ("/stream?streams=a@trade&streams=b@trade", True, ("a@trade", "b@trade")),
        ("/stream?streams=", True, ()),
        ("/stream?streams", True, ()),
        ("/stream?x=1&streams=a@trade&y", True, ("a@trade",)),
    ],
)
def test_the_path_names_wrapping_and_streams(
    target: str, combined: bool, streams: tuple[str, ...]
) -> None:
    address = address_of(target)
    assert address.dialect is Dialect.BINANCE
    assert (address.combined, address.streams) == (combined, streams)
    assert (address.market, address.route) == (None, None)


@given(NAMES, PREFIXES, st.sampled_from(["", "/", "@", "@/!"]))
def test_streams_arrive_decoded_in_order_and_once(
    names: list[str], prefix: str, safe: str
) -> None:
    streams = tuple(dict.fromkeys(names))
    listed = quote("/".join(names), safe=safe)
    assert address_of(f"{prefix}/ws/{listed}").streams == streams
    assert address_of(f"{prefix}/stream?streams={listed}").streams == streams


@given(st.text() | st.text(st.characters()) | st.text("/?&=%ws@,!strea#:2F"))
@example("\ud800")
@example("/%ff")
@example("/ws?timeUnit")
def test_any_target_is_an_address_or_a_refusal(target: str) -> None:
    for candidate in (target, f"/ws/{target}", f"/stream?streams={target}"):
        parsed = parse_address(candidate)
        assert isinstance(parsed, Address) or parsed.status in {400, 404}


@pytest.mark.parametrize(
    ("target", "streams"),
    [
        ("/ws/btcusdt%40trade", ("btcusdt@trade",)),
        ("/ws/a%40trade%2Fb%40trade", ("a@trade", "b@trade")),
        ("/stream?streams=a%40trade%2fb%40trade", ("a@trade", "b@trade")),
        ("/ws/%E5%B8%81usdt@trade", ("币usdt@trade",)),
        ("/ws/\udce5\udcb8\udc81usdt@trade", ("币usdt@trade",)),
        ("/ws/币usdt@trade", ("币usdt@trade",)),
        ("/ws/a@kline_1d@+08:00", ("a@kline_1d@+08:00",)),
        ("/stream?streams=a@kline_1d@+08:00", ("a@kline_1d@+08:00",)),
        ("/stream?streams=a@kline_1d@%2B08:00", ("a@kline_1d@+08:00",)),
    ],
)
def test_names_are_decoded_once_and_a_plus_is_a_plus(
    target: str, streams: tuple[str, ...]
) -> None:
    assert address_of(target).streams == streams


def test_a_name_encoded_twice_is_decoded_once() -> None:
    assert address_of("/ws/a@trade%2540").streams == ("a@trade%40",)


@pytest.mark.parametrize(
    ("target", "combined"),
    [
        ("/ws/0", False),
        ("/stream/3", True),
        ("/public/ws/1", False),
        ("/ws/btcusdt", False),
        ("/stream/3?x", True),
        ("/private/ws/pqia91ma19a5s61cv6a81va65sdf19v8a65a1", False),
    ],
)
def test_segments_that_cannot_be_streams_are_ignored(
    target: str, combined: bool
) -> None:
    address = address_of(target)
    assert (address.combined, address.streams) == (combined, ())
    assert address.dialect is Dialect.BINANCE


@pytest.mark.parametrize("target", ["/ws?a@trade", "/ws?streams=a@trade"])
def test_streams_in_the_query_of_a_raw_path_are_silent(target: str) -> None:
    assert address_of(target).streams == ()


@pytest.mark.parametrize(
    ("target", "market", "route"),
    [
        ("/spot/ws/a@trade", "spot", None),
        ("/usdm/ws/a@trade", "usdm", None),
        ("/usdm/stream?streams=a@trade", "usdm", None),
        ("/public/ws/a@trade", "usdm", "public"),
        ("/market/stream?streams=a@aggTrade", "usdm", "market"),
        ("/usdm/market/ws", "usdm", "market"),
        ("/public/stream", "usdm", "public"),
        ("/public/stream/", "usdm", "public"),
        ("/private/ws?listenKey=K&events=A/B", "usdm", "private"),
        ("/private/stream?listenKey=K&events=A/B&listenKey=L", "usdm", "private"),
    ],
)
def test_prefixes_name_market_and_route(
    target: str, market: str | None, route: str | None
) -> None:
    address = address_of(target)
    assert (address.market, address.route) == (market, route)
    assert address.dialect is Dialect.BINANCE


@pytest.mark.parametrize(
    "target",
    [
        "",
        "/",
        "//",
        "*",
        "ws",
        "/WS",
        "/nothing",
        "/spot",
        "/usdm/",
        "/public",
        "/spot/public/ws",
        "/public/market/ws",
        "/spot/usdm/ws",
        "/public/spot/ws",
        "/stream/ws",
        "/stream/ws/a@trade",
        "/stream/a@trade",
        "/stream/!ticker@arr",
        "/ws-api/v3",
        "/api/v3/depth",
        "http://localhost:9443",
        "?streams=a@trade",
        "#/ws",
    ],
)
def test_other_paths_are_refused_in_the_words_of_the_exchange(target: str) -> None:
    assert refusal_of(target) == Refusal(404, "Invalid request path")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/ws/a@trade,b@trade", "a@trade,b@trade"),
        ("/stream?streams=a@trade,b@trade", "a@trade,b@trade"),
        ("/stream?streams=a@trade/ltcbtc", "ltcbtc"),
        ("/stream?streams=not%20a@stream", "not a@stream"),
        ("/ws/@@@x", "@@@x"),
        ("/ws/!", "!"),
        ("/ws/a@trade%3Fx", "a@trade?x"),
        ("/ws/a@trade&b@trade", "a@trade&b@trade"),
    ],
)
def test_malformed_names_are_refused_with_an_explanation(
    target: str, name: str
) -> None:
    assert refusal_of(target) == Refusal(
        400,
        f"Malformed stream name {name!r}: "
        "name streams like 'btcusdt@trade', parted by '/'",
    )


@pytest.mark.parametrize("target", ["/ws/%ff@trade", "/ws/\udcff@trade", "/\ud800"])
def test_what_is_not_utf_8_is_refused(target: str) -> None:
    assert refusal_of(target) == Refusal(400, "Invalid request path: not UTF-8")


@pytest.mark.parametrize(
    ("target", "microseconds"),
    [
        ("/ws/a@trade?timeUnit=MICROSECOND", True),
        ("/ws?timeUnit=microsecond", True),
        ("/ws/a@trade?timeUnit=MILLISECOND", False),
        ("/ws/a@trade?timeUnit=millisecond", False),
        ("/stream?streams=a@trade&timeUnit=MICROSECOND", True),
        ("/stream?timeUnit=MICROSECOND&streams=a@trade", True),
        ("/stream?streams=a@trade/b@trade?timeUnit=MICROSECOND", True),
        ("/stream?timeUnit=MILLISECOND&timeUnit=MICROSECOND", True),
        ("/spot/stream?timeUnit=MICROSECOND", True),
        ("/ws/a@trade", None),
        ("/usdm/ws?timeUnit=MICROSECOND", None),
        ("/public/stream?timeUnit=MICROSECOND&streams=a@trade", None),
        ("/market/ws?timeUnit=nanoseconds", None),
    ],
)
def test_the_time_unit_is_taken_from_any_place_in_a_spot_query(
    target: str, microseconds: bool | None
) -> None:
    assert address_of(target).microseconds is microseconds


def test_a_second_question_mark_does_not_spoil_the_streams() -> None:
    address = address_of("/stream?streams=a@trade/b@trade?timeUnit=MICROSECOND")
    assert address.streams == ("a@trade", "b@trade")


@pytest.mark.parametrize("unit", ["", "=", "=NANOSECOND", "=Microsecond"])
def test_an_unknown_time_unit_is_refused(unit: str) -> None:
    assert refusal_of(f"/ws/a@trade?timeUnit{unit}") == Refusal(
        400,
        '{"code":-1194,"msg":"Invalid value for time unit; '
        'expected either MICROSECOND or MILLISECOND."}',
    )


@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:9443/ws/a@trade", "wss://x/ws/a@trade", "/ws/a@trade#part"],
)
def test_origin_and_fragment_make_no_difference(target: str) -> None:
    assert address_of(target) == address_of("/ws/a@trade")


def test_the_path_is_kept_as_asked_without_its_query() -> None:
    assert (
        address_of("/public/ws/a%40trade/?timeUnit=x").path == "/public/ws/a%40trade/"
    )


OBJECTS = {
    '{"action":"subscribe","pair":"LTCUSDT","stream":"trade"}': Dialect.SIMPLE,
    '{"action":null}': Dialect.SIMPLE,
    '{"method":"SUBSCRIBE","params":["a@trade"],"id":1}': Dialect.BINANCE,
    '{"method":7}': Dialect.BINANCE,
    '{"method":"SUBSCRIBE","action":"subscribe"}': Dialect.SIMPLE,
}
OTHERS = ["", "hello", "[]", '["action"]', '"method"', "{}", '{"action":', "[" * 10**5]
SHARED = [
    *("/stream", "/stream/", "/stream//", "/spot/stream", "/usdm/stream/"),
    *("/stream/?token=x", "/stream?timeUnit=MICROSECOND", "/stream%2F"),
]


@pytest.mark.parametrize("target", SHARED)
@pytest.mark.parametrize("text", OBJECTS)
def test_on_the_shared_path_the_first_text_decides(target: str, text: str) -> None:
    address = address_of(target)
    assert address.dialect is Dialect.UNDECIDED
    assert address.combined
    assert decide_dialect(address, text) is OBJECTS[text]


@pytest.mark.parametrize("text", OTHERS)
@pytest.mark.parametrize("target", SHARED)
def test_a_text_that_is_no_request_gets_the_error_of_the_spelling(
    target: str, text: str
) -> None:
    path = target.partition("?")[0].replace("%2F", "/")
    expected = Dialect.SIMPLE if path.endswith("/") else Dialect.BINANCE
    assert decide_dialect(address_of(target), text) is expected


@pytest.mark.parametrize(
    "target", ["/ws", "/stream?streams=", "/stream/?streams=a@trade", "/stream/3"]
)
@pytest.mark.parametrize("text", [*OBJECTS, *OTHERS])
def test_other_addresses_are_native_whatever_is_said(target: str, text: str) -> None:
    assert decide_dialect(address_of(target), text) is Dialect.BINANCE


@given(st.text(), st.sampled_from(SHARED))
def test_every_first_text_decides(text: str, target: str) -> None:
    decided = decide_dialect(address_of(target), text)
    assert decided in {Dialect.SIMPLE, Dialect.BINANCE}
