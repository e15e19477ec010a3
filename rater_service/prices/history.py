"""The price books that are or will be in force, and which of them prices a moment."""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from rater_service.prices.loadings import BEGINNING, in_turn
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.resolution import NoPrice, NoPriceReason, Price, resolve


@dataclass(frozen=True, slots=True)
class BookInForce:
    """A book and the moment it comes into force; None: from the beginning. Times are UTC-aware."""

    book: PriceBook
    in_force_from: datetime | None

    @property
    def start(self) -> datetime:
        """When it comes into force; the earliest time there is for one from the beginning."""
        return self.in_force_from or BEGINNING


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


# Quotes that are remembered. Whoever asks can name what they like; each takes some hundred bytes.
REMEMBERED_MAX = 10_000


class PriceHistory:
    """Which book prices what when.

    entries: in the order in which they were loaded. since: they are those that can price a moment from then
    on; None: those that can price any.
    """

    def __init__(self, entries: Iterable[BookInForce], since: datetime | None = None) -> None:
        self._entries = in_turn(entries)
        self._starts = tuple(entry.start for entry in self._entries)
        self._since = since
        # By the place of the book in force: who asks for the same again gets the same object.
        self._remembered: dict[tuple[int, str, str | None], Quote | NoPrice] = {}

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
        key = (in_force, model_id, base_model)
        found = self._remembered.get(key)
        if found is None:
            if len(self._remembered) >= REMEMBERED_MAX:
                self._remembered.clear()
            found = self._remembered[key] = self._find(in_force, model_id, base_model)
        return found

    def _find(self, in_force: int, model_id: str, base_model: str | None) -> Quote | NoPrice:
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
