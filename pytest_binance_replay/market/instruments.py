"""What is traded: symbols with their tick and step sizes, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_binance_replay.errors import OptionError
from pytest_binance_replay.streams import Market

_SPOT_DECIMALS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Instrument:
    """A symbol of a generated market.

    Prices are counted in ticks, quantities in steps.

    Attributes:
        symbol: Upper case.
        market: Where it is traded.
        price: At the start, in ticks; above 0.
        price_decimals: The tick is 10 ** -price_decimals.
        quantity_decimals: The step is 10 ** -quantity_decimals.
        written_price: Decimals that prices are written with; None for eight on spot
            and those of the tick on usdm.
        written_quantity: The same of quantities.
        first_update_id: Update id of the book as it opens.
        first_trade_id: Id of the first trade.
        first_agg_trade_id: Id of the first aggregate trade.
        beta: How much of a scenario's price moves it makes, in percent.
        activity: How much goes on, in percent of BTCUSDT.
    """

    symbol: str
    market: Market = "spot"
    price: int
    price_decimals: int = 2
    quantity_decimals: int = 3
    written_price: int | None = None
    written_quantity: int | None = None
    first_update_id: int = 1000
    first_trade_id: int = 1
    first_agg_trade_id: int = 1
    beta: int = 100
    activity: int = 100

    @property
    def price_places(self) -> int:
        """Decimals that prices are written with."""
        return self._places(self.written_price, self.price_decimals)

    @property
    def quantity_places(self) -> int:
        """Decimals that quantities are written with."""
        return self._places(self.written_quantity, self.quantity_decimals)

    def _places(self, written: int | None, used: int) -> int:
        if written is not None:
            return written
        return _SPOT_DECIMALS if self.market == "spot" else used

    @property
    def least_steps(self) -> int:
        """The smallest order that makes sense, worth some 6 of the quote asset."""
        return self._steps_worth(6)

    @property
    def lot_steps(self) -> int:
        """What a maker shows at least, worth some 1000 of the quote asset."""
        return self._steps_worth(1000)

    def _steps_worth(self, value: int) -> int:
        unit: int = 10 ** (self.price_decimals + self.quantity_decimals)
        return max(1, -(-value * unit // self.price))

    def stream(self, feature: str) -> str:
        """Return the name of one of its streams: `trade` gives `btcusdt@trade`."""
        return f"{self.symbol.lower()}@{feature}"


# symbol, spot (price in ticks, decimals of tick and step), usdm (the same, and the
# decimals written), beta, activity. Prices of late 2026 in a story of its own.
_KNOWN: tuple[
    tuple[str, tuple[int, int, int], tuple[int, int, int, int, int], int, int], ...
] = (
    ("BTCUSDT", (9_725_000, 2, 5), (972_450, 1, 3, 2, 3), 100, 100),
    ("ETHUSDT", (318_000, 2, 4), (317_980, 2, 3, 2, 3), 115, 75),
    ("BNBUSDT", (91_200, 2, 3), (91_190, 2, 2, 3, 2), 60, 40),
    ("SOLUSDT", (14_210, 2, 3), (14_207, 2, 2, 4, 2), 140, 55),
    ("XRPUSDT", (21_640, 4, 1), (21_634, 4, 1, 4, 1), 120, 45),
    ("DOGEUSDT", (16_420, 5, 0), (16_417, 5, 0, 6, 0), 150, 35),
    ("ADAUSDT", (5_120, 4, 1), (5_119, 4, 0, 5, 0), 130, 25),
    ("LTCUSDT", (9_860, 2, 3), (9_857, 2, 3, 2, 3), 90, 20),
)
KNOWN_SYMBOLS = tuple(row[0] for row in _KNOWN)
"""The symbols that `find_instrument` knows, most traded first."""


def find_instrument(symbol: str, market: Market) -> Instrument:
    """Return a symbol with its real tick and step sizes.

    Args:
        symbol: Upper case; one of `KNOWN_SYMBOLS`.
        market: Where it is traded.

    Raises:
        OptionError: If the symbol is not known.

    Source:
        Tick and step sizes: Binance's `exchangeInfo` of 2026.
    """
    for number, (name, spot, usdm, beta, activity) in enumerate(_KNOWN):
        if name == symbol:
            price, price_decimals, quantity_decimals = spot
            written: tuple[int | None, int | None] = (None, None)
            if market == "usdm":
                price, price_decimals, quantity_decimals, *rest = usdm
                written = rest[0], rest[1]
            return Instrument(
                symbol=symbol,
                market=market,
                price=price,
                price_decimals=price_decimals,
                quantity_decimals=quantity_decimals,
                written_price=written[0],
                written_quantity=written[1],
                first_update_id=_first_update_id(market, number),
                first_trade_id=6_871_203_355 // (number + 1),
                first_agg_trade_id=4_120_557_902 // (number + 1),
                beta=beta,
                activity=activity,
            )
    known = ", ".join(KNOWN_SYMBOLS)
    where = f"symbols={symbol!r}"
    raise OptionError(where, f"expected some of {known}")


def _first_update_id(market: Market, number: int) -> int:
    """Return an id of the size that they have by now; on the futures all share one."""
    return 11_402_772_014_355 if market == "usdm" else 97_340_772_014 // (number + 1)
