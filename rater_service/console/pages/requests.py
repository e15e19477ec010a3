"""One request: what became of it, and how it is found."""

from datetime import timedelta
from uuid import UUID

from rater_service.bills.event import EventAccount, NoSuchEventError, Standing, account_for
from rater_service.bills.events import EventFilter, list_stored_events
from rater_service.bills.rollups import find_names, reading
from rater_service.console.pages.event_columns import EVENT_COLUMNS
from rater_service.console.query import BadParameterError, link, read_moment, read_name
from rater_service.console.tables import Cell, Column, Kind, Table, row
from rater_service.console.view import NotFoundError, Page, Redirect, View
from rater_service.events.validation import UUID_FORM
from rater_service.hours import HOUR
from rater_service.rating.day_sums import day_of, month_of
from rater_service.views.events import event_fields, standing_text

_ID_MAX = 2**63 - 1
_NAMES_MAX = 20
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
        pages = {"customer": "/bill", "resource": "/usage", "model": "/usage"}
        rows = [row(kind, Cell(name, view.query.href(pages[kind], **{kind: name}))) for kind, name in found]
        rows = [*_numbers(text), *rows]
    client_rows = await _by_client_id(view, text) if text and view.parameters.get("day") else ()
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
    if view.parameters.get("day") and view.sees_events:
        tables.append(
            Table(
                name="events",
                caption=f"Events with this id of the client's own, on {view.parameters['day']}",
                columns=EVENT_COLUMNS,
                rows=client_rows,
                empty="None on this day.",
            )
        )
    return Page("Search", tuple(tables), "search.html", {"text": text, "sees_events": view.sees_events})


def _numbers(text: str) -> list[tuple[Cell, ...]]:
    """Lead to the rollup and the run of a number, and to the price book of a hash."""
    if text.isascii() and text.isdecimal() and int(text) <= _ID_MAX:
        return [row("rollup", Cell(text, f"/rollup?id={text}")), row("run", Cell(text, f"/run?id={text}"))]
    if len(text) >= 8 and all(char in "0123456789abcdef" for char in text):
        return [row("price book", Cell(text, f"/price-book?hash={text}"))]
    return []


async def _by_client_id(view: View, text: str) -> list[tuple[Cell, ...]]:
    day = read_moment(view.parameters, "day")
    if day is None or not view.sees_events:
        return []
    day = day_of(day)
    wanted = EventFilter(day, day + 24 * HOUR, client_request_id=text)
    page = await list_stored_events(view.pool, wanted, 100, None)
    return [
        row(
            Cell(str(one.row.request_id), f"/event?id={one.row.request_id}"),
            one.row.event_time,
            one.row.user_id,
            one.row.client_request_id,
            one.row.prompt_tokens,
            one.row.cached_tokens,
            one.row.completion_tokens,
            one.row.outcome,
        )
        for one in page.events
    ]
