"""A generated market: order books, and every stream that tells of them, in agreement.

`exchange` is the engine: books of resting orders and the streams that follow from what
happens to them, without any chance. `crowd` is a random source of what happens, shaped
after recordings: when it acts, `arrivals` says, and at which price, `fair`;
`scenarios` and `crossings` say where that leads. `session` makes cassette lines of it:
`play_actions` from a list of actions, `generate` from a seed.

All of it computes in integers, ticks of price and steps of quantity.
"""

from __future__ import annotations

from pytest_binance_replay.market.actions import Action, Cancel, Place, Side, Take
from pytest_binance_replay.market.crossings import Crossing
from pytest_binance_replay.market.exchange import START_US, Exchange
from pytest_binance_replay.market.instruments import (
    KNOWN_SYMBOLS,
    Instrument,
    find_instrument,
)
from pytest_binance_replay.market.lineup import default_streams
from pytest_binance_replay.market.listing import Told
from pytest_binance_replay.market.scenarios import (
    SCENARIOS,
    Course,
    Scenario,
    parse_length,
)
from pytest_binance_replay.market.session import (
    DEFAULT_SYMBOLS,
    generate,
    play_actions,
)

__all__ = [
    "DEFAULT_SYMBOLS",
    "KNOWN_SYMBOLS",
    "SCENARIOS",
    "START_US",
    "Action",
    "Cancel",
    "Course",
    "Crossing",
    "Exchange",
    "Instrument",
    "Place",
    "Scenario",
    "Side",
    "Take",
    "Told",
    "default_streams",
    "find_instrument",
    "generate",
    "parse_length",
    "play_actions",
]
