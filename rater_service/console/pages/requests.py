"""One request: what became of it, and how it is found."""

import re
from datetime import timedelta
from uuid import UUID

from rater_service.bills.event import EventAccount, NoSuchEventError, Standing, StoredEvent, account_for
from rater_service.bills.events import WINDOW_MAX, EventFilter, list_stored_events
from rater_service.bills.rollups import find_names, reading
from rater_service.console.pages.event_columns import EVENT_COLUMNS
from rater_service.console.query import BadParameterError, link, read_moment, read_name
from rater_service.console.tables import Cell, Column, Kind, Row, Table, row
from rater_service.console.view import ROWS_ON_PAGE, NotFoundError, Page, Redirect, View
from rater_service.database.database import Connection
from rater_service.events.validation import TRACE_ID_FORM, UUID_FORM
from rater_service.hours import utc_text
from rater_service.prices.store import read_timeline
from rater_service.rating.day_sums import day_of, month_of
from rater_service.views.events import event_fields, loading_text, standing_text
from rater_service.views.price_lines import source_text

_ID_MAX = 2**63 - 1
_NAMES_MAX = 20
_HASH_FORM = re.compile(r"[0-9a-f]{8,64}")
_NAMES_SINCE = timedelta(days=62)


async def event(view: View) -> Page:
    """What became of one request?"""
    written = read_name(view.parameters, "id") or ""
    if not UUID_FORM.fullmatch(written):
        raise BadParameterError("id", "must be a request id, a UUID of 36 characters")
    try:
        account = await account_for(view.pool, UUID(written))
    except NoSuchEventError as error:
        raise NotFoundError(str(error)) from error
    fields = Table(
        name="event",
        caption="The event, as it is stored",
        columns=(Column("field", "field"), Column("value", "value", Kind.NAME)),
        rows=[row(name, value) for name, value in event_fields(account.event)],
    )
    return Page(
        title=f"Event {written}",
        template="event.html",
        tables=(*([_event_charges(account)] if account.charges else []), fields),
        shown={
            "account": account,
            "words": standing_text(account),
            "price_words": None if account.price is None else source_text(account.price.price),
            "loading": None if account.price is None else loading_text(account.price.loading),
            "estimate": account.standing is Standing.NOT_RATED,
            "rollup_href": None if account.rollup is None else f"/rollup?id={account.rollup.id}",
            "customer_href": view.query.href("/bill", customer=account.event.row.auth_id)
            if account.event.row.auth_id
            else None,
        },
    )


def _event_charges(account: EventAccount) -> Table:
    billed = account.standing is Standing.BILLED
    return Table(
        name="charges",
        caption="What it costs" if billed else "What it would cost: an estimate, on no bill",
        columns=(
            Column("kind", "tokens"),
            Column("tokens", "how many", Kind.COUNT),
            Column("rate", "USD per token", Kind.RATE),
            Column("amount", "USD", Kind.MONEY),
        ),
        rows=[row(one.kind, one.tokens, one.rate, one.amount) for one in account.charges],
        total=row("cost", None, None, account.amount),
        of_estimates=not billed,
    )


async def search(view: View) -> Page | Redirect:
    """Where is what somebody names?"""
    text = (read_name(view.parameters, "q") or "").strip()
    if UUID_FORM.fullmatch(text) and view.sees_events:
        return Redirect(link("/event", {"id": text.lower()}))
    rows = []
    if text:
        async with reading(view.pool) as connection:
            found = await find_names(connection, month_of(view.now - _NAMES_SINCE), text, _NAMES_MAX)
            books = await _books(connection, text)
        pages = {"customer": "/bill", "resource": "/usage", "model": "/usage"}
        rows = [row(kind, Cell(name, view.query.href(pages[kind], **{kind: name}))) for kind, name in found]
        rows = [*_numbers(text), *books, *rows]
    events = await _events_table(view, text) if text and view.sees_events else None
    tables = [
        Table(
            name="found",
            caption=f"Found for {text}" if text else "Search",
            columns=(Column("kind", "what"), Column("name", "name", Kind.NAME)),
            rows=rows,
            empty="Nothing of this name was billed in the last two months."
            if text
            else "Nothing was asked for.",
        )
    ]
    if events is not None:
        tables.insert(0, events)
    return Page("Search", tuple(tables), "search.html", {"text": text, "sees_events": view.sees_events})


def _numbers(text: str) -> list[Row]:
    """Lead to the rollup and the run of a number."""
    if text.isascii() and text.isdecimal() and int(text) <= _ID_MAX:
        return [row("rollup", Cell(text, f"/rollup?id={text}")), row("run", Cell(text, f"/run?id={text}"))]
    return []


async def _books(connection: Connection, text: str) -> list[Row]:
    """Lead to the price books whose hash begins so."""
    if not _HASH_FORM.fullmatch(text.lower()):
        return []
    loadings = (await read_timeline(connection)).loadings
    hashes = sorted({one.content_hash for one in loadings if one.content_hash.startswith(text.lower())})
    return [row("price book", Cell(one, link("/price-book", {"hash": one}))) for one in hashes]


async def _events_table(view: View, text: str) -> Table | None:
    """Find the events of a trace, or with an id of the client's own; None: nobody could say of which day.

    A trace's id is told by its form, and looked for in the last 24 hours too: whoever has one, has a new one.
    """
    day = read_moment(view.parameters, "day")
    trace = text.lower() if TRACE_ID_FORM.fullmatch(text.lower()) else None
    if day is None and trace is None:
        return None
    start = view.now - WINDOW_MAX if day is None else day_of(day)
    wanted = EventFilter(start, start + WINDOW_MAX, client_request_id=None if trace else text, trace_id=trace)
    page = await list_stored_events(view.pool, wanted, ROWS_ON_PAGE, None)
    when = "of the last 24 hours" if day is None else f"of {utc_text(start)[:10]}"
    return Table(
        name="events",
        caption=f"Events {when} {'of this trace' if trace else 'with this id of a client'}",
        columns=EVENT_COLUMNS,
        rows=[_event_row(one) for one in page.events],
        empty="None. Of another day? Give it above.",
        note=f"These are the first {ROWS_ON_PAGE}." if page.next_page_token else None,
        is_cut=page.next_page_token is not None,
    )


def _event_row(one: StoredEvent) -> Row:
    return row(
        Cell(str(one.row.request_id), f"/event?id={one.row.request_id}"),
        one.row.event_time,
        one.row.user_id,
        one.row.client_request_id,
        one.row.prompt_tokens,
        one.row.cached_tokens,
        one.row.completion_tokens,
        one.row.outcome,
    )
