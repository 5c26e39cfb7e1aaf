"""What may happen to a book: an order arrives, is cancelled, or takes others.

An action says where it acts relative to the book as it is then, so it is valid in any
state: a list of actions is a market, and so is any part of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Side: TypeAlias = Literal["bid", "ask"]
"""A side of the book."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What all actions have.

    Attributes:
        symbol: Whose book, upper case.
        after_us: Microseconds after the action before it, of whichever symbol.
    """

    symbol: str
    after_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Action):
    """A new order, which waits in the book.

    Attributes:
        side: Where it waits.
        distance: Ticks from the best price of the other side; 1 is the nearest that
            does not meet it. A price of less than one tick becomes one.
        quantity: Steps, above 0.
    """

    side: Side
    distance: int = 1
    quantity: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(Action):
    """Orders of one level are taken back, the newest first.

    A level that is not there is left alone, and so is the last one of a side.

    Attributes:
        side: Where they wait.
        level: Which level, the best one being 0.
        quantity: Steps, above 0; None for all of the level.
    """

    side: Side
    level: int = 0
    quantity: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Take(Action):
    """A taker meets waiting orders, the best price first, the oldest order first.

    The last step of a side is never taken.

    Attributes:
        side: Whose orders; those of the bids are met by a seller.
        quantity: Steps, above 0.
        is_forced: Whether it is a liquidation.
    """

    side: Side
    quantity: int = 1
    is_forced: bool = False
