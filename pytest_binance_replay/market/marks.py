"""Mark and index price of a perpetual contract, and its funding rate.

The index follows the middle of the book with some delay, as that of other exchanges
does; the mark price lies between the two.

Source:
    Binance futures FAQ, "Introduction to Binance Futures Funding Rates": the rate is
    the average premium plus the interest of 0.01 %, held within 0.05 % of each other.
"""

from __future__ import annotations

from pytest_binance_replay.market.listing import Listing
from pytest_binance_replay.market.payloads import Mark

_UNIT = 10**8
_INTEREST = 10_000
_MOST_APART = 50_000
_FUNDING_US = 8 * 3_600_000_000


class Marks:
    """The prices of one contract, moved on second by second.

    Args:
        listing: Whose book they follow.
    """

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._unit: int = _UNIT // 10**listing.instrument.price_decimals
        self._second = listing.floor.now_us // 1_000_000
        self._index = self._average = self._settle = self._middle()
        self._premium = 0

    def _middle(self) -> int:
        bid, _, ask, _ = self._listing.book.top()
        return (bid + ask) * self._unit // 2

    def at(self, now_us: int) -> Mark:
        """Return the prices of a moment, which is not before that of the last call."""
        second = now_us // 1_000_000
        middle = self._middle()
        for _ in range(min(second - self._second, 60)):
            self._index += (middle - self._index) // 8
            self._settle += (self._index - self._settle) // 64
            self._average += (middle - self._average) // 30
            premium = (middle - self._index) * _UNIT // self._index
            self._premium += (premium - self._premium) // 300
        self._second = second
        apart = max(-_MOST_APART, min(_MOST_APART, _INTEREST - self._premium))
        return Mark(
            mark=(self._index + middle) // 2,
            average=self._average,
            settle=self._settle,
            index_price=self._index,
            funding=self._premium + apart,
            funding_us=now_us - now_us % _FUNDING_US + _FUNDING_US,
        )
