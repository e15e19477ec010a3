"""`phoebe events`: which requests there were, by whom, or of which trace."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from rater_service.bills.events import EventFilter, FoundEvents, find_events
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir, open_store
from rater_service.cli.period import (
    Customer,
    Model,
    Resource,
    Since,
    Until,
    explained_read_errors,
    read_period,
)
from rater_service.events.validation import TRACE_ID_FORM
from rater_service.hours import HOUR, hour_of
from rater_service.views.documents import write_json
from rater_service.views.events import EVENTS, events_json, show_events
from rater_service.views.terminal import progress

_DAYS_MAX = 31


def _trace_id(written: str) -> str:
    if not TRACE_ID_FORM.fullmatch(written.lower()):
        raise typer.BadParameter("must be 32 hexadecimal digits, not all zero")
    return written.lower()


def events(  # noqa: PLR0913 - one parameter per option
    window: Annotated[
        str | None,
        typer.Argument(
            metavar="WINDOW",
            show_default=False,
            help="A day (2026-12-01), a month (2026-12) or START/END, 31 days at most. Default: the last 24 "
            "hours and the running one.",
        ),
    ] = None,
    *,
    since: Since = None,
    until: Until = None,
    trace: Annotated[
        str | None,
        typer.Option(
            parser=_trace_id,
            metavar="ID",
            show_default=False,
            help="Only of this trace: 32 hexadecimal digits, as `traceparent` has them.",
        ),
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID", show_default=False, help="Only with this id, which the client sent as X-Request-Id."
        ),
    ] = None,
    auth: Customer = None,
    user: Annotated[
        str | None, typer.Option(metavar="ID", show_default=False, help="Only on behalf of this user.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="ID", show_default=False, help="Only of this group of users.")
    ] = None,
    resource: Resource = None,
    model: Model = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many events at most.")] = 20,
    after: Annotated[
        UUID | None,
        typer.Option(metavar="REQUEST_ID", show_default=False, help="Only those behind this event."),
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List requests, oldest first: those of a trace, a user, a customer, or all.

    The events of the window are read one by one, so a longer one takes longer. `phoebe event REQUEST_ID`
    says what became of one, and what it costs.

    Exit codes: 0 done, also where there is none; 1 failure.
    """
    now = datetime.now(UTC)
    if window is None and since is None and until is None:
        since = hour_of(now) - 24 * HOUR
    start, end = read_period(window, since, until, now)
    if end - start > timedelta(days=_DAYS_MAX):
        raise typer.BadParameter(
            f"the window must be at most {_DAYS_MAX} days: its events are read one by one"
        )
    wanted = EventFilter(start, end, auth, user, group, resource, model, client_id, trace)
    with progress("reading"):
        found = asyncio.run(_read(wanted, limit, after, database_url, data))
    if as_json:
        write_json(EVENTS, events_json(start, end, found))
    else:
        show_events(start, end, found)


async def _read(
    wanted: EventFilter, limit: int, after: UUID | None, database_url: str | None, data_dir: Path
) -> FoundEvents:
    async with open_store(database_url, data_dir, writes=False) as pool:
        with explained_read_errors():
            return await find_events(pool, wanted, limit, after)
