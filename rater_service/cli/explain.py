"""`phoebe explain`: why one row of a bill says what it says."""

import asyncio
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer

from rater_service.bills.explain import EventPage, explain_rollup, list_events
from rater_service.bills.explanation import Explanation
from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    moment_option,
)
from rater_service.cli.reading import Databases, ReadDatabaseUrl, read_bills
from rater_service.database.freshness import Freshness
from rater_service.database.source import Source
from rater_service.errors import NeedsAttention
from rater_service.hours import is_whole_hour
from rater_service.rollup import RollupKey
from rater_service.views.documents import write_json
from rater_service.views.explanation import EXPLANATION, explanation_json, show_events, show_explanation
from rater_service.views.freshness import read_from_json, show_freshness
from rater_service.views.terminal import complain, progress

_ROLLUP_MAX = 2**63 - 1
_EVENTS_MAX = 10_000


class DoesNotAgree(NeedsAttention):
    """The rollup does not agree with its rates, its ledger or its events."""


def _name(flag: str, explanation: str) -> typer.models.OptionInfo:
    info = typer.Option(flag, show_default=False, help=explanation)
    assert isinstance(info, typer.models.OptionInfo)
    return info


def explain(  # noqa: PLR0913 - one parameter per option
    rollup: Annotated[
        int | None,
        typer.Argument(
            metavar="ROLLUP", min=1, max=_ROLLUP_MAX, help="Its id, as lists and exports have it."
        ),
    ] = None,
    *,
    auth: Annotated[
        str | None, _name("--auth", "Instead of ROLLUP, with the next three: its auth id.")
    ] = None,
    resource: Annotated[
        str | None, _name("--resource", "Its resource, with --auth, --model and --hour.")
    ] = None,
    model: Annotated[str | None, _name("--model", "Its model, with --auth, --resource and --hour.")] = None,
    hour: Annotated[
        datetime | None,
        moment_option("--hour", "The start of its hour, UTC, with --auth, --resource and --model."),
    ] = None,
    events: Annotated[bool, typer.Option("--events", help="List the events behind it, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=_EVENTS_MAX, help="How many events at most.")] = 100,
    after: Annotated[
        UUID | None,
        typer.Option(metavar="ID", show_default=False, help="List the events after the one with this id."),
    ] = None,
    database_url: DatabaseUrl = None,
    read_database_url: ReadDatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Explain one rollup in full: what a customer owes for a model on a resource in an hour.

    Its arithmetic, where its rates come from, which run wrote it and on whose behalf, all it was before, and
    the events it sums. A rollup that was deleted is explained by its key.

    Exit codes: 0 it agrees with its rates, its ledger and its events; 1 there is no such rollup, or another
    failure; 2 it does not agree, with what is wrong.
    """
    wanted = _wanted(rollup, auth, resource, model, hour)
    page_size = limit if events or after is not None else None
    with progress("reading"):
        databases = Databases(database_url, read_database_url, data)
        (told, page), freshness = asyncio.run(_read(wanted, databases, after, page_size))
    if as_json:
        write_json(EXPLANATION, {**explanation_json(told, page), **read_from_json(freshness)})
    else:
        show_freshness(freshness)
        show_explanation(told)
        if page is not None:
            show_events(page)
    if told.disagreements:
        for disagreement in told.disagreements:
            complain(f"DOES NOT AGREE: {disagreement}")
        raise DoesNotAgree


def _wanted(
    rollup: int | None, auth: str | None, resource: str | None, model: str | None, hour: datetime | None
) -> int | RollupKey:
    key = (auth, resource, model, hour)
    if rollup is not None and key == (None,) * 4:
        return rollup
    if rollup is not None or auth is None or resource is None or model is None or hour is None:
        raise typer.BadParameter("give ROLLUP, or all of --auth, --resource, --model and --hour")
    if not is_whole_hour(hour):
        raise typer.BadParameter("--hour must be a whole UTC hour")
    return RollupKey(hour, auth, resource, model)


async def _read(
    wanted: int | RollupKey,
    databases: Databases,
    after: UUID | None,
    limit: int | None,
) -> tuple[tuple[Explanation, EventPage | None], Freshness | None]:
    async def read(source: Source) -> tuple[Explanation, EventPage | None]:
        told = await explain_rollup(source.pool, wanted)
        page = None if limit is None else await list_events(source.pool, told.key, after, limit)
        return told, page

    return await read_bills(databases, read)
