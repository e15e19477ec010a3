from decimal import Decimal

import pytest

from rater_service.money import Rates
from rater_service.prices.pricebook import (
    DerivedFineTune,
    Identity,
    Markup,
    Multiplier,
    OwnRateFineTune,
    Premium,
    PriceBook,
)
from rater_service.prices.resolution import NoPrice, NoPriceReason, Price, PriceSource, resolve


def rates(prompt: str, cached: str = "0", completion: str = "0") -> Rates:
    return Rates(Decimal(prompt), Decimal(cached), Decimal(completion))


def book(premium: Premium) -> PriceBook:
    return PriceBook(
        content_hash="0" * 64,
        content=b"",
        base_models={"base": rates("0.000000001", "0.000000003", "0.000000005"), "other": rates("1")},
        fine_tunes={"ft:derived": DerivedFineTune("base"), "ft:own": OwnRateFineTune(rates("7", "8", "9"))},
        premium=premium,
        gpu_floor_rates={},
        effective_from=None,
    )


BOOK = book(Multiplier(Decimal("1.5")))


def priced(model_id: str, base_model: str | None = None, of: PriceBook = BOOK) -> Price:
    price = resolve(of, model_id, base_model)
    assert isinstance(price, Price)
    return price


def test_a_base_model_costs_its_own_rates_without_the_premium() -> None:
    price = priced("base")

    assert price.source is PriceSource.BASE_MODEL
    assert price.exact == price.billed == BOOK.base_models["base"]
    assert (price.derived_from, price.premium) == (None, None)


def test_a_base_model_ignores_the_base_model_the_edge_stated() -> None:
    assert priced("base", "other") == priced("base")


def test_a_fine_tune_with_its_own_rate_bypasses_the_premium() -> None:
    price = priced("ft:own", "base")

    assert price.source is PriceSource.OWN_RATE
    assert price.billed == rates("7", "8", "9")
    assert price.premium is None


def test_a_declared_fine_tune_costs_its_base_and_the_premium_whatever_the_edge_stated() -> None:
    price = priced("ft:derived", "other")

    assert price.source is PriceSource.DERIVED
    assert price.derived_from == "base"
    assert price.exact == rates("0.0000000015", "0.0000000045", "0.0000000075")
    assert price.billed == rates("0.000000002", "0.000000005", "0.000000008")


def test_an_undeclared_fine_tune_costs_the_base_the_edge_stated_and_the_premium() -> None:
    price = priced("ft:new", "base")

    assert price == priced("ft:derived")


@pytest.mark.parametrize("base_model", [None, ""])
def test_an_undeclared_fine_tune_without_a_base_has_no_price(base_model: str | None) -> None:
    assert resolve(BOOK, "ft:new", base_model) == NoPrice(NoPriceReason.FINE_TUNE_WITHOUT_BASE)


@pytest.mark.parametrize("base_model", ["unknown", "ft:own", "ft:derived", "ft:new"])
def test_a_fine_tune_of_anything_but_a_true_base_has_no_price(base_model: str) -> None:
    assert resolve(BOOK, "ft:new", base_model) == NoPrice(NoPriceReason.BASE_NOT_PRICED)


@pytest.mark.parametrize("model_id", ["unknown", "", "FT:new", "Base", " base"])
def test_a_model_nobody_priced_has_no_price_even_with_a_base(model_id: str) -> None:
    assert resolve(BOOK, model_id, "base") == NoPrice(NoPriceReason.NO_PRICE)


@pytest.mark.parametrize(
    ("premium", "prompt", "description"),
    [
        (Identity(), "0.000000001", "identity"),
        (Multiplier(Decimal("1.50")), "0.0000000015", "multiplier 1.50"),
        (Markup(Decimal("0.000000100")), "0.000000101", "markup 0.000000100"),
    ],
)
def test_each_premium_changes_the_exact_rate_and_names_itself(
    premium: Premium, prompt: str, description: str
) -> None:
    price = priced("ft:derived", of=book(premium))

    assert price.exact.prompt == Decimal(prompt)
    assert price.premium is not None
    assert price.premium.describe() == description


def test_a_markup_is_added_to_a_free_rate_too() -> None:
    assert Markup(Decimal("0.1")).apply(rates("0")) == rates("0.1", "0.1", "0.1")
