"""Rating done again, as simply as possible: in lists, in whole numbers, and by no code of the product.

Hours are counted from the first one of the test, rates in nano-dollars per token.
"""

from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor, inf

Rates = tuple[Fraction, Fraction, Fraction]
"""Prompt, cached, completion; nano-dollars per token, exact."""
Billed = tuple[int, int, int]
Key = tuple[int, str, str, str]
"""Hour, auth_id, resource_id, model_id."""


@dataclass(frozen=True)
class Book:
    """A price file. `premium`: the name of the policy and its parameter (for a markup nano-dollars)."""

    name: str
    bases: dict[str, Rates]
    derived: dict[str, str]
    own: dict[str, Rates]
    premium: tuple[str, Fraction]

    def price(self, model: str, base: str | None) -> Billed | None:
        """What a token of the model is billed at, if the book prices it."""
        if model in self.bases:
            return _rounded(self.bases[model])
        if model in self.own:
            return _rounded(self.own[model])
        if model in self.derived:
            return self._with_premium(self.derived[model])
        if model.startswith("ft:") and base in self.bases:
            return self._with_premium(base)
        return None

    def _with_premium(self, base: str) -> Billed:
        policy, by = self.premium
        rates = self.bases[base]
        if policy == "multiplier":
            return _rounded((rates[0] * by, rates[1] * by, rates[2] * by))
        if policy == "markup":
            return _rounded((rates[0] + by, rates[1] + by, rates[2] + by))
        return _rounded(rates)


@dataclass(frozen=True)
class Event:
    """What was stored; None where the event says nothing."""

    hour: int
    auth: str | None
    resource: str | None
    model: str | None
    base: str | None
    usage: bool
    completed: bool
    untrusted: bool
    prompt: int | None
    cached: int | None
    completion: int | None

    @property
    def billable_cached(self) -> int:
        return min(self.cached or 0, self.prompt or 0)

    @property
    def billable(self) -> int:
        return (self.prompt or 0) - self.billable_cached


@dataclass(frozen=True)
class Rollup:
    """A row of the bill. `cost` in nano-dollars."""

    prompt: int
    cached: int
    completion: int
    billable: int
    events: int
    rates: Billed
    base: str | None
    book: str

    @property
    def cost(self) -> int:
        tokens = (self.billable, self.cached, self.completion)
        return sum(count * rate for count, rate in zip(tokens, self.rates, strict=True))


@dataclass(frozen=True)
class Run:
    """What a run answers."""

    counts: Counter[str]
    inserted: int
    updated: int
    unchanged: int
    deleted: int
    bill: dict[Key, Rollup]


@dataclass
class Oracle:
    """Everything that was loaded, stored and billed so far."""

    books: list[tuple[float, int, Book]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    bill: dict[Key, Rollup] = field(default_factory=dict)

    def load(self, book: Book, loaded_in_hour: int, effective: int | None) -> None:
        """Load a price file; the one that was loaded last changes nothing."""
        if self.books and self.books[-1][2].name == book.name:
            return
        known = any(other.name == book.name for _, _, other in self.books)
        start: float = loaded_in_hour + 1 if self.books else -inf
        if effective is not None and not (known and effective <= loaded_in_hour):
            start = effective
        # What was to come gives way, which is told by an hour that never comes.
        self.books = [
            (inf if begins > loaded_in_hour else begins, place, other) for begins, place, other in self.books
        ]
        self.books.append((start, len(self.books), book))

    def run(self, first: int, end: int, *, reprice: bool, dry_run: bool) -> Run:
        """Rate the hours from `first` up to, and without, `end`."""
        window = [event for event in self.events if first <= event.hour < end]
        counts: Counter[str] = Counter()
        rollups: dict[Key, Rollup] = {}
        by_key: dict[Key, list[Event]] = {}
        for event in window:
            if event.auth is None or event.resource is None or (event.usage and event.model is None):
                counts["unattributable"] += 1
            elif not event.usage:
                counts["missing_usage" if event.completed else "zero_charge"] += 1
            elif event.untrusted:
                counts["unattributable"] += 1
            else:
                assert event.model is not None
                by_key.setdefault((event.hour, event.auth, event.resource, event.model), []).append(event)
        for key, events in by_key.items():
            bases = {event.base for event in events if event.base is not None}
            if key[3].startswith("ft:") and len(bases) > 1:
                counts["ambiguous_base"] += len(events)
                continue
            rated, rates, book = self._priced(key, events, frozen=None if reprice else self.bill.get(key))
            counts["rated"] += len(rated)
            counts["unpriced"] += len(events) - len(rated)
            if rated:
                rollups[key] = _rollup(rated, rates, book)
        return self._reconcile(first, end, rollups, +counts, dry_run=dry_run)

    def _priced(
        self, key: Key, events: list[Event], frozen: Rollup | None
    ) -> tuple[list[Event], Billed, str]:
        """The events of a rollup that have a price, and the one price they all get."""
        found: list[tuple[Event, float, Billed, str]] = []
        for event in events:
            priced = self._look_up(key[0], key[3], event.base)
            if priced is None and frozen and (not key[3].startswith("ft:") or event.base == frozen.base):
                priced = (inf, frozen.rates, frozen.book)
            if priced is not None:
                found.append((event, *priced))
        rated = [each[0] for each in found]
        if frozen:
            return rated, frozen.rates, frozen.book
        if not found:
            return [], (0, 0, 0), ""
        earliest = min(found, key=lambda each: each[1])
        return rated, earliest[2], earliest[3]

    def _look_up(self, hour: int, model: str, base: str | None) -> tuple[float, Billed, str] | None:
        """The price in an hour, with its book and the hour from which that is in force."""
        later = sorted(start for start, _, _ in self.books if hour < start < inf)
        for moment in [float(hour), *later]:
            begun = [each for each in self.books if each[0] <= moment]
            if not begun:
                continue
            start, _, book = max(begun, key=lambda each: each[1])
            price = book.price(model, base)
            if price is not None:
                return start, price, book.name
        return None

    def _reconcile(
        self, first: int, end: int, rollups: dict[Key, Rollup], counts: Counter[str], *, dry_run: bool
    ) -> Run:
        before = {key: row for key, row in self.bill.items() if first <= key[0] < end}
        common = before.keys() & rollups.keys()
        unchanged = sum(before[key] == rollups[key] for key in common)
        if not dry_run:
            self.bill = {key: row for key, row in self.bill.items() if key not in before} | rollups
        return Run(
            counts=counts,
            inserted=len(rollups.keys() - before.keys()),
            updated=len(common) - unchanged,
            unchanged=unchanged,
            deleted=len(before.keys() - rollups.keys()),
            bill=rollups,
        )


def _rollup(events: list[Event], rates: Billed, book: str) -> Rollup:
    bases = {event.base for event in events if event.base is not None}
    return Rollup(
        prompt=sum(event.prompt or 0 for event in events),
        cached=sum(event.billable_cached for event in events),
        completion=sum(event.completion or 0 for event in events),
        billable=sum(event.billable for event in events),
        events=len(events),
        rates=rates,
        base=next(iter(bases)) if len(bases) == 1 else None,
        book=book,
    )


def _rounded(rates: Rates) -> Billed:
    prompt, cached, completion = (floor(rate + Fraction(1, 2)) for rate in rates)
    return prompt, cached, completion
