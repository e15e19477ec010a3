"""What a model costs according to one price book: the same answer for rating and for quotes."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from rater_service.money import Rates
from rater_service.prices.pricebook import FINE_TUNE_PREFIX, OwnRateFineTune, Premium, PriceBook


class PriceSource(StrEnum):
    """Where a price comes from."""

    BASE_MODEL = "BASE_MODEL"
    OWN_RATE = "OWN_RATE"
    DERIVED = "DERIVED"


class NoPriceReason(StrEnum):
    """Why there is no price."""

    NO_PRICE = "NO_PRICE"
    """Nothing in the price book prices this model."""
    FINE_TUNE_WITHOUT_BASE = "FINE_TUNE_WITHOUT_BASE"
    """A fine-tune the price book does not name, and nobody said what it derives from."""
    BASE_NOT_PRICED = "BASE_NOT_PRICED"
    """What the fine-tune derives from is not a base model of the price book."""

    def explain(self, model_id: str) -> str:
        """Say in a sentence what is wrong with the price of this model, and what to do."""
        match self:
            case NoPriceReason.NO_PRICE:
                return f"no price book prices the model {model_id}; add it to the price file"
            case NoPriceReason.FINE_TUNE_WITHOUT_BASE:
                return f"the fine-tune {model_id} is in no price book; give its base model"
            case NoPriceReason.BASE_NOT_PRICED:
                return f"the base model of the fine-tune {model_id} is not a priced base model"


@dataclass(frozen=True, slots=True)
class Price:
    """The rates of a model. `derived_from` and `premium` are set for derived prices only."""

    exact: Rates
    billed: Rates
    source: PriceSource
    derived_from: str | None
    premium: Premium | None


@dataclass(frozen=True, slots=True)
class NoPrice:
    """There is no price, which is never the same as a price of 0."""

    reason: NoPriceReason


def resolve(book: PriceBook, model_id: str, base_model: str | None) -> Price | NoPrice:
    """Find the price of a model in a book.

    In this order: the model's own rate; a fine-tune the book names, by the base it derives from; another
    fine-tune, by `base_model`. Derivation goes one hop: a fine-tune is nobody's base, not even one with its
    own rate. `base_model` means nothing for a model that is not a fine-tune; None and "" mean not stated.
    """
    if model_id in book.base_models:
        return _direct(book.base_models[model_id], PriceSource.BASE_MODEL)
    declared = book.fine_tunes.get(model_id)
    if isinstance(declared, OwnRateFineTune):
        return _direct(declared.rates, PriceSource.OWN_RATE)
    if declared is not None:
        return _derived(book, declared.derived_from)
    if not model_id.startswith(FINE_TUNE_PREFIX):
        return NoPrice(NoPriceReason.NO_PRICE)
    if not base_model:
        return NoPrice(NoPriceReason.FINE_TUNE_WITHOUT_BASE)
    return _derived(book, base_model)


def resolve_listed(book: PriceBook) -> Iterator[tuple[str, Price]]:
    """Give the price of every model that a book names, base models first."""
    for name in (*book.base_models, *book.fine_tunes):
        price = resolve(book, name, base_model=None)
        assert isinstance(price, Price)  # a book prices everything it names
        yield name, price


def resolve_unlisted(book: PriceBook) -> Iterator[tuple[str, Price]]:
    """Give what the fine-tunes of each base model cost that a book does not name, under the base's name."""
    for base in book.base_models:
        price = _derived(book, base)
        assert isinstance(price, Price)
        yield base, price


def _direct(rates: Rates, source: PriceSource) -> Price:
    return Price(rates, rates.billed(), source, derived_from=None, premium=None)


def _derived(book: PriceBook, base_model: str) -> Price | NoPrice:
    base = book.base_models.get(base_model)
    if base is None:
        return NoPrice(NoPriceReason.BASE_NOT_PRICED)
    exact = book.premium.apply(base)
    return Price(exact, exact.billed(), PriceSource.DERIVED, derived_from=base_model, premium=book.premium)
