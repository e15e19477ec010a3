"""All price books that were ever loaded, and which of them prices a moment."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from rater_service.hours import HOUR, hour_of
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.resolution import NoPrice, NoPriceReason, Price, resolve

_BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Loading:
    """One act of putting a price file into service: which book, from which file, and when.

    in_force_from: the moment it comes into force; None: from the beginning. Times are UTC-aware.
    """

    content_hash: str
    source: str
    loaded_at: datetime
    in_force_from: datetime | None


@dataclass(frozen=True, slots=True)
class BookInForce:
    """A book and the moment it comes into force; None: from the beginning. Times are UTC-aware."""

    book: PriceBook
    in_force_from: datetime | None
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class Quote:
    """A price, and the book it stands in.

    The book is in force from `effective_from` (None: from the beginning) until `effective_until`, exclusive
    (None: no later book is known). Where the price was taken from a later book, `effective_from` lies after
    the moment that was asked for.
    """

    price: Price
    book: PriceBook
    effective_from: datetime | None
    effective_until: datetime | None


class PriceHistory:
    """Which book prices what when.

    since: the entries are those that can price a moment from then on; None: those that can price any.
    """

    def __init__(self, entries: Iterable[BookInForce], since: datetime | None = None) -> None:
        last_of_start = ever_in_force(entries)
        self._entries = tuple(last_of_start.values())
        self._starts = tuple(last_of_start)
        self._since = since

    def __bool__(self) -> bool:
        """Say whether there is any book."""
        return bool(self._entries)

    def resolve(self, model_id: str, base_model: str | None, at: datetime) -> Quote | NoPrice:
        """Find the price of a model at a moment (UTC-aware).

        The book in force decides. A model it does not price takes the earliest later book that does, so that
        a forgotten price can be added after the fact; the same holds before the first book.
        """
        if self._since is not None and at < self._since:
            raise ValueError(f"{at} is before {self._since}, from which on this history can tell")
        in_force = max(bisect_right(self._starts, at) - 1, 0)
        missing = NoPrice(NoPriceReason.NO_PRICE)
        for index in range(in_force, len(self._entries)):
            price = resolve(self._entries[index].book, model_id, base_model)
            if isinstance(price, Price):
                return self._quote(price, index)
            missing = price
        return missing

    def _quote(self, price: Price, index: int) -> Quote:
        entry = self._entries[index]
        until = self._starts[index + 1] if index + 1 < len(self._starts) else None
        return Quote(price, entry.book, entry.in_force_from, until)


def in_force_from(book: PriceBook, loaded_at: datetime, first_ever: bool) -> datetime | None:
    """Say when a book comes into force that is loaded for the first time at `loaded_at` (UTC-aware).

    Its own `effective_from`; without one the next whole UTC hour after loading, and for the first book ever
    None: from the beginning.
    """
    if book.effective_from is not None:
        return book.effective_from
    if first_ever:
        return None
    return hour_of(loaded_at) + HOUR


def ever_in_force[T: (BookInForce, Loading)](entries: Iterable[T]) -> dict[datetime, T]:
    """Give what comes into force when, in order.

    Of two books that come into force together only the one loaded last ever is.
    """
    in_order = sorted(entries, key=lambda entry: (_start(entry), entry.loaded_at))
    return {_start(entry): entry for entry in in_order}


def _start(entry: BookInForce | Loading) -> datetime:
    return entry.in_force_from or _BEGINNING
