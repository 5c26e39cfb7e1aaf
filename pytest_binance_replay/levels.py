"""One level of an order book, shared by events and books."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple


class Level(NamedTuple):
    """One price of one side of a book, and what rests there.

    Attributes:
        price: In quote units.
        quantity: In base units (COIN-M: contracts).
    """

    price: Decimal
    quantity: Decimal
