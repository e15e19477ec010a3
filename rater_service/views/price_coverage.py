"""How it is shown which served models have a price."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypedDict

from phoebe_runtime.counts import counted
from rater_service.prices.history import Quote
from rater_service.prices.resolution import NoPrice, NoPriceReason, PriceSource
from rater_service.views.documents import Kind
from rater_service.views.layout import Words
from rater_service.views.rates import RATE_COLUMNS, RATE_UNITS, RatesJson, rate_cells, rates_json
from rater_service.views.terminal import write, write_table


@dataclass(frozen=True, slots=True)
class Coverage:
    """A model that a server serves, and its price. parent: its base model, by the server's own word."""

    model_id: str
    parent: str | None
    found: Quote | NoPrice


class UnpricedJson(TypedDict):
    """A model without a price."""

    model_id: str
    parent: str | None
    priced: Literal[False]
    reason: NoPriceReason
    message: str


class PricedJson(RatesJson):
    """A model with a price."""

    model_id: str
    parent: str | None
    priced: Literal[True]
    source: PriceSource
    derived_from: str | None
    price_book: str


class CoverageJson(TypedDict):
    """The models that a server serves."""

    models: Sequence[PricedJson | UnpricedJson]


COVERAGE = Kind("coverage", CoverageJson)


def show_coverage(url: str, covered: Sequence[Coverage]) -> None:
    """Show what the models of a server cost, and count those without a price."""
    unpriced = [each for each in covered if isinstance(each.found, NoPrice)]
    write_table(
        f"models of {url}: {RATE_UNITS}",
        ("model", *RATE_COLUMNS, "from"),
        (_row(each) for each in covered),
    )
    write(f"{counted(len(covered), 'model')} served, {len(unpriced)} without a price")


def coverage_json(each: Coverage) -> PricedJson | UnpricedJson:
    """Return what is written of a model as JSON."""
    if isinstance(each.found, NoPrice):
        return {
            "model_id": each.model_id,
            "parent": each.parent,
            "priced": False,
            "reason": each.found.reason,
            "message": each.found.reason.explain(each.model_id),
        }
    price = each.found.price
    return {
        "model_id": each.model_id,
        "parent": each.parent,
        "priced": True,
        **rates_json(price.billed),
        "source": price.source,
        "derived_from": price.derived_from,
        "price_book": each.found.book.content_hash,
    }


def _row(each: Coverage) -> tuple[str | Decimal | None, ...]:
    if isinstance(each.found, NoPrice):
        return (
            each.model_id,
            *rate_cells(None),
            Words(f"NO PRICE: {each.found.reason.explain(each.model_id)}"),
        )
    price = each.found.price
    origin = price.derived_from or price.source.replace("_", " ").lower()
    return each.model_id, *rate_cells(price.billed), origin
