from decimal import Decimal, Inexact

import pytest

from rater_service.money import (
    NANO,
    Rates,
    TokenCounts,
    billed_rate,
    cost,
    decimal_text,
    in_cents,
    rounds_badly,
)

FREE = Decimal(0)


@pytest.mark.parametrize(
    ("exact", "billed"),
    [
        ("0.0000000015", "0.000000002"),
        ("0.0000000005", "0.000000001"),
        ("0.00000000049999", "0"),
        ("0.0000000025", "0.000000003"),
        ("0.123456789", "0.123456789"),
        ("1000000", "1000000"),
    ],
)
def test_a_rate_is_rounded_half_up_to_nine_decimals(exact: str, billed: str) -> None:
    assert billed_rate(Decimal(exact)) == Decimal(billed)


def test_rounding_the_rate_comes_before_multiplying_by_tokens() -> None:
    billed = Rates(NANO, FREE, FREE).times(Decimal("1.5")).billed()

    assert billed.prompt == 2 * NANO
    assert cost(TokenCounts(prompt=3), billed) == 6 * NANO


def test_cached_tokens_are_charged_at_the_cached_rate_and_not_again_as_prompt() -> None:
    rates = Rates(Decimal("0.01"), Decimal("0.001"), Decimal("1"))

    assert cost(TokenCounts(prompt=10, cached=4, completion=2), rates) == Decimal("2.064")


def test_more_cached_than_prompt_tokens_never_make_a_negative_charge() -> None:
    counts = TokenCounts(prompt=3, cached=5)

    assert (counts.billable_prompt, counts.billable_cached) == (0, 3)
    assert cost(counts, Rates(Decimal(1), Decimal("0.5"), FREE)) == Decimal("1.5")


def test_a_cost_beyond_64_bits_of_tokens_is_exact() -> None:
    rates = Rates(Decimal("0.000000001"), FREE, Decimal("999999.999999999"))
    tokens = 2**63

    assert cost(TokenCounts(prompt=tokens, completion=tokens), rates) == Decimal(tokens) * 1_000_000


def test_a_result_that_would_lose_a_digit_raises_instead() -> None:
    long = Decimal("1." + "1" * 60)

    with pytest.raises(Inexact):
        Rates(long, FREE, FREE).times(long)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("0E-9", "0"),
        ("2E-9", "0.000000002"),
        ("0.000000200", "0.000000200"),
        ("1E+3", "1000"),
        ("0.00000000000000000001", "0.00000000000000000001"),
    ],
)
def test_decimals_are_written_plainly_and_zero_is_one_digit(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text


@pytest.mark.parametrize(
    ("exact", "badly"),
    [("0.0000010005", False), ("0.0000004995", True), ("0.0000000015", True), ("0", False), ("0.3", False)],
)
def test_only_a_rounding_of_more_than_a_thousandth_is_bad(exact: str, badly: bool) -> None:
    assert rounds_badly(Decimal(exact)) is badly


@pytest.mark.parametrize(
    ("amount", "cents"),
    [("0.004999999", "0.00"), ("0.005", "0.01"), ("0.015", "0.02"), ("1E+30", "1E+30"), ("0", "0.00")],
)
def test_cents_are_rounded_half_up(amount: str, cents: str) -> None:
    assert in_cents(Decimal(amount)) == Decimal(cents)
