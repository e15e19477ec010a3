"""What is different between two price books, and what each would charge for the same usage."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from rater_service.money import Rates, cost_of_sums, exact_sum
from rater_service.prices.pricebook import FINE_TUNE_PREFIX, PriceBook
from rater_service.prices.resolution import Price, resolve


class PriceChange(StrEnum):
    """What happened to the price of a model."""

    ADDED = "ADDED"
    REMOVED = "REMOVED"
    CHANGED = "CHANGED"
    """Other rates are billed."""
    MOVED = "MOVED"
    """The same rates are billed, but they stand elsewhere: in the book or by another derivation."""


@dataclass(frozen=True, slots=True)
class ModelChange:
    """A model whose price is different. `before` is None for an added one, `after` for a removed one.

    `any_fine_tune`: not `model_id` itself is meant but every fine-tune of it that neither book names.
    """

    model_id: str
    any_fine_tune: bool
    change: PriceChange
    before: Price | None
    after: Price | None


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Tokens of one customer under one model in a window; sums over exchanges, each 0 or more.

    `billable_prompt`: prompt tokens that did not come from the cache, summed per exchange.
    """

    auth_id: str
    model_id: str
    base_model: str | None
    events: int
    billable_prompt: int
    cached: int
    completion: int


@dataclass(frozen=True, slots=True)
class CustomerImpact:
    """What one customer's usage costs by each of two books, USD; `unpriced`: events without a price."""

    auth_id: str
    events: int
    cost_before: Decimal
    cost_after: Decimal
    unpriced_before: int
    unpriced_after: int

    @property
    def difference(self) -> Decimal:
        """Return how much more it is after, USD; negative if less."""
        return exact_sum((self.cost_after, self.cost_before.copy_negate()))


def compare_books(before: PriceBook, after: PriceBook) -> tuple[ModelChange, ...]:
    """Return every model whose price is different, by name, then the fine-tunes that no book names."""
    named = sorted({*before.base_models, *before.fine_tunes, *after.base_models, *after.fine_tunes})
    bases = sorted({*before.base_models, *after.base_models})
    unnamed = _name_of_no_fine_tune(before, after)
    return (
        *_changes(before, after, ((name, name, None) for name in named), any_fine_tune=False),
        *_changes(before, after, ((base, unnamed, base) for base in bases), any_fine_tune=True),
    )


def impact(before: PriceBook, after: PriceBook, usage: Iterable[ModelUsage]) -> tuple[CustomerImpact, ...]:
    """Price the same usage by two books, each of them as if it had held all the time.

    Returns one entry for each customer, those with the largest difference first.
    """
    by_customer: dict[str, list[ModelUsage]] = {}
    for each in usage:
        by_customer.setdefault(each.auth_id, []).append(each)
    impacts = [_customer(auth_id, used, before, after) for auth_id, used in by_customer.items()]
    return tuple(sorted(impacts, key=_largest_difference_first))


def _largest_difference_first(found: CustomerImpact) -> tuple[Decimal, str]:
    # The copy_ methods, unlike the operators, never round.
    return found.difference.copy_abs().copy_negate(), found.auth_id


def _changes(
    before: PriceBook, after: PriceBook, asked: Iterable[tuple[str, str, str | None]], *, any_fine_tune: bool
) -> Iterator[ModelChange]:
    for shown_as, model_id, base_model in asked:
        old, new = _price(before, model_id, base_model), _price(after, model_id, base_model)
        if (change := _change(old, new)) is not None:
            yield ModelChange(shown_as, any_fine_tune, change, old, new)


def _change(old: Price | None, new: Price | None) -> PriceChange | None:
    if old is None or new is None:
        if old is new:
            return None
        return PriceChange.ADDED if old is None else PriceChange.REMOVED
    if old.billed != new.billed:
        return PriceChange.CHANGED
    same_place = (old.source, old.derived_from) == (new.source, new.derived_from)
    return None if same_place else PriceChange.MOVED


def _price(book: PriceBook, model_id: str, base_model: str | None) -> Price | None:
    found = resolve(book, model_id, base_model)
    return found if isinstance(found, Price) else None


def _name_of_no_fine_tune(*books: PriceBook) -> str:
    longest = max((len(name) for book in books for name in book.fine_tunes), default=0)
    return FINE_TUNE_PREFIX + "x" * longest


def _customer(auth_id: str, used: list[ModelUsage], before: PriceBook, after: PriceBook) -> CustomerImpact:
    costs_before, unpriced_before = _priced(before, used)
    costs_after, unpriced_after = _priced(after, used)
    return CustomerImpact(
        auth_id, sum(each.events for each in used), costs_before, costs_after, unpriced_before, unpriced_after
    )


def _priced(book: PriceBook, used: list[ModelUsage]) -> tuple[Decimal, int]:
    costs: list[Decimal] = []
    unpriced = 0
    for each in used:
        price = _price(book, each.model_id, each.base_model)
        if price is None:
            unpriced += each.events
        else:
            costs.append(_cost(each, price.billed))
    return exact_sum(costs), unpriced


def _cost(used: ModelUsage, rates: Rates) -> Decimal:
    return cost_of_sums(used.billable_prompt, used.cached, used.completion, rates)
