"""Why an amount is what it is: the rollups behind it, one of them explained, and its events."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import asyncpg

from rater_service.bills.explain import NoSuchRollupError, explain_rollup, list_events, over_events_of
from rater_service.bills.explanation import Explanation, found_changed
from rater_service.bills.page_tokens import InvalidPageToken
from rater_service.bills.report import BillSums
from rater_service.bills.rollup_list import list_rollups, over_rollups_in_order
from rater_service.bills.rollups import reading
from rater_service.bills.sums import add_up
from rater_service.console.pages.event_columns import EVENT_COLUMNS
from rater_service.console.query import BadParameterError, Query, link, read_moment, read_name, read_number
from rater_service.console.tables import AllRows, Cell, Column, Kind, Row, Table, row
from rater_service.console.view import ROWS_ON_PAGE, NotFoundError, Page, View
from rater_service.database.database import Connection
from rater_service.events.validation import UUID_FORM
from rater_service.hours import utc_text
from rater_service.money import per_million
from rater_service.rollup import RollupKey

_ID_MAX = 2**63 - 1
_OF_MODEL_MAX = timedelta(days=2)
_ROLLUPS = (
    Column("id", "rollup", Kind.ID),
    Column("window_start", "hour", Kind.TIME),
    Column("auth_id", "customer", Kind.NAME),
    Column("resource_id", "resource", Kind.NAME),
    Column("model_id", "model", Kind.NAME),
    Column("event_count", "events", Kind.COUNT),
    Column("cost", "USD", Kind.MONEY),
    Column("billable_prompt_tokens", "prompt tokens, not cached", Kind.COUNT),
    Column("applied_prompt_rate", "USD per prompt token", Kind.RATE),
    Column("cached_tokens", "cached tokens", Kind.COUNT),
    Column("applied_cached_rate", "USD per cached token", Kind.RATE),
    Column("completion_tokens", "completion tokens", Kind.COUNT),
    Column("applied_completion_rate", "USD per completion token", Kind.RATE),
    Column("run", "run", Kind.ID),
)
_EVENTS = tuple(column for column in EVENT_COLUMNS if column.name != "user_id")


async def rollups(view: View) -> Page:
    """Which hours are behind an amount?"""
    query = view.query
    if query.customer is None and query.resource is None and query.model and query.span > _OF_MODEL_MAX:
        # No index has the rollups of a model, and it may have none.
        raise BadParameterError(
            "model", "alone needs a window of at most two days: name a customer or resource"
        )
    async with reading(view.pool) as connection:
        try:
            page = await list_rollups(connection, query.selection, view.parameters.get("after"), ROWS_ON_PAGE)
        except InvalidPageToken:
            raise BadParameterError("after", "was not given out by this page") from None
        total = (await view.sums.add_up(connection, query.selection, [])).total

    async def all_rows(connection: Connection) -> AllRows:
        whole = (await add_up(connection, query.selection, [])).total
        statement = over_rollups_in_order(query.selection)
        return AllRows(statement, _plain_row, _rollups_total(whole))

    table = Table(
        name="rollups",
        caption="Rollups: a customer, a resource, a model and an hour each",
        columns=_ROLLUPS,
        rows=[_rollup_row(query, one) for one in page.rows],
        total=_rollups_total(total),
        more=query.href("/rollups", after=page.next_token) if page.next_token else None,
        is_cut=page.next_token is not None,
        empty="No rollup in this window.",
        note="A run has changed bills since the first page: begin again, so that rows and sum agree."
        if page.has_changed
        else "The last line is the sum of all rollups of the window, those on other pages included.",
        source=all_rows,
    )
    return Page("Rollups", (table,))


def _rollup_row(query: Query, one: asyncpg.Record) -> Row:
    links = {
        "id": f"/rollup?id={one['id']}",
        "run": f"/run?id={one['run']}",
        "auth_id": query.href("/bill", customer=one["auth_id"]),
    }
    return tuple(Cell(one[column.name], links.get(column.name)) for column in _ROLLUPS)


def _plain_row(one: asyncpg.Record) -> Row:
    return tuple(Cell(one[column.name]) for column in _ROLLUPS)


def _rollups_total(total: BillSums) -> Row:
    return row(
        f"all {total.rollups}",
        *[None] * 4,
        total.events,
        total.cost,
        total.billable_prompt_tokens,
        None,
        total.cached_tokens,
        None,
        total.completion_tokens,
        None,
        None,
    )


async def rollup(view: View) -> Page:
    """Why is the amount of one rollup what it is?"""
    number = read_number(view.parameters, "id", _ID_MAX)
    try:
        told = await explain_rollup(view.pool, _key(view) if number is None else number, by_sums=True)
    except NoSuchRollupError as error:
        raise NotFoundError(str(error)) from error
    return Page(
        title=f"Rollup {told.id}",
        template="rollup.html",
        tables=(*([_charges(told)] if told.now else []), *_derivation(told), _changes(told)),
        shown={
            "told": told,
            "events_href": _events_href(told.key),
            "sees_events": view.sees_events,
        },
    )


def _key(view: View) -> RollupKey:
    hour = read_moment(view.parameters, "hour")
    names = [read_name(view.parameters, name) for name in ("customer", "resource", "model")]
    if hour is None or None in names:
        raise BadParameterError(
            "id", "is required: the number of a rollup, or hour, customer, resource and model"
        )
    return RollupKey(hour, *(name or "" for name in names))


def _events_href(key: RollupKey) -> str:
    return link(
        "/rollup-events",
        {
            "hour": utc_text(key.window_start),
            "customer": key.auth_id,
            "resource": key.resource_id,
            "model": key.model_id,
        },
    )


def _charges(told: Explanation) -> Table:
    assert told.now is not None
    return Table(
        name="charges",
        caption="What it costs",
        columns=(
            Column("kind", "tokens"),
            Column("tokens", "how many", Kind.COUNT),
            Column("rate", "USD per token", Kind.RATE),
            Column("rate_per_million", "USD per million", Kind.RATE),
            Column("amount", "USD", Kind.MONEY),
        ),
        rows=[
            row(one.kind, one.tokens, one.rate, per_million(one.rate), one.amount)
            for one in told.now.charges()
        ],
        total=row("cost", None, None, None, told.now.explained_cost()),
        note="Tokens times rate, without rounding: rates are rounded to 9 decimals before.",
    )


def _derivation(told: Explanation) -> tuple[Table, ...]:
    origin = told.origin
    if origin is None or origin.price is None or origin.base is None or origin.price.premium is None:
        return ()
    price = origin.price
    base, exact, billed = (rates.by_component() for rates in (origin.base, price.exact, price.billed))
    return (
        Table(
            name="derivation",
            caption=f"How the rates came about: {price.derived_from}, {origin.price.premium.describe()}",
            columns=(
                Column("kind", "tokens"),
                Column("base", "rate of the base, USD", Kind.RATE),
                Column("exact", "with premium", Kind.RATE),
                Column("billed", "rounded half-up to 9 decimals", Kind.RATE),
            ),
            rows=[row(kind, base[kind], exact[kind], billed[kind]) for kind in base],
        ),
    )


def _changes(told: Explanation) -> Table:
    tampered = found_changed(told.changes)
    rows = []
    for one in told.changes:
        what = "inserted" if one.old is None else "deleted" if one.new is None else "changed"
        rows.append(
            row(
                Cell(one.run.id, f"/run?id={one.run.id}"),
                one.run.finished_at,
                one.run.requested_by,
                f"{what}; found changed by none of the runs" if one in tampered else what,
                one.old.event_count if one.old else None,
                one.new.event_count if one.new else None,
                one.old.cost if one.old else None,
                one.new.cost if one.new else None,
            )
        )
    return Table(
        name="changes",
        caption="What runs did to it, oldest first",
        columns=(
            Column("run", "run", Kind.ID),
            Column("finished_at", "finished", Kind.TIME),
            Column("requested_by", "asked for by", Kind.NAME),
            Column("what", "what", Kind.WORDS),
            Column("events_before", "events before", Kind.COUNT),
            Column("events_after", "events after", Kind.COUNT),
            Column("cost_before", "USD before", Kind.MONEY),
            Column("cost_after", "USD after", Kind.MONEY),
        ),
        rows=rows,
    )


async def rollup_events(view: View) -> Page:
    """Which requests are behind a rollup?"""
    key = _key(view)
    after = read_name(view.parameters, "after")
    if after is not None and not UUID_FORM.fullmatch(after):
        raise BadParameterError("after", "must be a request id")
    page = await list_events(view.pool, key, None if after is None else UUID(after), ROWS_ON_PAGE)
    told = None
    with suppress(NoSuchRollupError):
        told = await explain_rollup(view.pool, key, by_sums=True)

    async def all_rows(connection: Connection) -> AllRows:
        return AllRows(await over_events_of(connection, key), _event_row)

    table = Table(
        name="events",
        caption="Events of this customer, resource, model and hour, billed or not",
        columns=_EVENTS,
        rows=[_event_row(one) for one in page.events],
        more=f"{_events_href(key)}&after={page.events[-1]['request_id']}" if page.has_more else None,
        is_cut=page.has_more,
        empty="No event is kept: they were pruned, or there were none.",
        note="An empty count was not reported, which is not 0.",
        source=all_rows,
    )
    return Page(
        "Events of a rollup",
        (table,),
        template="rollup_events.html",
        shown={"told": told, "key": key, "rollup_href": None if told is None else _rollup_href(key)},
    )


def _event_row(one: asyncpg.Record) -> Row:
    request_id = str(one["request_id"])
    cells = (Cell(one[column.name]) for column in _EVENTS[1:])
    return (Cell(request_id, f"/event?id={request_id}"), *cells)


def _rollup_href(key: RollupKey) -> str:
    return _events_href(key).replace("/rollup-events", "/rollup", 1)
