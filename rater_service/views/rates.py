"""How rates are shown: USD per token, and beside it per million tokens, as model prices are usually told."""

from decimal import Decimal

from rater_service.money import Rates, per_million

RATE_COLUMNS = ("prompt", "per M", "cached", "per M", "completion", "per M")
RATE_UNITS = "USD per token, as billed, and per million tokens (M)"


def rate_cells(rates: Rates | None) -> tuple[Decimal | None, ...]:
    """Return the cells of RATE_COLUMNS; None: there are no rates."""
    if rates is None:
        return (None,) * len(RATE_COLUMNS)
    return tuple(cell for rate in rates.by_component().values() for cell in (rate, per_million(rate)))


def rates_json(rates: Rates) -> dict[str, Decimal]:
    """Return what is written of rates as JSON."""
    by_component = rates.by_component().items()
    return {f"{name}_rate": rate for name, rate in by_component} | {
        f"{name}_per_million": per_million(rate) for name, rate in by_component
    }
