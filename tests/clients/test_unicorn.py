"""unicorn-binance-websocket-api, and the local depth cache on top of it.

The first is given its address; the second has no setting for one, so its parts are
given theirs, or the exchange's hosts lead here. Told nothing, both ask a third party
whether they are up to date. Each takes some seconds to start.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_binance_replay import BinanceReplay
from tests.clients.cassettes import Recorded
from tests.clients.conftest import OpenReplay
from tests.clients.truth import Ladder, ladder, moments, true_ladder, until_equal
from tests.integration.dialers import need

EXCHANGES = {"spot": "binance.com", "usdm": "binance.com-futures"}


@contextmanager
def websocket_manager(
    binance_replay: BinanceReplay, recorded: Recorded
) -> Iterator[Any]:
    need("unicorn_binance_websocket_api")
    from unicorn_binance_websocket_api import BinanceWebSocketApiManager

    manager = BinanceWebSocketApiManager(
        exchange=EXCHANGES[recorded.market],
        websocket_base_uri=f"{binance_replay.ws_url}/",
        warn_on_update=False,
        disable_colorama=True,
    )
    try:
        yield manager
    finally:
        manager.stop_manager()


def test_streams(open_replay: OpenReplay, demo: Recorded) -> None:
    kinds = [demo.trades, "ticker"] if demo.market == "usdm" else ["trade", "ticker"]
    streams = [demo.stream(kind) for kind in kinds]
    replay = open_replay(demo, start_after=streams)
    seen: list[dict[str, Any]] = []
    with websocket_manager(replay, demo) as manager:
        manager.create_stream(
            kinds, [demo.symbol.lower()], process_stream_data=_into(seen)
        )
        replay.play().wait()
        frames = [frame for frame in replay.frames() if frame.stream in streams]
        replay.until(lambda: len(seen) == len(frames)).wait()
    assert [message["stream"] for message in seen] == [f.stream for f in frames]
    assert [m["data"] for m in seen] == [json.loads(f.payload) for f in frames]


def _into(seen: list[dict[str, Any]]) -> Any:
    def process(text: str, *_: object, **__: object) -> None:
        message = json.loads(text)
        if "stream" in message:
            seen.append(message)

    return process


@contextmanager
def depth_caches(
    binance_replay: BinanceReplay, recorded: Recorded, *, redirect: bool
) -> Iterator[Any]:
    need("unicorn_binance_local_depth_cache")
    from unicorn_binance_local_depth_cache import BinanceLocalDepthCacheManager
    from unicorn_binance_rest_api import BinanceRestApiManager

    class Rest(BinanceRestApiManager):  # type: ignore[misc]
        # What it is made with is put aside: it asks at once, and has no parameter.
        API_URL = property(lambda _: f"{binance_replay.rest_url}/api", lambda *_: None)
        FUTURES_URL = property(
            lambda _: f"{binance_replay.rest_url}/fapi", lambda *_: None
        )

    exchange = EXCHANGES[recorded.market]
    caches = BinanceLocalDepthCacheManager(
        exchange=exchange,
        depth_cache_update_interval=100,
        init_interval=0.1,
        warn_on_update=False,
        disable_colorama=True,
        ubra_manager=(
            None if redirect else Rest(exchange=exchange, warn_on_update=False)
        ),
    )
    if not redirect:
        caches.ubwa.websocket_base_uri = f"{binance_replay.ws_url}/"
    try:
        yield caches
    finally:
        caches.stop_manager()


def test_book(open_replay: OpenReplay, demo: Recorded, *, redirect: bool) -> None:
    replay = open_replay(demo, redirect=redirect, start="manual")
    with depth_caches(replay, demo, redirect=redirect) as caches:
        caches.create_depthcache(markets=demo.symbol)
        replay.wait_for_subscription(demo.diff_stream, timeout=20).wait()
        # The first diff makes it ask for a snapshot, which the second one joins: had
        # it more in hand that are older, it would begin anew, five seconds later.
        replay.step(stream=demo.diff_stream).wait()
        replay.until(lambda: _has_snapshot(caches, demo), timeout=20).wait()
        for moment in moments(replay):
            replay.play(until=moment).wait()
            wanted = true_ladder(replay, demo.symbol)
            until_equal(replay, lambda: _ladder_of(caches, demo), wanted).wait()


def _has_snapshot(caches: Any, recorded: Recorded) -> bool:
    state = caches.depth_caches[recorded.symbol.lower()]
    return state["last_update_id"] is not None


def _ladder_of(caches: Any, recorded: Recorded) -> Ladder:
    from unicorn_binance_local_depth_cache import DepthCacheOutOfSync

    try:
        return ladder(
            caches.get_bids(recorded.symbol), caches.get_asks(recorded.symbol)
        )
    except DepthCacheOutOfSync:
        return [], []
