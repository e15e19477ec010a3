"""How a price file that was checked is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TypedDict

from rater_service.hours import utc_text
from rater_service.prices.faults import Fault
from rater_service.prices.loadings import Plan
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.resolution import Price, PriceSource, resolve_listed, resolve_unlisted
from rater_service.views.documents import Kind
from rater_service.views.rates import RATE_COLUMNS, RATE_UNITS, RatesJson, rate_cells, rates_json
from rater_service.views.terminal import complain, write, write_table

_SOURCES = {PriceSource.BASE_MODEL: "base model", PriceSource.OWN_RATE: "own rate"}


@dataclass(frozen=True, slots=True)
class Standing:
    """What a price file was compared with, and what loading it now would do, as far as that was asked.

    compared_with: in words. compared_hash: of the book compared with; None: there was none. plan: None where
    no database was asked, or where the file is what was loaded last (`is_latest`). outlook: what is in force
    and to come, in sentences.
    """

    compared_with: str
    compared_hash: str | None = None
    plan: Plan | None = None
    is_latest: bool = False
    outlook: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """A good price file, what is worth a warning about it, and where it stands."""

    file: Path
    book: PriceBook
    warnings: Sequence[Fault]
    standing: Standing


class ListedModelJson(RatesJson):
    """What a model that a price file names is billed at."""

    model_id: str
    source: PriceSource
    derived_from: str | None


class CheckedJson(TypedDict):
    """A good price file, and what loading it would do; see `Standing`. gpu_floor_rates: USD per hour."""

    file: str
    valid: bool
    faults: Sequence[Fault]
    warnings: Sequence[Fault]
    price_book: str
    effective_from: datetime | None
    premium: str
    gpu_floor_rates: Mapping[str, Decimal]
    models: Sequence[ListedModelJson]
    compared_with: str | None
    loaded_last: bool
    in_force_from: datetime | None
    reaches_back: bool
    replaces: Sequence[int]
    outlook: Sequence[str]


class FaultyJson(TypedDict):
    """A price file with faults."""

    file: str
    valid: bool
    faults: Sequence[Fault]
    warnings: Sequence[Fault]


CHECKED = Kind("checked-prices", CheckedJson)
FAULTY = Kind("faulty-prices", FaultyJson)


def show_checked(checked: Checked) -> None:
    """Show what each model would be billed at, after the warnings, and when."""
    for warning in checked.warnings:
        complain(f"warning: {warning}")
    book = checked.book
    listed = [(name, *rate_cells(price.billed), _origin(price)) for name, price in resolve_listed(book)]
    unlisted = [
        (f"other fine-tunes of {base}", *rate_cells(price.billed), _origin(price))
        for base, price in resolve_unlisted(book)
    ]
    write_table(f"{checked.file}: {RATE_UNITS}", ("model", *RATE_COLUMNS, "from"), [*listed, *unlisted])
    write(f"in force from: {_in_force_from(checked)}")
    write(f"price book: {book.content_hash}")
    write(f"compared with {checked.standing.compared_with}")
    for line in _consequences(checked.standing):
        write(line)


def checked_json(checked: Checked) -> CheckedJson:
    """Return what is written of a good price file as JSON."""
    book, standing = checked.book, checked.standing
    return {
        "file": str(checked.file),
        "valid": True,
        "faults": [],
        "warnings": checked.warnings,
        "price_book": book.content_hash,
        "effective_from": book.effective_from,
        "premium": book.premium.describe(),
        "gpu_floor_rates": dict(book.gpu_floor_rates),
        "models": [
            {
                "model_id": name,
                **rates_json(price.billed),
                "source": price.source,
                "derived_from": price.derived_from,
            }
            for name, price in resolve_listed(book)
        ],
        "compared_with": standing.compared_hash,
        "loaded_last": standing.is_latest,
        "in_force_from": None if standing.plan is None else standing.plan.in_force_from,
        "reaches_back": standing.plan is not None and standing.plan.reaches_back,
        "replaces": [] if standing.plan is None else [each.number for each in standing.plan.replaces],
        "outlook": standing.outlook,
    }


def _in_force_from(checked: Checked) -> str:
    if checked.standing.is_latest:
        return "see below; it is what was loaded last, so that a service loads nothing"
    if (plan := checked.standing.plan) is not None:
        start = "the beginning" if plan.in_force_from is None else utc_text(plan.in_force_from)
        return f"{start}, if it is loaded now"
    effective = checked.book.effective_from
    return "the next hour after loading" if effective is None else utc_text(effective)


def _consequences(standing: Standing) -> Sequence[str]:
    lines = []
    if standing.plan is not None and standing.plan.reaches_back:
        lines.append("IT REACHES BACK: what was used since then and is not billed yet would be billed by it")
    if standing.plan is not None:
        lines += [f"it would replace {each.describe()}, which is to come" for each in standing.plan.replaces]
    return [*lines, *standing.outlook]


def _origin(price: Price) -> str:
    if price.premium is None:
        return _SOURCES[price.source]
    return f"{price.derived_from}, {price.premium.describe()}"
