from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from rater_service.prices.file_yaml import Mapping, Node, Scalar, Sequence
from rater_service.prices.values import BadValueError, amount, factor, rate, text, whole_hour

NUMBERS = pytest.mark.parametrize("read", [rate, amount, factor])


def quoted(written: str) -> Scalar:
    return Scalar(written, quoted=True, line=1)


def plain(written: str) -> Scalar:
    return Scalar(written, quoted=False, line=1)


@NUMBERS
@pytest.mark.parametrize("written", ["0", "1", "1.50", "0.000000200", "007"])
def test_a_quoted_plain_decimal_is_read_with_all_its_digits(
    read: Callable[[Node], Decimal], written: str
) -> None:
    assert str(read(quoted(written))) == str(Decimal(written))


@NUMBERS
@pytest.mark.parametrize("written", ["0.0000002", "1", "0", "00"])
def test_an_unquoted_number_is_refused_with_its_quoted_form(
    read: Callable[[Node], Decimal], written: str
) -> None:
    with pytest.raises(BadValueError) as refused:
        read(plain(written))

    assert str(refused.value) == f'{written} is not quoted; write "{written}"'


@NUMBERS
@pytest.mark.parametrize(
    "node",
    [
        *map(quoted, ["1e-7", "1E5", "-1", "+1", "1_000", "1,5", ".5", "5.", "1..2", "1.2.3", "", "0x1"]),
        *map(
            quoted,
            [" 1", "1 ", "1\n", "\n1", "1\x00", "NaN", "Infinity", "$1", "1/2", "\u0663", "\uff11", "one"],
        ),
        *map(plain, ["1e-7", ".inf", "null", "~", "", "yes", "-1", "1_000", "1\n"]),
    ],
)
def test_a_number_that_is_not_a_plain_decimal_is_refused(read: Callable[[Node], Decimal], node: Node) -> None:
    with pytest.raises(BadValueError, match="is not a plain decimal"):
        read(node)


@pytest.mark.parametrize("read", [rate, amount, factor, text, whole_hour])
@pytest.mark.parametrize("node", [Mapping((), line=1), Sequence((), line=1)])
def test_a_mapping_or_a_list_is_not_a_single_value(read: Callable[[Node], object], node: Node) -> None:
    with pytest.raises(BadValueError, match="single value"):
        read(node)


@NUMBERS
def test_a_number_has_at_most_forty_characters(read: Callable[[Node], Decimal]) -> None:
    longest = "0." + "1" * 38

    assert read(quoted(longest)) == Decimal(longest)
    with pytest.raises(BadValueError, match="longer than 40 characters"):
        read(quoted(longest + "1"))


@pytest.mark.parametrize(
    ("read", "largest", "limit"),
    [
        (rate, "1000000", "1,000,000 USD"),
        (amount, "1000000", "1,000,000"),
        (factor, "1000", "1,000"),
    ],
)
def test_a_number_beyond_all_reason_is_refused(
    read: Callable[[Node], Decimal], largest: str, limit: str
) -> None:
    assert read(quoted(largest)) == Decimal(largest)
    with pytest.raises(BadValueError, match=limit):
        read(quoted(f"{largest}.000000001"))


@pytest.mark.parametrize("written", ["0.0000000001", "0.00000000049999999999"])
def test_a_rate_that_rounds_to_zero_is_refused_but_such_an_amount_is_not(written: str) -> None:
    with pytest.raises(BadValueError, match=f'"{written}" rounds to zero'):
        rate(quoted(written))
    assert amount(quoted(written)) == Decimal(written)


def test_half_a_nano_dollar_is_a_rate() -> None:
    assert rate(quoted("0.0000000005")) == Decimal("0.0000000005")


@pytest.mark.parametrize("written", ["2026-12-01T05:00:00Z", "2026-12-01T05:00:00+00:00"])
@pytest.mark.parametrize("style", [quoted, plain])
def test_a_whole_utc_hour_can_be_written_with_or_without_quotes(
    style: Callable[[str], Scalar], written: str
) -> None:
    assert whole_hour(style(written)) == datetime(2026, 12, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-12-01T00:30:00Z",
        "2026-12-01T00:00:01Z",
        "2026-12-01T00:00:00.5Z",
        "2026-12-01T00:00:00",
        "2026-12-01T00:00:00+01:00",
        "2026-12-01",
        "2026-12-01 00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-12-01T24:00:00Z",
        "0000-12-01T00:00:00Z",
        "2026-12-01T00:00:00Z\n",
        "now",
        "",
    ],
)
def test_anything_but_a_whole_utc_hour_is_refused(written: str) -> None:
    with pytest.raises(BadValueError, match="is not a whole UTC hour"):
        whole_hour(quoted(written))
