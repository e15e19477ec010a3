"""Money and prices against exact rational arithmetic, and the price file against bytes nobody would write."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor

from hypothesis import example, given
from hypothesis import strategies as st

from rater_service.money import Rates, TokenCounts, billed_rate, cost, decimal_text
from rater_service.prices.file import Fault, LoadedPriceFile, PriceFileError, parse_price_file
from rater_service.prices.history import BookInForce, PriceHistory, Quote
from rater_service.prices.pricebook import Identity, Markup, Multiplier, Premium, PriceBook
from rater_service.prices.resolution import NoPrice, Price, PriceSource, resolve

NANO = Fraction(1, 10**9)
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)

plain_decimals = st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,30})?", fullmatch=True, alphabet="0123456789.")
amounts = plain_decimals.map(Decimal)
rates = st.builds(Rates, amounts, amounts, amounts)
tokens = st.integers(0, 2**63)
counts = st.builds(TokenCounts, tokens, tokens, tokens)
premiums: st.SearchStrategy[Premium] = st.one_of(
    st.just(Identity()), st.builds(Multiplier, amounts), st.builds(Markup, amounts)
)
model_ids = st.sampled_from(["a", "b", "ft:a", "ft:b", "c", ""])


def half_up(exact: Fraction) -> Fraction:
    return floor(exact / NANO + Fraction(1, 2)) * NANO


def of(premium: Premium, base: Decimal) -> Fraction:
    match premium:
        case Identity():
            return Fraction(base)
        case Multiplier(factor):
            return Fraction(base) * Fraction(factor)
        case Markup(markup):
            return Fraction(base) + Fraction(markup)


def loaded_or_faults(content: bytes) -> LoadedPriceFile | tuple[Fault, ...]:
    try:
        return parse_price_file(content, "file")
    except PriceFileError as refused:
        return refused.faults


def book(base_models: dict[str, Rates], premium: Premium, name: str = "") -> PriceBook:
    return PriceBook(name, b"", base_models, {}, premium, {}, None)


@given(amounts)
@example(Decimal("0.0000000005"))
@example(Decimal("0.00000000049999999999"))
def test_a_billed_rate_is_the_exact_rate_rounded_half_up(exact: Decimal) -> None:
    assert Fraction(billed_rate(exact)) == half_up(Fraction(exact))


@given(counts, rates)
def test_a_cost_is_exact_and_never_negative(counted: TokenCounts, exact: Rates) -> None:
    billed = exact.billed()
    expected = (
        max(counted.prompt - counted.cached, 0) * Fraction(billed.prompt)
        + min(counted.prompt, counted.cached) * Fraction(billed.cached)
        + counted.completion * Fraction(billed.completion)
    )

    assert Fraction(cost(counted, billed)) == expected >= 0


@given(counts)
def test_every_prompt_token_is_charged_once_whatever_is_said_of_the_cache(counted: TokenCounts) -> None:
    assert counted.billable_prompt >= 0
    assert counted.billable_cached == min(counted.cached, counted.prompt)
    assert counted.billable_prompt + counted.billable_cached == counted.prompt


@given(st.lists(counts, max_size=5), rates)
def test_costs_of_parts_add_up_to_the_cost_of_their_sums(parts: list[TokenCounts], exact: Rates) -> None:
    billed = exact.billed()
    cached, completion = sum(part.billable_cached for part in parts), sum(part.completion for part in parts)
    whole = TokenCounts(sum(part.billable_prompt for part in parts) + cached, cached, completion)

    assert sum(Fraction(cost(part, billed)) for part in parts) == Fraction(cost(whole, billed))


@given(amounts)
def test_written_decimals_read_back_as_the_same_value(value: Decimal) -> None:
    written = decimal_text(value)

    assert Decimal(written) == value
    assert "E" not in written


@given(rates, premiums)
@example(Rates(Decimal("0.000000001"), Decimal(0), Decimal("0.000000003")), Multiplier(Decimal("1.5")))
def test_a_derived_price_is_the_exact_premium_rounded_once(base: Rates, premium: Premium) -> None:
    price = resolve(book({"a": base}, premium), "ft:x", "a")

    assert isinstance(price, Price)
    assert price.source is PriceSource.DERIVED
    for component, rate in base.by_component().items():
        exact = of(premium, rate)
        assert Fraction(price.exact.by_component()[component]) == exact
        assert Fraction(price.billed.by_component()[component]) == half_up(exact)


@given(st.sets(model_ids), rates, model_ids, st.one_of(st.none(), model_ids))
def test_only_a_stated_price_is_ever_a_price(
    priced: set[str], rate: Rates, model_id: str, base_model: str | None
) -> None:
    bases = {name for name in priced if not name.startswith("ft:")}
    price = resolve(book(dict.fromkeys(bases, rate), Identity()), model_id, base_model)

    wanted = base_model if model_id.startswith("ft:") else model_id
    assert isinstance(price, Price) is (wanted in bases and (wanted != "" or not model_id.startswith("ft:")))


@given(
    st.lists(st.tuples(st.integers(0, 5), st.sets(st.sampled_from("ab"))), max_size=6),
    st.integers(-1, 6),
    st.sampled_from("ab"),
)
def test_a_history_answers_like_a_search_through_all_books(
    loads: list[tuple[int, set[str]]], hour: int, model_id: str
) -> None:
    entries = [
        BookInForce(
            book(dict.fromkeys(models, Rates(Decimal(1), Decimal(1), Decimal(1))), Identity(), str(number)),
            EPOCH + timedelta(hours=start) if start else None,
        )
        for number, (start, models) in enumerate(loads)
    ]
    answer = PriceHistory(entries).resolve(model_id, None, EPOCH + timedelta(hours=hour))

    # Hour by hour: the last one that was loaded of those that have begun.
    for later in range(max(hour, 0), 7):
        begun = [number for number, (start, _) in enumerate(loads) if start <= later]
        if begun and model_id in loads[begun[-1]][1]:
            assert isinstance(answer, Quote)
            assert answer.book is entries[begun[-1]].book
            break
    else:
        assert isinstance(answer, NoPrice)


@given(rates, st.sampled_from(["multiplier", "markup"]), plain_decimals)
def test_a_price_file_that_loads_bills_nothing_at_zero_that_is_not_free(
    base: Rates, policy: str, parameter: str
) -> None:
    name = {"multiplier": "factor", "markup": "markup"}[policy]
    written = ", ".join(f'{part}: "{decimal_text(rate)}"' for part, rate in base.by_component().items())
    text = f"""version: 1
base_models: {{ a: {{ {written} }} }}
fine_tune_premium: {{ policy: {policy}, {name}: "{parameter}" }}
"""
    loaded = loaded_or_faults(text.encode())
    if not isinstance(loaded, LoadedPriceFile):
        assert loaded
        return
    for model_id in ("a", "ft:x"):
        price = resolve(loaded.book, model_id, "a")
        assert isinstance(price, Price)
        billed = price.billed.by_component()
        assert all(billed[component] > 0 for component, rate in base.by_component().items() if rate)


snippets = st.sampled_from(
    [
        "version: 1\n",
        "base_models:\n",
        "  a: { prompt: '1', cached: '1', completion: '1' }\n",
        "fine_tunes:\n",
        "  ft:a: { derived_from: a }\n",
        "effective_from: ",
        *("&a ", "*a ", "<<: ", "- ", "? ", "{", "[", "'", '"', "|\n", "!!str ", "1e5", "0.1"),
        *("%YAML 1.1\n", "---\n", "\t", "\x00", "\ufeff", "\u2028", "é"),
    ]
)


@given(
    st.one_of(
        st.binary(max_size=200), st.lists(snippets, max_size=12).map(lambda parts: "".join(parts).encode())
    )
)
def test_any_bytes_make_a_price_book_or_a_list_of_faults(content: bytes) -> None:
    loaded = loaded_or_faults(content)
    if isinstance(loaded, LoadedPriceFile):
        assert loaded.book.base_models
    else:
        assert loaded
        assert all(str(fault).isprintable() for fault in loaded)
