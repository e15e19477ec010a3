"""How rates are shown: USD per token, and beside it per million tokens, as model prices are usually told."""

from decimal import Decimal
from typing import TypedDict

from rater_service.money import Rates, per_million

RATE_COLUMNS = ("prompt", "prompt per M", "cached", "cached per M", "completion", "completion per M")
RATE_UNITS = "USD per token, as billed, and per million tokens (M)"


class RatesJson(TypedDict):
    """Rates in USD per token as they are billed, and per million tokens."""

    prompt_rate: Decimal
    cached_rate: Decimal
    completion_rate: Decimal
    prompt_per_million: Decimal
    cached_per_million: Decimal
    completion_per_million: Decimal


def rate_cells(rates: Rates | None) -> tuple[Decimal | None, ...]:
    """Return the cells of RATE_COLUMNS; None: there are no rates."""
    if rates is None:
        return (None,) * len(RATE_COLUMNS)
    return tuple(cell for rate in rates.by_component().values() for cell in (rate, per_million(rate)))


def rates_json(rates: Rates) -> RatesJson:
    """Return what is written of rates as JSON."""
    return {
        "prompt_rate": rates.prompt,
        "cached_rate": rates.cached,
        "completion_rate": rates.completion,
        "prompt_per_million": per_million(rates.prompt),
        "cached_per_million": per_million(rates.cached),
        "completion_per_million": per_million(rates.completion),
    }
