"""Which prices of a file are probably mistakes, and are refused unless they are allowed by name.

A rate above RATE_MAX is a price per million tokens that was taken for one per token. A change of more than
CHANGE_MAX times, up or down, against the price in force is a slip of the decimal point; so is one from or to
free. Judged is what is billed: with the premium, and rounded.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from rater_service.money import decimal_text, per_million
from rater_service.prices.comparison import ModelChange, PriceChange, compare_books
from rater_service.prices.faults import Fault, shown
from rater_service.prices.pricebook import NOTHING_ALLOWED, Allowed, PriceBook
from rater_service.prices.resolution import Price, resolve_listed, resolve_unlisted

RATE_MAX = Decimal("0.001")
"""USD per token, 1,000 USD per million tokens: several times the highest price of any model."""

CHANGE_MAX = 10


@dataclass(frozen=True, slots=True)
class Judgement:
    """What speaks against loading a price file, and what is worth a warning."""

    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class _Finding:
    """A rate that is probably a mistake. name: by which it is allowed, or by that of its base model."""

    name: str
    base: str | None
    subject: str
    component: str
    message: str

    def is_allowed(self, names: Iterable[str]) -> bool:
        return self.name in names or (self.base is not None and self.base in names)


def judge(
    book: PriceBook,
    in_force: PriceBook | None,
    given: Allowed = NOTHING_ALLOWED,
    lines: Mapping[str, int] | None = None,
) -> Judgement:
    """Judge the prices of a book against the one in force (None: there is none, so changes are not judged).

    given: what is allowed besides what the file itself allows. lines: where the file names each model.
    """
    lines = lines or {}
    rates = tuple(_high_rates(book))
    changes = () if in_force is None else tuple(_large_changes(in_force, book))
    faults = [
        Fault(lines.get(finding.name), finding.subject, finding.component, finding.message)
        for findings, allowed in (
            (rates, book.allowed.rates | given.rates),
            (changes, book.allowed.changes | given.changes),
        )
        for finding in findings
        if not finding.is_allowed(allowed)
    ]
    warnings = [*_needless("rates", book.allowed.rates, given.rates, rates)]
    if in_force is not None:
        warnings += _needless("changes", book.allowed.changes, given.changes, changes)
    return Judgement(tuple(faults), tuple(warnings))


def _high_rates(book: PriceBook) -> Iterator[_Finding]:
    high = set()
    for name, price in resolve_listed(book):
        if price.derived_from in high:
            continue
        for finding in _high_rates_of(name, price, name):
            high.add(name)
            yield finding
    for base, price in resolve_unlisted(book):
        if base not in high:
            yield from _high_rates_of(base, price, f"other fine-tunes of {base}")


def _high_rates_of(name: str, price: Price, subject: str) -> Iterator[_Finding]:
    for component, rate in price.billed.by_component().items():
        if rate > RATE_MAX:
            message = (
                f"{decimal_text(rate)} USD per token is {decimal_text(per_million(rate))} USD per million, "
                f"above {decimal_text(per_million(RATE_MAX))}: if it was meant per million tokens, divide it "
                f'by 1,000,000; else allow it by name (--allow-rate "{name}", or allow: rates in the file)'
            )
            yield _Finding(name, price.derived_from, subject, component, message)


def _large_changes(before: PriceBook, after: PriceBook) -> Iterator[_Finding]:
    changes = [each for each in compare_books(before, after) if each.change is PriceChange.CHANGED]
    large = set()
    for change in (each for each in changes if _base(each) is None):
        for finding in _large_changes_of(change):
            large.add(change.model_id)
            yield finding
    for change in changes:
        # What is derived changes with its base, for which it is said, or with the premium.
        if (base := _base(change)) is not None and (base not in large or before.premium != after.premium):
            yield from _large_changes_of(change)


def _base(change: ModelChange) -> str | None:
    return None if change.after is None else change.after.derived_from


def _large_changes_of(change: ModelChange) -> Iterator[_Finding]:
    assert change.before is not None
    assert change.after is not None
    subject = f"other fine-tunes of {change.model_id}" if change.any_fine_tune else change.model_id
    rates = change.after.billed.by_component()
    for component, old in change.before.billed.by_component().items():
        new = rates[component]
        # A rate of 0 is more than tenfold of nothing: neither side of the comparison needs a case of its own.
        if new > CHANGE_MAX * old or old > CHANGE_MAX * new:
            message = (
                f"{decimal_text(old)} -> {decimal_text(new)} USD per token "
                f"({decimal_text(per_million(old))} -> {decimal_text(per_million(new))} per million) is "
                f"{_how_much(old, new)} against what is in force: if it is meant, allow it by name "
                f'(--allow-change "{change.model_id}", or allow: changes in the file)'
            )
            yield _Finding(change.model_id, change.after.derived_from, subject, component, message)


def _how_much(old: Decimal, new: Decimal) -> str:
    if not old:
        return "from free to priced"
    return "more than tenfold" if new > old else "less than a tenth" if new else "from priced to free"


def _needless(
    key: str, in_file: frozenset[str], given: frozenset[str], findings: Iterable[_Finding]
) -> Iterator[Fault]:
    """Warn of what is allowed and not needed: it would let the next mistake through."""
    needed = {name for finding in findings for name in (finding.name, finding.base)}
    for where, names in ((f"allow.{key} of the file", in_file), (f"--allow-{key[:-1]}", given)):
        for name in sorted(names - needed):
            message = (
                f"{where} names {shown(name)}, which does not need it: take it out, or it lets the next "
                "mistake through"
            )
            yield Fault(None, None, None, message)
