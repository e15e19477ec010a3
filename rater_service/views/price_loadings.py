"""How the loadings of price files are shown, and one that was withdrawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from phoebe_runtime.counts import counted
from rater_service.hours import utc_text
from rater_service.prices.loadings import SHORT_HASH_CHARS, Loading, State, Timeline
from rater_service.prices.pricebook import PriceBook
from rater_service.rating.withdrawal import Withdrawal
from rater_service.views.documents import Kind
from rater_service.views.layout import Words
from rater_service.views.terminal import write, write_table

_COLUMNS = (
    *("loading", "price book", "state", "in force from", "until", "loaded at", "loaded by"),
    *("models", "premium", "file"),
)


@dataclass(frozen=True, slots=True)
class ListedLoadings:
    """All loadings, the books they loaded by hash, and when that was read, by the database's clock."""

    timeline: Timeline
    books: Mapping[str, PriceBook]
    now: datetime


class LoadingJson(TypedDict):
    """A loading of a price file."""

    loading: int
    price_book: str
    state: State
    in_force_from: datetime | None
    in_force_until: datetime | None
    effective_from: datetime | None
    loaded_at: datetime
    loaded_by: str | None
    db_role: str | None
    replaced_by: int | None
    withdrawn_at: datetime | None
    withdrawn_by: str | None
    base_models: int
    fine_tunes: int
    premium: str
    file: str


class LoadingsJson(TypedDict):
    """All loadings, in order."""

    loadings: Sequence[LoadingJson]


class WithdrawalJson(TypedDict):
    """A loading that was withdrawn, and what is in force then, in sentences."""

    loading: int
    price_book: str
    in_force_from: datetime | None
    had_begun: bool
    outlook: Sequence[str]


class BookJson(TypedDict):
    """A price book as it was loaded: the text of the file."""

    price_book: str
    content: str


LOADINGS = Kind("price-loadings", LoadingsJson)
WITHDRAWAL = Kind("withdrawal", WithdrawalJson)
BOOK = Kind("price-book", BookJson)


def show_loadings(listed: ListedLoadings) -> None:
    """Show them as a table, and then what is in force and what is to come."""
    loadings = listed.timeline.loadings
    if not loadings:
        write("no price file was ever loaded; start `phoebe serve` with --prices FILE")
        return
    write_table(
        f"{counted(len(loadings), 'loading')} of {counted(len(listed.books), 'price book')}",
        _COLUMNS,
        (_row(loading, listed) for loading in loadings),
    )
    for line in listed.timeline.outlook(listed.now):
        write(line)


def loadings_json(listed: ListedLoadings) -> LoadingsJson:
    """Return what is written of all loadings as JSON."""
    return {"loadings": [_loading_json(loading, listed) for loading in listed.timeline.loadings]}


def show_withdrawal(withdrawal: Withdrawal) -> None:
    """Say what was withdrawn, and what is in force then."""
    write(f"withdrawn: {withdrawal.loading.describe()}")
    if withdrawal.had_begun:
        write("its hour had come: what is not billed yet is billed by what is in force without it")
    for line in withdrawal.outlook:
        write(line)


def withdrawal_json(withdrawal: Withdrawal) -> WithdrawalJson:
    """Return what is written of a withdrawal as JSON."""
    return {
        "loading": withdrawal.loading.number,
        "price_book": withdrawal.loading.content_hash,
        "in_force_from": withdrawal.loading.in_force_from,
        "had_begun": withdrawal.had_begun,
        "outlook": withdrawal.outlook,
    }


def _row(loading: Loading, listed: ListedLoadings) -> tuple[str | int | None, ...]:
    book = listed.books[loading.content_hash]
    since, until = loading.in_force_from, _until(loading, listed)
    prices_hours = loading in listed.timeline.in_turn
    return (
        loading.number,
        loading.content_hash[:SHORT_HASH_CHARS],
        Words(_state(loading, listed)),
        Words("the beginning" if since is None else utc_text(since)),
        Words(utc_text(until) if until is not None else "further notice" if prices_hours else ""),
        utc_text(loading.loaded_at),
        loading.loaded_by,
        len(book.base_models) + len(book.fine_tunes),
        book.premium.describe(),
        loading.source,
    )


def _state(loading: Loading, listed: ListedLoadings) -> str:
    state = listed.timeline.state(loading, listed.now)
    overtaken_by = listed.timeline.overtaken_by(loading)
    if state is State.REPLACED and overtaken_by is not None:
        return f"{state} by {overtaken_by}"
    if loading.withdrawn_at is not None:
        return f"{state} {utc_text(loading.withdrawn_at)} by {loading.withdrawn_by}"
    return state


def _until(loading: Loading, listed: ListedLoadings) -> datetime | None:
    return listed.timeline.until(loading) if loading in listed.timeline.in_turn else None


def _loading_json(loading: Loading, listed: ListedLoadings) -> LoadingJson:
    book = listed.books[loading.content_hash]
    return {
        "loading": loading.number,
        "price_book": loading.content_hash,
        "state": listed.timeline.state(loading, listed.now),
        "in_force_from": loading.in_force_from,
        "in_force_until": _until(loading, listed),
        "effective_from": book.effective_from,
        "loaded_at": loading.loaded_at,
        "loaded_by": loading.loaded_by,
        "db_role": loading.db_role,
        "replaced_by": listed.timeline.overtaken_by(loading),
        "withdrawn_at": loading.withdrawn_at,
        "withdrawn_by": loading.withdrawn_by,
        "base_models": len(book.base_models),
        "fine_tunes": len(book.fine_tunes),
        "premium": book.premium.describe(),
        "file": loading.source,
    }
