"""How the price books that were ever loaded are shown."""

from collections.abc import Sequence
from datetime import datetime

from rater_service.hours import utc_text
from rater_service.prices.pricebook import PriceBook
from rater_service.prices.store import KeptBook
from rater_service.views.terminal import write, write_table


def show_kept_books(books: Sequence[tuple[KeptBook, PriceBook]], now: datetime) -> None:
    """Show them as a table, with what each is at this moment."""
    if not books:
        write("no price file was ever loaded; start `phoebe serve` with --prices FILE")
        return
    write_table(
        f"{len(books)} price books",
        ("price book", "state", "in force from", "until", "loaded at", "models", "premium", "file"),
        (_row(kept, book, now) for kept, book in books),
    )


def kept_book_json(kept: KeptBook, book: PriceBook, now: datetime) -> dict[str, object]:
    """Return what is written of a price book as JSON."""
    return {
        "price_book": book.content_hash,
        "state": _state(kept, now),
        "in_force_from": kept.loading.in_force_from,
        "in_force_until": kept.in_force_until,
        "effective_from": book.effective_from,
        "loaded_at": kept.loading.loaded_at,
        "base_models": len(book.base_models),
        "fine_tunes": len(book.fine_tunes),
        "premium": book.premium.describe(),
        "file": kept.loading.source,
    }


def _row(kept: KeptBook, book: PriceBook, now: datetime) -> tuple[str | int, ...]:
    since, until = kept.loading.in_force_from, kept.in_force_until
    return (
        book.content_hash[:12],
        _state(kept, now),
        "the beginning" if since is None else utc_text(since),
        "further notice" if until is None else utc_text(until),
        utc_text(kept.loading.loaded_at),
        len(book.base_models) + len(book.fine_tunes),
        book.premium.describe(),
        kept.loading.source,
    )


def _state(kept: KeptBook, now: datetime) -> str:
    since, until = kept.loading.in_force_from, kept.in_force_until
    if kept.is_never_in_force:
        return "replaced"
    if since is not None and now < since:
        return "to come"
    return "in force" if until is None or now < until else "past"
