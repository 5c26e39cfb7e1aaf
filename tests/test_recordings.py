"""The bundled recordings are what SOURCES.md says, and show one consistent market.

The checks know nothing of the generator: they read the file with plain `json` and
`Decimal`, as a distrustful user would.
"""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from pytest_binance_replay.cassette import End, format_line, parse_line
from pytest_binance_replay.cli import main
from pytest_binance_replay.tools.inspection import check_file

ROOT = Path(__file__).parents[1]
RECORDINGS = ROOT / "recordings"
SPOT = RECORDINGS / "spot.jsonl"

START_MS = 1_795_168_800_000  # 2026-11-20T10:00:00Z
SYMBOLS = ("BTCUSDT", "ETHUSDT", "BNBUSDT")
KEYS = {
    "trade": "e E s t p q T m M",
    "depth@100ms": "e E s U u b a",
    "ticker": "e E s p P w x c Q b B a A o h l v q O C F L n",
    "bookTicker": "u s b B a A",
    "kline_1m": "e E s k",
}
each_demo = pytest.mark.parametrize("name", ["spot.jsonl", "usdm.jsonl"])
each_symbol = pytest.mark.parametrize("symbol", SYMBOLS)


@cache
def lines() -> tuple[dict[str, Any], ...]:
    return tuple(map(json.loads, SPOT.read_bytes().splitlines()))


def frames() -> list[dict[str, Any]]:
    return [line for line in lines() if "stream" in line]


def events(symbol: str, kind: str) -> list[Any]:
    name = f"{symbol.lower()}@{kind}"
    return [line["data"] for line in frames() if line["stream"] == name]


def answer(request: str) -> dict[str, Any]:
    (line,) = [line for line in lines() if line.get("rest") == request]
    assert line["status"] == 200
    return dict(line["data"])


def texts(value: Any) -> Iterator[str]:
    """Give every string inside a payload."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for member in value.values() if isinstance(value, dict) else value:
            yield from texts(member)


def step(symbol: str, kind: str, name: str) -> Decimal:
    rules = answer("/api/v3/exchangeInfo")["symbols"]
    (filters,) = [rule["filters"] for rule in rules if rule["symbol"] == symbol]
    (found,) = [rule[name] for rule in filters if rule["filterType"] == kind]
    return Decimal(found)


def rounded(value: Decimal, decimals: str) -> Decimal:
    return value.quantize(Decimal(decimals), ROUND_HALF_UP)


# The file


def sections() -> dict[str, dict[str, str]]:
    """What SOURCES.md says of each recording, by file name."""
    text = (RECORDINGS / "SOURCES.md").read_text(encoding="utf-8")
    return {
        name: dict(re.findall(r"^\| ([\w-]+) \| (.*) \|$", table, re.MULTILINE))
        for name, table in re.findall(
            r"^## (\S+)$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
        )
    }


@each_demo
def test_a_demo_is_what_its_command_makes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, *arguments = shlex.split(sections()[name]["Command"].strip("`"))
    monkeypatch.chdir(tmp_path)
    assert program == "binance-replay"
    assert main(arguments) == 0
    made = (tmp_path / "recordings" / name).read_bytes()
    assert made == (RECORDINGS / name).read_bytes()


@each_demo
def test_a_demo_is_sound(name: str) -> None:
    assert list(check_file(RECORDINGS / name)) == []


def test_sources_name_every_recording_with_its_hash() -> None:
    listed = {name: table["SHA-256"].strip("`") for name, table in sections().items()}
    assert listed == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in RECORDINGS.glob("*.jsonl*")
    }


@each_demo
def test_sources_give_the_number_of_frames(name: str) -> None:
    end = parse_line((RECORDINGS / name).read_bytes().splitlines()[-1])
    assert isinstance(end, End)
    assert sections()[name]["Frames"] == str(end.frames)


def test_the_files_stay_small_enough_to_bundle() -> None:
    assert sum(path.stat().st_size for path in RECORDINGS.glob("*.jsonl")) <= 300_000


def test_every_line_is_in_canonical_form() -> None:
    for raw in SPOT.read_bytes().splitlines(keepends=True):
        assert format_line(parse_line(raw)) == raw


def test_header_says_that_the_market_is_synthetic() -> None:
    header = lines()[0]
    assert header["market"] == "spot"
    assert header["source"] == "synthetic:pytest_binance_replay.market seed=109"
    assert header["recorded_at"] == "2026-11-20T10:00:00Z"
    assert set(header["streams"]) == {line["stream"] for line in frames()}
    assert len(header["streams"]) == len(SYMBOLS) * len(KEYS)


def test_receive_times_cover_the_minute_and_never_go_back() -> None:
    times = [line["t"] for line in lines()[1:-1]]
    assert times == sorted(times)
    assert START_MS * 1000 < times[0] < (START_MS + 100) * 1000
    assert (START_MS + 60_000) * 1000 < times[-1] < (START_MS + 60_100) * 1000
    assert times[-1] <= lines()[-1]["end"] < times[-1] + 100_000


def test_arrivals_cluster_and_pause() -> None:
    gaps = [later["t"] - line["t"] for line, later in pairwise(frames())]
    assert sum(gap < 1_000 for gap in gaps) > len(gaps) // 4
    assert sum(gap > 200_000 for gap in gaps) > 40
    assert len(set(gaps)) > len(gaps) // 2


# The formats


@each_symbol
@pytest.mark.parametrize("kind", KEYS)
def test_payloads_have_the_keys_of_the_exchange_in_its_order(
    symbol: str, kind: str
) -> None:
    found = events(symbol, kind)
    assert found
    for event in found:
        assert " ".join(event) == KEYS[kind]
        assert event["s"] == symbol
        if kind == "kline_1m":
            assert " ".join(event["k"]) == "t T s i f L o c h l v n x q V Q B"


def test_amounts_have_eight_decimals() -> None:
    amounts = [
        text
        for line in frames()
        for key, value in (line["data"] | line["data"].get("k", {})).items()
        if key not in {"e", "s", "i", "P", "k"} and (key, value) != ("B", "0")
        for text in texts(value)
    ]
    assert len(amounts) > 4_000
    assert all(re.fullmatch(r"-?\d+\.\d{8}", amount) for amount in amounts)


@each_symbol
def test_prices_and_quantities_keep_to_tick_and_lot(symbol: str) -> None:
    tick = step(symbol, "PRICE_FILTER", "tickSize")
    lot = step(symbol, "LOT_SIZE", "stepSize")
    snapshot = answer(f"/api/v3/depth?symbol={symbol}&limit=1000")
    levels = [(e["p"], e["q"]) for e in events(symbol, "trade")]
    levels += snapshot["bids"] + snapshot["asks"]
    for event in events(symbol, "depth@100ms"):
        levels += event["b"] + event["a"]
    for price, quantity in levels:
        assert Decimal(price) > 0
        assert Decimal(price) % tick == 0
        assert Decimal(quantity) % lot == 0


def test_exchange_info_lists_the_rules_in_documented_order() -> None:
    info = answer("/api/v3/exchangeInfo")
    assert list(info) == (
        ["timezone", "serverTime", "rateLimits", "exchangeFilters", "symbols"]
    )
    assert START_MS <= info["serverTime"] <= START_MS + 100
    assert [rules["symbol"] for rules in info["symbols"]] == list(SYMBOLS)
    for rules in info["symbols"]:
        assert " ".join(rules) == (
            "symbol status baseAsset baseAssetPrecision quoteAsset quotePrecision "
            "quoteAssetPrecision baseCommissionPrecision quoteCommissionPrecision "
            "orderTypes icebergAllowed ocoAllowed otoAllowed opoAllowed "
            "quoteOrderQtyMarketAllowed allowTrailingStop cancelReplaceAllowed "
            "amendAllowed pegInstructionsAllowed isSpotTradingAllowed "
            "isMarginTradingAllowed filters permissions permissionSets "
            "defaultSelfTradePreventionMode allowedSelfTradePreventionModes"
        )
        assert rules["symbol"] == rules["baseAsset"] + rules["quoteAsset"]
        assert rules["status"] == "TRADING"


@each_symbol
@pytest.mark.parametrize("kind", [kind for kind in KEYS if kind != "bookTicker"])
def test_event_times_do_not_go_back_and_precede_their_arrival(
    symbol: str, kind: str
) -> None:
    found = [line for line in frames() if line["stream"] == f"{symbol.lower()}@{kind}"]
    for line in found:
        assert START_MS <= line["data"]["E"] < line["t"] / 1000
    for line, later in pairwise(found):
        assert line["data"]["E"] <= later["data"]["E"]


@each_symbol
@pytest.mark.parametrize(
    ("kind", "period_ms", "slack_ms"),
    [("depth@100ms", 100, 5), ("ticker", 1000, 10), ("kline_1m", 2000, 50)],
)
def test_timed_streams_keep_to_their_period(
    symbol: str, kind: str, period_ms: int, slack_ms: int
) -> None:
    found = events(symbol, kind)
    if kind == "kline_1m":
        found = found[:-1]  # the closing one comes when the candle ends
    for event, later in pairwise(found):
        gap_ms = later["E"] - event["E"]
        assert gap_ms >= period_ms - slack_ms
        assert (gap_ms + slack_ms) % period_ms <= 2 * slack_ms


# The book


@dataclass
class NaiveBook:
    """A local order book kept by the documented procedure, and no more."""

    update_id: int
    bids: dict[Decimal, Decimal] = field(default_factory=dict)
    asks: dict[Decimal, Decimal] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: dict[str, Any]) -> NaiveBook:
        book = cls(snapshot["lastUpdateId"])
        book.put(snapshot["bids"], snapshot["asks"])
        return book

    def put(self, bids: list[list[str]], asks: list[list[str]]) -> None:
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, quantity in levels:
                side[Decimal(price)] = Decimal(quantity)
                if not Decimal(quantity):
                    del side[Decimal(price)]

    def apply(self, event: dict[str, Any]) -> None:
        assert event["U"] <= self.update_id + 1
        if event["u"] > self.update_id:
            self.put(event["b"], event["a"])
            self.update_id = event["u"]

    def top(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        bid, ask = max(self.bids), min(self.asks)
        return bid, self.bids[bid], ask, self.asks[ask]


def top_of(event: dict[str, Any]) -> tuple[Decimal, ...]:
    return tuple(Decimal(event[key]) for key in "bBaA")


def rebuilt(symbol: str) -> Iterator[NaiveBook]:
    """Give the book after its snapshot, and after each diff that comes later."""
    book = NaiveBook.of(answer(f"/api/v3/depth?symbol={symbol}&limit=1000"))
    yield book
    for event in events(symbol, "depth@100ms"):
        if event["u"] > book.update_id:
            book.apply(event)
            yield book


@each_symbol
def test_diffs_chain_without_a_gap(symbol: str) -> None:
    found = events(symbol, "depth@100ms")
    assert all(event["U"] <= event["u"] for event in found)
    for event, later in pairwise(found):
        assert later["U"] == event["u"] + 1


@each_symbol
def test_a_diff_tells_each_changed_level_once_best_first(symbol: str) -> None:
    for event in events(symbol, "depth@100ms"):
        assert event["b"] or event["a"]
        for side, levels in (("b", event["b"]), ("a", event["a"])):
            prices = [Decimal(price) for price, _ in levels]
            assert prices == sorted(set(prices), reverse=side == "b")
        assert len(event["b"]) + len(event["a"]) <= event["u"] - event["U"] + 1


@each_symbol
def test_the_snapshot_joins_the_diffs_by_the_documented_rule(symbol: str) -> None:
    snapshot_id = answer(f"/api/v3/depth?symbol={symbol}&limit=1000")["lastUpdateId"]
    found = events(symbol, "depth@100ms")
    assert snapshot_id >= found[0]["U"] - 1
    first = next(event for event in found if event["u"] > snapshot_id)
    assert first["U"] <= snapshot_id + 1 <= first["u"]


@each_symbol
def test_the_snapshot_comes_shortly_after_the_start(symbol: str) -> None:
    request = f"/api/v3/depth?symbol={symbol}&limit=1000"
    (line,) = [line for line in lines() if line.get("rest") == request]
    assert 0 < line["t"] - START_MS * 1000 < 1_000_000
    assert list(line["data"]) == ["lastUpdateId", "bids", "asks"]
    for name, sign in (("bids", -1), ("asks", 1)):
        prices = [sign * Decimal(price) for price, _ in line["data"][name]]
        assert prices == sorted(set(prices))
        assert len(prices) >= 20


@each_symbol
def test_the_rebuilt_book_is_never_crossed_nor_bare(symbol: str) -> None:
    states = 0
    for book in rebuilt(symbol):
        assert max(book.bids) < min(book.asks)
        assert min(len(book.bids), len(book.asks)) >= 3
        states += 1
    assert states > 20


@each_symbol
def test_book_ticker_shows_the_top_of_the_rebuilt_book(symbol: str) -> None:
    shown = {event["u"]: top_of(event) for event in events(symbol, "bookTicker")}
    compared = 0
    for book in rebuilt(symbol):
        if book.update_id in shown:
            assert book.top() == shown[book.update_id]
            compared += 1
    assert compared > 15


@each_symbol
def test_the_book_shows_the_latest_top_told_before_each_diff(symbol: str) -> None:
    tops = events(symbol, "bookTicker")
    for book in rebuilt(symbol):
        told = [event for event in tops if event["u"] <= book.update_id]
        assert book.top() == top_of(told[-1])


@each_symbol
def test_update_ids_of_book_tickers_rise_and_run_ahead(symbol: str) -> None:
    latest = latest_depth = 0
    for line in frames():
        event = line["data"]
        if line["stream"] == f"{symbol.lower()}@bookTicker":
            assert event["u"] > max(latest, latest_depth)
            assert Decimal(event["b"]) < Decimal(event["a"])
            latest = event["u"]
        elif line["stream"] == f"{symbol.lower()}@depth@100ms":
            latest_depth = event["u"]


# The trades


@each_symbol
def test_trade_ids_rise_by_one(symbol: str) -> None:
    ids = [event["t"] for event in events(symbol, "trade")]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert all(event["T"] <= event["E"] for event in events(symbol, "trade"))


def takes(symbol: str) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Give what each taker traded, with the book ticker that it saw before."""
    names = {f"{symbol.lower()}@trade", f"{symbol.lower()}@bookTicker"}
    found = [line for line in frames() if line["stream"] in names]
    seen: dict[str, Any] = {}
    for name, group in groupby(found, lambda line: line["stream"]):
        told = [line["data"] for line in group]
        if name.endswith("@bookTicker"):
            seen = told[-1]
        elif seen:
            yield seen, told


@each_symbol
def test_takers_hit_the_top_of_the_book_and_then_worse_levels(symbol: str) -> None:
    for seen, trades in takes(symbol):
        first = trades[0]
        price, quantity = ("b", "B") if first["m"] else ("a", "A")
        assert first["p"] == seen[price]
        at_top = [trade for trade in trades if trade["p"] == seen[price]]
        assert total(at_top, base) <= Decimal(seen[quantity])
        assert {(trade["m"], trade["T"]) for trade in trades} == {
            (first["m"], first["T"])
        }
        if len(trades) > len(at_top):
            assert total(at_top, base) == Decimal(seen[quantity])
        prices = [Decimal(trade["p"]) for trade in trades]
        assert prices == sorted(prices, reverse=first["m"])


@each_symbol
def test_every_traded_level_is_in_the_next_diff(symbol: str) -> None:
    traded: set[tuple[str, str]] = set()
    for line in frames():
        event = line["data"]
        if line["stream"] == f"{symbol.lower()}@trade":
            traded.add(("b" if event["m"] else "a", event["p"]))
        elif line["stream"] == f"{symbol.lower()}@depth@100ms":
            changed = {(side, price) for side in "ba" for price, _ in event[side]}
            assert traded <= changed
            traded.clear()
    assert not traded


# The sums


def told_so_far(symbol: str, kind: str) -> Iterator[tuple[Any, list[Any], Any]]:
    """Give each event of a kind with the trades and the book ticker before it."""
    trades: list[Any] = []
    top: Any = None
    for line in frames():
        stream, event = line["stream"], line["data"]
        if stream == f"{symbol.lower()}@trade":
            trades.append(event)
        elif stream == f"{symbol.lower()}@bookTicker":
            top = event
        elif stream == f"{symbol.lower()}@{kind}":
            yield event, trades, top


def total(trades: list[Any], amount: Callable[[Any], Decimal]) -> Decimal:
    return sum(map(amount, trades), Decimal(0))


def base(trade: Any) -> Decimal:
    return Decimal(trade["q"])


def quote(trade: Any) -> Decimal:
    return Decimal(trade["p"]) * Decimal(trade["q"])


@each_symbol
def test_candles_add_up_their_trades(symbol: str) -> None:
    for event, trades, _ in told_so_far(symbol, "kline_1m"):
        candle, bought = event["k"], [trade for trade in trades if not trade["m"]]
        prices = [Decimal(trade["p"]) for trade in trades]
        assert [candle["f"], candle["L"]] == [trades[0]["t"], trades[-1]["t"]]
        assert candle["n"] == len(trades) == candle["L"] - candle["f"] + 1
        assert [Decimal(candle[key]) for key in "ochl"] == [
            prices[0],
            prices[-1],
            max(prices),
            min(prices),
        ]
        assert [Decimal(candle[key]) for key in "vqVQ"] == [
            total(trades, base),
            total(trades, quote),
            total(bought, base),
            total(bought, quote),
        ]


@each_symbol
def test_the_candle_is_the_minute_and_closes_once_at_its_end(symbol: str) -> None:
    found = events(symbol, "kline_1m")
    assert {(e["k"]["t"], e["k"]["T"], e["k"]["i"]) for e in found} == {
        (START_MS, START_MS + 59_999, "1m")
    }
    assert [e["k"]["x"] for e in found] == [False] * (len(found) - 1) + [True]
    assert 0 < found[-1]["E"] - (START_MS + 60_000) < 50
    assert found[-1]["k"]["n"] == len(events(symbol, "trade"))
    assert all(e["T"] <= START_MS + 59_999 for e in events(symbol, "trade"))


@each_symbol
def test_no_candle_is_told_twice(symbol: str) -> None:
    candles = [event["k"] for event in events(symbol, "kline_1m")]
    assert all(candle != later for candle, later in pairwise(candles))


@each_symbol
def test_tickers_show_the_last_trade_and_the_top_of_the_book(symbol: str) -> None:
    compared = 0
    for event, trades, top in told_so_far(symbol, "ticker"):
        if trades and top:
            assert [event["L"], event["c"], event["Q"]] == [
                trades[-1][key] for key in "tpq"
            ]
            assert top_of(event) == top_of(top)
            compared += 1
    assert compared > 10


@each_symbol
def test_tickers_agree_with_themselves(symbol: str) -> None:
    for event in events(symbol, "ticker"):
        amount = {key: Decimal(event[key]) for key in "pPwxcohlvq"}
        change = amount["c"] - amount["o"]
        assert amount["p"] == change
        assert amount["P"] == rounded(change * 100 / amount["o"], "0.001")
        assert amount["w"] == rounded(amount["q"] / amount["v"], "0.00000001")
        for key in "xcow":
            assert amount["l"] <= amount[key] <= amount["h"]
        assert event["n"] == event["L"] - event["F"] + 1
        assert event["O"] == event["C"] - 86_400_000
        assert 0 <= event["E"] - event["C"] <= 5


@each_symbol
def test_the_window_of_a_ticker_gains_new_trades_and_loses_old_ones(
    symbol: str,
) -> None:
    by_id = {event["t"]: event for event in events(symbol, "trade")}
    for event, later in pairwise(events(symbol, "ticker")):
        gained = [by_id[t] for t in range(event["L"] + 1, later["L"] + 1)]
        lost = later["F"] - event["F"]
        volume = Decimal(event["v"]) + total(gained, base) - Decimal(later["v"])
        assert lost >= 0
        assert (volume > 0) == (lost > 0)
        assert volume >= 0
        assert lost > 0 or event["o"] == later["o"]


# The story


def test_bitcoin_crosses_its_levels_in_their_seconds_and_not_before() -> None:
    trades = [
        ((event["T"] - START_MS) // 1000, Decimal(event["p"]))
        for event in events("BTCUSDT", "trade")
    ]
    fallen = next(trade for trade in trades if trade[1] <= 95_790)
    assert fallen == (26, Decimal(95_790))
    later = trades[trades.index(fallen) :]
    assert next(trade for trade in later if trade[1] >= 97_000) == (45, Decimal(97_000))


@each_symbol
def test_the_spread_is_narrow_most_of_the_time(symbol: str) -> None:
    spreads = sorted(
        (Decimal(event["a"]) - Decimal(event["b"])) / Decimal(event["b"])
        for event in events(symbol, "bookTicker")
    )
    assert spreads[len(spreads) // 2] < Decimal("0.00015")


def test_the_futures_demo_has_what_only_futures_have() -> None:
    kinds: dict[str, int] = defaultdict(int)
    for raw in (RECORDINGS / "usdm.jsonl").read_bytes().splitlines()[1:-1]:
        line = json.loads(raw)
        kinds[line["data"].get("e", line.get("rest"))] += 1
    assert kinds["markPriceUpdate"] == 60
    assert kinds["forceOrder"] > 3
    assert kinds["/fapi/v1/depth?symbol=BTCUSDT&limit=1000"] == 1
    assert kinds["aggTrade"] > 20
