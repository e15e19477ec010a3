from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from rater_service.money import Rates
from rater_service.prices.history import BookInForce, PriceHistory, Quote
from rater_service.prices.pricebook import Identity, PriceBook
from rater_service.prices.resolution import NoPrice, NoPriceReason

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def book(name: str, models: str) -> PriceBook:
    rate = Decimal(len(name))
    prices = dict.fromkeys(models.split(), Rates(rate, rate, rate))
    return PriceBook(name, name.encode(), prices, {}, Identity(), {}, None)


def entry(name: str, models: str, in_force: datetime | None) -> BookInForce:
    return BookInForce(book(name, models), in_force)


FIRST = entry("first", "a", None)
SECOND_BOOK = entry("second", "a b", NOON)
THIRD = entry("third", "a b c", NOON + HOUR)
HISTORY = PriceHistory([FIRST, SECOND_BOOK, THIRD])


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
    history = PriceHistory([entry("mistaken", "a b", NOON), entry("corrected", "a", NOON)])

    assert quoted(history, "a", NOON).book.content_hash == "corrected"
    assert quoted(history, "a", NOON).effective_until is None
    assert history.resolve("b", None, NOON) == NoPrice(NoPriceReason.NO_PRICE)


def test_a_history_without_books_is_false_and_prices_nothing() -> None:
    assert not PriceHistory([])
    assert PriceHistory([]).resolve("a", None, NOON) == NoPrice(NoPriceReason.NO_PRICE)
    assert HISTORY


def test_a_book_that_reaches_back_takes_the_place_of_all_that_were_loaded_before_it() -> None:
    history = PriceHistory([FIRST, SECOND_BOOK, THIRD, entry("back", "a", NOON - HOUR)])

    assert quoted(history, "a", NOON - 2 * HOUR).effective_until == NOON - HOUR
    for hour in range(-1, 3):
        assert quoted(history, "a", NOON + hour * HOUR).book.content_hash == "back"
    assert history.resolve("c", None, NOON) == NoPrice(NoPriceReason.NO_PRICE)


def test_a_history_from_a_moment_on_tells_nothing_of_earlier_ones() -> None:
    history = PriceHistory([SECOND_BOOK, THIRD], since=NOON)

    assert quoted(history, "a", NOON) == quoted(HISTORY, "a", NOON)
    with pytest.raises(ValueError, match="before"):
        history.resolve("a", None, NOON - SECOND)


def test_who_asks_again_gets_the_same_quote_until_too_many_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rater_service.prices.history.REMEMBERED_MAX", 3)
    history = PriceHistory([FIRST, SECOND_BOOK])
    first = quoted(history, "a", NOON)
    assert quoted(history, "a", NOON + HOUR) is first
    assert quoted(history, "a", NOON - HOUR) is not first
    missing = history.resolve("b ", None, NOON)
    assert history.resolve("b ", None, NOON) is missing
    assert history.resolve("b ", "a", NOON) == missing
    assert quoted(history, "a", NOON) == first
