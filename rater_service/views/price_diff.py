"""Shows how two price books differ, and what that means in money."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from typing import NotRequired, TypedDict

from phoebe_runtime.counts import counted
from rater_service.hours import utc_text
from rater_service.money import decimal_text, exact_sum, per_million
from rater_service.prices.comparison import CustomerImpact, ModelChange, PriceChange
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.resolution import Price, PriceSource
from rater_service.views.documents import Kind
from rater_service.views.layout import Words
from rater_service.views.rates import RATE_UNITS, RatesJson, rates_json
from rater_service.views.terminal import write, write_table

_COMPONENTS = ("prompt", "cached", "completion")
_IMPACTS_SHOWN = 50
_PERCENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Impact:
    """What the usage of a window, half-open in whole UTC hours, costs by two books; money in USD."""

    window_start: datetime
    window_end: datetime
    customers: tuple[CustomerImpact, ...]
    unbillable_events: int

    @property
    def before(self) -> Decimal:
        """All customers by the old book."""
        return exact_sum(each.cost_before for each in self.customers)

    @property
    def after(self) -> Decimal:
        """All customers by the new book."""
        return exact_sum(each.cost_after for each in self.customers)

    @property
    def difference(self) -> Decimal:
        """How much more it is by the new one; negative if less."""
        return exact_sum((self.after, self.before.copy_negate()))


class SideJson(RatesJson):
    """A model's price by one of the books."""

    source: PriceSource
    derived_from: str | None
    premium: str | None


class ChangeJson(TypedDict):
    """How a model's price differs; see `ModelChange`. null: the book has none."""

    model_id: str
    any_fine_tune: bool
    change: PriceChange
    old: SideJson | None
    new: SideJson | None


class OtherJson(TypedDict):
    """What else differs, in words."""

    what: str
    old: str
    new: str


class CustomerJson(TypedDict):
    """What a customer's usage costs by both books, USD."""

    auth_id: str
    events: int
    cost_before: Decimal
    cost_after: Decimal
    difference: Decimal
    unpriced_before: int
    unpriced_after: int


class ImpactJson(TypedDict):
    """What the usage of a window costs by both books, USD."""

    window_start: datetime
    window_end: datetime
    total_before: Decimal
    total_after: Decimal
    difference: Decimal
    unbillable_events: int
    customers: Sequence[CustomerJson]


class DiffJson(TypedDict):
    """How two price books differ. impact: only if it was asked for."""

    old: str
    new: str
    models: Sequence[ChangeJson]
    other: Sequence[OtherJson]
    outlook: Sequence[str]
    impact: NotRequired[ImpactJson]


DIFF = Kind("price-diff", DiffJson)


def show(before: PriceBook, after: PriceBook, changes: Sequence[ModelChange], found: Impact | None) -> None:
    """Write it for a person to read."""
    write(f"old: {before.content_hash}, new: {after.content_hash}")
    if changes:
        write_table(
            f"{RATE_UNITS}: old -> new",
            ("model", "change", *_COMPONENTS, "from"),
            (
                (
                    _name(each),
                    each.change,
                    *(Words(_rate_change(each, name)) for name in _COMPONENTS),
                    Words(_origin(each)),
                )
                for each in changes
            ),
        )
    else:
        write("no model's price is different")
    for what, old, new in _other_differences(before, after):
        write(f"{what}: {old} -> {new}")
    if found is not None:
        _show_impact(found)


def _name(change: ModelChange) -> str:
    return f"other fine-tunes of {change.model_id}" if change.any_fine_tune else change.model_id


def _rate_change(change: ModelChange, component: str) -> str:
    old, new = (
        None if price is None else price.billed.by_component()[component]
        for price in (change.before, change.after)
    )
    if old is None or new is None or old == new:
        rate = _either(old, new)
        return f"{decimal_text(rate)}; {decimal_text(per_million(rate))} per M"
    return (
        f"{decimal_text(old)} -> {decimal_text(new)}{_percent(old, new)}; "
        f"{decimal_text(per_million(old))} -> {decimal_text(per_million(new))} per M"
    )


def _either(old: Decimal | None, new: Decimal | None) -> Decimal:
    rate = new if new is not None else old
    assert rate is not None  # a change has at least one price
    return rate


def _percent(old: Decimal, new: Decimal) -> str:
    """Say how much more it is; only to be read, nothing is computed with it."""
    if not old:
        return ""
    with localcontext(prec=60):
        return f" ({((new - old) * 100 / old).quantize(_PERCENT):+f} %)"


def _origin(change: ModelChange) -> str:
    old, new = (None if price is None else _source(price) for price in (change.before, change.after))
    return " -> ".join(dict.fromkeys(text for text in (old, new) if text is not None))


def _source(price: Price) -> str:
    if price.premium is None:
        return price.source.replace("_", " ").lower()
    return f"{price.derived_from}, {price.premium.describe()}"


def _other_differences(before: PriceBook, after: PriceBook) -> list[tuple[str, str, str]]:
    named = [
        ("premium", before.premium.describe(), after.premium.describe()),
        ("effective_from", _moment(before.effective_from), _moment(after.effective_from)),
        *(
            (f"GPU floor rate of {name}", _floor(before, name), _floor(after, name))
            for name in sorted({*before.gpu_floor_rates, *after.gpu_floor_rates})
        ),
    ]
    return [each for each in named if each[1] != each[2]]


def _moment(moment: datetime | None) -> str:
    return "not given" if moment is None else utc_text(moment)


def _floor(book: PriceBook, name: str) -> str:
    rate = book.gpu_floor_rates.get(name)
    return "none" if rate is None else decimal_text(rate)


def _show_impact(found: Impact) -> None:
    start, end = utc_text(found.window_start), utc_text(found.window_end)
    shown = found.customers[:_IMPACTS_SHOWN]
    write_table(
        f"{start} to {end}: USD, largest difference first",
        ("auth_id", "events", "old", "new", "difference", "unpriced by old", "unpriced by new"),
        (
            (
                each.auth_id,
                each.events,
                each.cost_before,
                each.cost_after,
                each.difference,
                each.unpriced_before,
                each.unpriced_after,
            )
            for each in shown
        ),
    )
    if len(shown) < len(found.customers):
        write(f"and {counted(len(found.customers) - len(shown), 'customer')} more; --json has all")
    write(
        f"total: {decimal_text(found.before)} -> {decimal_text(found.after)} USD, "
        f"difference {decimal_text(found.difference)}{_percent(found.before, found.after)}"
    )
    if found.unbillable_events:
        unbillable = counted(found.unbillable_events, "event")
        write(f"{unbillable} of the window can't be billed at any price: see phoebe rate")


def as_document(
    before: PriceBook,
    after: PriceBook,
    changes: Sequence[ModelChange],
    found: Impact | None,
    outlook: Sequence[str],
) -> DiffJson:
    """Give all of it as JSON's values. outlook: what is in force and to come, where that was asked."""
    document: DiffJson = {
        "old": before.content_hash,
        "new": after.content_hash,
        "models": [
            {
                "model_id": each.model_id,
                "any_fine_tune": each.any_fine_tune,
                "change": each.change,
                "old": _price_as_json(each.before),
                "new": _price_as_json(each.after),
            }
            for each in changes
        ],
        "other": [
            {"what": what, "old": old, "new": new} for what, old, new in _other_differences(before, after)
        ],
        "outlook": outlook,
    }
    if found is not None:
        document["impact"] = _impact_as_json(found)
    return document


def _price_as_json(price: Price | None) -> SideJson | None:
    if price is None:
        return None
    return {
        **rates_json(price.billed),
        "source": price.source,
        "derived_from": price.derived_from,
        "premium": price.premium.describe() if price.premium else None,
    }


def _impact_as_json(found: Impact) -> ImpactJson:
    return {
        "window_start": found.window_start,
        "window_end": found.window_end,
        "total_before": found.before,
        "total_after": found.after,
        "difference": found.difference,
        "unbillable_events": found.unbillable_events,
        "customers": [
            {
                "auth_id": each.auth_id,
                "events": each.events,
                "cost_before": each.cost_before,
                "cost_after": each.cost_after,
                "difference": each.difference,
                "unpriced_before": each.unpriced_before,
                "unpriced_after": each.unpriced_after,
            }
            for each in found.customers
        ],
    }
