from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from rater_service.prices.comparison import ModelChange, ModelUsage, PriceChange, compare_books, impact
from rater_service.prices.file import parse_price_file
from rater_service.prices.pricebook import PriceBook


def rates(nanos: int) -> str:
    rate = f'"0.{nanos:09}"'
    return f"{{ prompt: {rate}, cached: {rate}, completion: {rate} }}"


def book(
    base_models: dict[str, int], fine_tunes: str = "", premium: str = "{ policy: identity }"
) -> PriceBook:
    lines = "".join(f"  {name}: {rates(nanos)}\n" for name, nanos in base_models.items())
    tunes = f"fine_tunes:\n  {fine_tunes}\n" if fine_tunes else ""
    text = f"version: 1\nbase_models:\n{lines}{tunes}fine_tune_premium: {premium}\n"
    return parse_price_file(text.encode(), "prices.yaml").book


def summary(changes: tuple[ModelChange, ...]) -> dict[tuple[str, bool], PriceChange]:
    return {(each.model_id, each.any_fine_tune): each.change for each in changes}


def use(model_id: str, base_model: str | None = None, auth_id: str = "alice", **tokens: int) -> ModelUsage:
    counts = {"billable_prompt": 0, "cached": 0, "completion": 0} | tokens
    return ModelUsage(auth_id, model_id, base_model, events=1, **counts)


def test_equal_prices_are_no_difference_whatever_the_files_look_like() -> None:
    assert compare_books(book({"a": 1, "b": 2}), book({"b": 2, "a": 1})) == ()


def test_models_are_added_removed_and_changed_and_their_unnamed_fine_tunes_with_them() -> None:
    changes = compare_books(book({"a": 1, "b": 2, "c": 3}), book({"b": 5, "c": 3, "d": 4}))

    assert summary(changes) == {
        ("a", False): PriceChange.REMOVED,
        ("b", False): PriceChange.CHANGED,
        ("d", False): PriceChange.ADDED,
        ("a", True): PriceChange.REMOVED,
        ("b", True): PriceChange.CHANGED,
        ("d", True): PriceChange.ADDED,
    }


def test_another_premium_changes_fine_tunes_only() -> None:
    changes = compare_books(
        book({"a": 2}, '"ft:x": { derived_from: a }'),
        book({"a": 2}, '"ft:x": { derived_from: a }', '{ policy: multiplier, factor: "1.5" }'),
    )

    assert summary(changes) == {("ft:x", False): PriceChange.CHANGED, ("a", True): PriceChange.CHANGED}


def test_a_premium_that_rounds_to_the_same_rates_changes_nothing() -> None:
    assert compare_books(book({"a": 2}), book({"a": 2}, "", '{ policy: multiplier, factor: "1.1" }')) == ()


def test_a_price_that_stands_elsewhere_with_the_same_rates_is_told_apart() -> None:
    changes = compare_books(
        book({"a": 2}, '"ft:x": { derived_from: a }'), book({"a": 2}, f'"ft:x": {{ rate: {rates(2)} }}')
    )

    assert summary(changes) == {("ft:x", False): PriceChange.MOVED}


def test_a_named_fine_tune_is_not_taken_for_an_unnamed_one() -> None:
    named = f'"ft:": {{ rate: {rates(9)} }}'

    assert summary(compare_books(book({"a": 2}, named), book({"a": 2}, named))) == {}


def test_the_impact_is_the_same_usage_at_both_prices_by_customer() -> None:
    usage = [
        use("a", auth_id="alice", billable_prompt=10, cached=4, completion=1),
        use("ft:x", "a", auth_id="alice", completion=2),
        use("b", auth_id="bob", completion=100),
        use("c", auth_id="carol", completion=7),
    ]
    found = impact(book({"a": 2, "b": 1}), book({"a": 3, "c": 1}), usage)

    assert [(each.auth_id, each.cost_before, each.cost_after, each.difference) for each in found] == [
        ("bob", Decimal("0.000000100"), Decimal(0), Decimal("-0.000000100")),
        ("alice", Decimal("0.000000034"), Decimal("0.000000051"), Decimal("0.000000017")),
        ("carol", Decimal(0), Decimal("0.000000007"), Decimal("0.000000007")),
    ]
    assert [(each.auth_id, each.unpriced_before, each.unpriced_after) for each in found] == [
        ("bob", 0, 1),
        ("alice", 0, 0),
        ("carol", 1, 0),
    ]


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 999_999_999), min_size=1),
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(1, 999_999_999), min_size=1),
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["alice", "bob"]),
            st.tuples(*[st.integers(0, 2**80)] * 3),
        )
    ),
)
def test_impacts_are_exact_and_add_up(
    old: dict[str, int], new: dict[str, int], used: list[tuple[str, str, tuple[int, int, int]]]
) -> None:
    usage = [
        use(model, auth_id=auth, billable_prompt=counts[0], cached=counts[1], completion=counts[2])
        for model, auth, counts in used
    ]
    found = impact(book(old), book(new), usage)

    for prices, total in (
        (old, sum(Fraction(each.cost_before) for each in found)),
        (new, sum(Fraction(each.cost_after) for each in found)),
    ):
        assert total == sum(Fraction(sum(counts) * prices.get(model, 0), 10**9) for model, _, counts in used)
    for each in found:
        assert Fraction(each.difference) == Fraction(each.cost_after) - Fraction(each.cost_before)
    assert sum(each.events for each in found) == len(usage)
    assert [abs(Fraction(each.difference)) for each in found] == sorted(
        (abs(Fraction(each.difference)) for each in found), reverse=True
    )


def test_a_date_changes_no_models_price() -> None:
    dated = parse_price_file(
        f'version: 1\nbase_models: {{ a: {rates(1)} }}\neffective_from: "2026-12-01T00:00:00Z"\n'.encode(),
        "p",
    ).book

    assert dated.effective_from == datetime(2026, 12, 1, tzinfo=UTC)
    assert compare_books(dated, book({"a": 1})) == ()
