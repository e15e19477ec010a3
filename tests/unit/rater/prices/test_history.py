from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from rater_service.money import Rates
from rater_service.prices.history import BookInForce, PriceHistory, Quote, in_force_from
from rater_service.prices.pricebook import Identity, PriceBook
from rater_service.prices.resolution import NoPrice, NoPriceReason

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def book(name: str, models: str, effective_from: datetime | None = None) -> PriceBook:
    rate = Decimal(len(name))
    prices = dict.fromkeys(models.split(), Rates(rate, rate, rate))
    return PriceBook(name, name.encode(), prices, {}, Identity(), {}, effective_from)


def entry(
    name: str, models: str, in_force: datetime | None, loaded_at: datetime = NOON - 100 * HOUR
) -> BookInForce:
    return BookInForce(book(name, models), in_force, loaded_at)


FIRST = entry("first", "a", None)
SECOND_BOOK = entry("second", "a b", NOON)
THIRD = entry("third", "a b c", NOON + HOUR)
HISTORY = PriceHistory([THIRD, FIRST, SECOND_BOOK])


def quoted(history: PriceHistory, model_id: str, at: datetime) -> Quote:
    quote = history.resolve(model_id, None, at)
    assert isinstance(quote, Quote)
    return quote


@pytest.mark.parametrize(
    ("at", "name", "since", "until"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), "first", None, NOON),
        (NOON - SECOND, "first", None, NOON),
        (NOON, "second", NOON, NOON + HOUR),
        (NOON + HOUR - SECOND, "second", NOON, NOON + HOUR),
        (NOON + HOUR, "third", NOON + HOUR, None),
        (NOON + 1000 * HOUR, "third", NOON + HOUR, None),
    ],
)
def test_the_book_in_force_at_the_moment_prices_it(
    at: datetime, name: str, since: datetime | None, until: datetime | None
) -> None:
    quote = quoted(HISTORY, "a", at)

    assert quote.book.content_hash == name
    assert (quote.effective_from, quote.effective_until) == (since, until)


def test_a_forgotten_model_takes_the_earliest_later_book_that_prices_it() -> None:
    assert quoted(HISTORY, "b", NOON - HOUR).book.content_hash == "second"
    assert quoted(HISTORY, "c", NOON - HOUR).book.content_hash == "third"
    assert quoted(HISTORY, "c", NOON - HOUR).effective_from == NOON + HOUR


def test_a_model_only_earlier_books_price_has_no_price() -> None:
    history = PriceHistory([FIRST, entry("without a", "b", NOON)])

    assert history.resolve("a", None, NOON) == NoPrice(NoPriceReason.NO_PRICE)


def test_before_the_first_book_the_earliest_one_that_prices_the_model_counts() -> None:
    history = PriceHistory([SECOND_BOOK, THIRD])

    assert quoted(history, "a", NOON - HOUR).book.content_hash == "second"
    assert quoted(history, "c", NOON - HOUR).book.content_hash == "third"


def test_where_no_book_prices_a_model_the_reason_is_given() -> None:
    assert HISTORY.resolve("ft:x", None, NOON) == NoPrice(NoPriceReason.FINE_TUNE_WITHOUT_BASE)
    assert HISTORY.resolve("ft:x", "nowhere", NOON) == NoPrice(NoPriceReason.BASE_NOT_PRICED)


def test_of_two_books_for_the_same_hour_only_the_one_loaded_last_counts() -> None:
    corrected = entry("corrected", "a", NOON, loaded_at=NOON - HOUR)
    history = PriceHistory([corrected, entry("mistaken", "a b", NOON, loaded_at=NOON - 2 * HOUR)])

    assert quoted(history, "a", NOON).book.content_hash == "corrected"
    assert quoted(history, "a", NOON).effective_until is None
    assert history.resolve("b", None, NOON) == NoPrice(NoPriceReason.NO_PRICE)


def test_a_history_without_books_is_false_and_prices_nothing() -> None:
    assert not PriceHistory([])
    assert PriceHistory([]).resolve("a", None, NOON) == NoPrice(NoPriceReason.NO_PRICE)
    assert HISTORY


@pytest.mark.parametrize(
    ("loaded_at", "starts"),
    [
        (NOON, NOON + HOUR),
        (NOON + SECOND, NOON + HOUR),
        (NOON + HOUR - timedelta(microseconds=1), NOON + HOUR),
        (datetime(2026, 11, 20, 17, 45, tzinfo=timezone(timedelta(hours=5, minutes=30))), NOON + HOUR),
    ],
)
def test_a_later_book_comes_into_force_with_the_next_whole_utc_hour(
    loaded_at: datetime, starts: datetime
) -> None:
    assert in_force_from(book("b", "a"), loaded_at, first_ever=False) == starts


def test_the_first_book_ever_holds_from_the_beginning() -> None:
    assert in_force_from(book("b", "a"), NOON, first_ever=True) is None


@pytest.mark.parametrize("first_ever", [True, False])
def test_a_book_that_names_its_hour_holds_from_then(first_ever: bool) -> None:
    named = book("b", "a", effective_from=NOON - 5 * HOUR)

    assert in_force_from(named, NOON, first_ever) == NOON - 5 * HOUR


def test_a_history_from_a_moment_on_tells_nothing_of_earlier_ones() -> None:
    history = PriceHistory([SECOND_BOOK, THIRD], since=NOON)

    assert quoted(history, "a", NOON) == quoted(HISTORY, "a", NOON)
    with pytest.raises(ValueError, match="before"):
        history.resolve("a", None, NOON - SECOND)
