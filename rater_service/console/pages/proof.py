"""Why an amount is what it is: rollups, one of them explained, its events, one event, and the search."""

from contextlib import suppress
from datetime import timedelta
from uuid import UUID

from rater_service.bills.event import EventAccount, NoSuchEventError, Standing, account_for
from rater_service.bills.events import EventFilter, list_stored_events
from rater_service.bills.explain import NoSuchRollupError, explain_rollup, list_events
from rater_service.bills.explanation import Explanation, found_changed
from rater_service.bills.rollups import find_names, list_rollups, reading
from rater_service.console.query import BadParameterError, link, read_moment, read_name, read_number
from rater_service.console.tables import Cell, Column, Kind, Table, row
from rater_service.console.view import NotFoundError, Page, Redirect, View
from rater_service.events.validation import UUID_FORM
from rater_service.hours import HOUR, utc_text
from rater_service.money import per_million
from rater_service.prices.lines import PriceLine, lines_of
from rater_service.prices.store import load_kept_file
from rater_service.rating.day_sums import day_of
from rater_service.rollup import RollupKey
from rater_service.views.events import event_fields, standing_text

_ID_MAX = 2**63 - 1
_NAMES_MAX = 20
_NAMES_SINCE = timedelta(days=62)
_EVENT_COLUMNS = (
    Column("request_id", "request id", Kind.NAME),
    Column("event_time", "ended", Kind.TIME),
    Column("user_id", "user", Kind.NAME),
    Column("client_request_id", "client's own id", Kind.NAME),
    Column("prompt_tokens", "prompt tokens", Kind.COUNT),
    Column("cached_tokens", "of these cached", Kind.COUNT),
    Column("completion_tokens", "completion tokens", Kind.COUNT),
    Column("outcome", "outcome"),
)


async def rollups(view: View) -> Page:
    """Which hours are behind an amount?"""
    query = view.query
    after = read_number(view.parameters, "after", _ID_MAX)
    page_rows = view.rows_max if view.download else 100
    async with reading(view.pool) as connection:
        rows = await list_rollups(connection, query.selection, after, page_rows + 1)
        total = (await view.sums.add_up(connection, query.selection, [])).total
    columns = (
        Column("id", "rollup", Kind.COUNT),
        Column("window_start", "hour", Kind.TIME),
        Column("auth_id", "customer", Kind.NAME),
        Column("resource_id", "resource", Kind.NAME),
        Column("model_id", "model", Kind.NAME),
        Column("event_count", "events", Kind.COUNT),
        Column("billable_prompt_tokens", "prompt tokens, not cached", Kind.COUNT),
        Column("applied_prompt_rate", "USD per token", Kind.RATE),
        Column("cached_tokens", "cached tokens", Kind.COUNT),
        Column("applied_cached_rate", "USD per token", Kind.RATE),
        Column("completion_tokens", "completion tokens", Kind.COUNT),
        Column("applied_completion_rate", "USD per token", Kind.RATE),
        Column("cost", "USD", Kind.MONEY),
        Column("run", "run", Kind.COUNT),
    )
    links = {
        "id": lambda one: f"/rollup?id={one['id']}",
        "run": lambda one: f"/run?id={one['run']}",
        "auth_id": lambda one: query.href("/bill", customer=one["auth_id"]),
    }
    cells = [
        tuple(
            Cell(one[column.name], links[column.name](one) if column.name in links else None)
            for column in columns
        )
        for one in rows[:page_rows]
    ]
    table = Table(
        name="rollups",
        caption="Rollups: a customer, a resource, a model and an hour each",
        columns=columns,
        rows=cells,
        total=row(
            f"all {total.rollups}",
            *[None] * 4,
            total.events,
            total.billable_prompt_tokens,
            None,
            total.cached_tokens,
            None,
            total.completion_tokens,
            None,
            total.cost,
            None,
        ),
        more=query.href("/rollups", after=rows[page_rows - 1]["id"]) if len(rows) > page_rows else None,
        is_cut=len(rows) > page_rows,
        empty="No rollup in this window.",
        note="The last line is the sum of all rollups of the window, those on other pages included.",
    )
    return Page("Rollups", (table,))


async def rollup(view: View) -> Page:
    """Why is the amount of one rollup what it is?"""
    number = read_number(view.parameters, "id", _ID_MAX)
    try:
        told = await explain_rollup(view.pool, _key(view) if number is None else number, by_sums=True)
    except NoSuchRollupError as error:
        raise NotFoundError(str(error)) from error
    lines: tuple[PriceLine, ...] = ()
    if told.origin is not None and told.origin.price is not None:
        async with reading(view.pool) as connection:
            file = await load_kept_file(connection, told.origin.loading.content_hash)
        lines = lines_of(file, told.key.model_id, told.origin.price)
    return Page(
        title=f"Rollup {told.id}",
        template="rollup.html",
        tables=(*([_charges(told)] if told.now else []), *_derivation(told), _changes(told)),
        shown={
            "told": told,
            "lines": lines,
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
            Column("run", "run", Kind.COUNT),
            Column("finished_at", "finished", Kind.TIME),
            Column("requested_by", "asked for by", Kind.NAME),
            Column("what", "what"),
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
    limit = view.rows_max if view.download else 100
    page = await list_events(view.pool, key, None if after is None else UUID(after), limit)
    told = None
    with suppress(NoSuchRollupError):
        told = await explain_rollup(view.pool, key, by_sums=True)
    rows = [
        row(
            Cell(str(one["request_id"]), f"/event?id={one['request_id']}"),
            one["event_time"],
            None,
            one["client_request_id"],
            *(one[name] for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "outcome")),
        )
        for one in page.events
    ]
    columns = tuple(column for column in _EVENT_COLUMNS if column.name != "user_id")
    table = Table(
        name="events",
        caption="Events of this customer, resource, model and hour, billed or not",
        columns=columns,
        rows=[(*one[:2], *one[3:]) for one in rows],
        more=f"{_events_href(key)}&after={page.events[-1]['request_id']}" if page.has_more else None,
        is_cut=page.has_more,
        empty="No event is kept: they were pruned, or there were none.",
        note="An empty count was not reported, which is not 0.",
    )
    return Page(
        "Events of a rollup",
        (table,),
        template="rollup_events.html",
        shown={"told": told, "key": key, "rollup_href": None if told is None else _rollup_href(key)},
    )


def _rollup_href(key: RollupKey) -> str:
    return _events_href(key).replace("/rollup-events", "/rollup", 1)


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
            found = await find_names(connection, day_of(view.now - _NAMES_SINCE), text, _NAMES_MAX)
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
                columns=_EVENT_COLUMNS,
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
