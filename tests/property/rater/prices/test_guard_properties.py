"""Which prices are refused as probable mistakes, against arithmetic on fractions."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from rater_service.money import Rates
from rater_service.prices.guards import judge
from rater_service.prices.pricebook import (
    Allowed,
    DerivedFineTune,
    FineTune,
    Identity,
    Markup,
    Multiplier,
    OwnRateFineTune,
    Premium,
    PriceBook,
)
from rater_service.prices.resolution import Price, resolve

BASES = ["a", "b"]
TUNES = ["ft:derived", "ft:own"]
decimals = st.sampled_from(
    ["0", "0.000000001", "0.00000001", "0.000000011", "0.0000002", "0.000002", "0.0001", "0.001", "0.0011"]
).map(Decimal)
rates = st.builds(Rates, decimals, decimals, decimals)
premiums: st.SearchStrategy[Premium] = st.sampled_from(
    [Identity(), Multiplier(Decimal("1.5")), Multiplier(Decimal(11)), Markup(Decimal("0.0009"))]
)


@st.composite
def books(draw: st.DrawFn) -> PriceBook:
    bases = draw(st.dictionaries(st.sampled_from(BASES), rates, min_size=1))
    tunes: dict[str, FineTune] = {}
    if draw(st.booleans()):
        tunes["ft:derived"] = DerivedFineTune(draw(st.sampled_from(sorted(bases))))
    if draw(st.booleans()):
        tunes["ft:own"] = OwnRateFineTune(draw(rates))
    return PriceBook("h", b"", bases, tunes, draw(premiums), {}, None)


def billed(book: PriceBook, model_id: str, base_model: str | None) -> list[Fraction] | None:
    price = resolve(book, model_id, base_model)
    return (
        [Fraction(rate) for rate in price.billed.by_component().values()]
        if isinstance(price, Price)
        else None
    )


def asked() -> list[tuple[str, str | None]]:
    return [*((name, None) for name in (*BASES, *TUNES)), *(("ft:other", base) for base in BASES)]


def is_suspicious(before: PriceBook | None, after: PriceBook, model_id: str, base: str | None) -> bool:
    new = billed(after, model_id, base)
    if new is None:
        return False
    old = None if before is None else billed(before, model_id, base)
    changed = old is not None and any(
        x != y and (min(x, y) == 0 or max(x, y) / min(x, y) > 10) for x, y in zip(old, new, strict=True)
    )
    return changed or any(rate > Fraction(1, 1000) for rate in new)


@given(st.none() | books(), books())
def test_a_file_is_refused_exactly_if_any_price_of_it_looks_like_a_mistake(
    before: PriceBook | None, after: PriceBook
) -> None:
    suspicious = {each for each in asked() if is_suspicious(before, after, *each)}

    judged = judge(after, before)

    assert bool(judged.faults) == bool(suspicious)
    named = {fault.model for fault in judged.faults}
    assert named <= {base or name for name, base in suspicious} | {
        f"other fine-tunes of {base}" for _, base in suspicious
    }


@given(st.none() | books(), books())
def test_what_is_allowed_by_all_its_names_is_not_refused(before: PriceBook | None, after: PriceBook) -> None:
    names = frozenset({*after.base_models, *after.fine_tunes})

    assert judge(after, before, Allowed(names, names)).faults == ()
    assert judge(after, after, Allowed(rates=names)).faults == ()
