"""`phoebe report`: what the bills add up to."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from rater_service.bills.holes import BillHasHoles, BillHasHolesError
from rater_service.bills.report import Grouping, Report, make_report
from rater_service.bills.rollups import Selection
from rater_service.cli.options import DATA_DIR_DEFAULT, AsJson, DatabaseUrl, DataDir
from rater_service.cli.period import (
    AsOfMoment,
    Customer,
    Model,
    Resource,
    Since,
    Strict,
    Until,
    Window,
    read_period,
)
from rater_service.cli.reading import Databases, ReadDatabaseUrl, read_bills
from rater_service.database.freshness import Freshness
from rater_service.database.source import Source
from rater_service.views.documents import write_json
from rater_service.views.freshness import read_from_json, show_freshness
from rater_service.views.report import COLUMNS, REPORT, report_json, show_report, write_report_csv
from rater_service.views.terminal import complain, progress

_OTHER_NAMES = {"auth": Grouping.CUSTOMER} | {column: grouping for grouping, column in COLUMNS.items()}


class _Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def report(  # noqa: PLR0913 - one parameter per option
    window: Window = None,
    *,
    since: Since = None,
    until: Until = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMES",
            show_default=False,
            help="What to break it down by: month, day, hour, customer, resource, model, user, group, api, "
            "or several with commas; the first orders the rows. Default: customer.",
        ),
    ] = None,
    auth: Customer = None,
    resource: Resource = None,
    model: Model = None,
    as_of: AsOfMoment = None,
    strict: Strict = False,
    cents: Annotated[
        bool,
        typer.Option(
            "--cents",
            help="Also give each row in cents, as invoices state it: rounded once, half-up; their sum is the "
            "total in cents.",
        ),
    ] = False,
    form: Annotated[_Format, typer.Option("--format", help="How to write it.")] = _Format.TABLE,
    database_url: DatabaseUrl = None,
    read_database_url: ReadDatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Add up what was billed, in USD, by customer, month, day, hour, resource, model, user, group and API.

    Reads what the rating runs wrote, to the last digit; what no run has rated yet is not in it. Months, days
    and hours are UTC. The parts add up to the total, which stands in the last line; CSV has no such line.

    Users, groups and APIs are not in the bills: by them each rollup is divided by its events. Of rollups
    whose events were pruned, or changed since, nobody knows it; they are in a row of their own.

    With --as-of: what the bills said at that moment, and which run had said it.

    What is not billed stands below, by reason, with the money at risk. Complete hours that no run has rated,
    or to which usage came since, are named on standard error, with the command that rates them.

    Exit codes: 0 done, also if there was nothing billed; 1 failure; 2 done, but hours are missing.
    """
    start, end = read_period(window, since, until, datetime.now(UTC))
    selection = Selection(start, end, auth or None, resource or None, model or None)
    groupings = _groupings(by or [Grouping.CUSTOMER])
    with progress("adding up"):
        databases = Databases(database_url, read_database_url, data)
        result, freshness = asyncio.run(_report(selection, groupings, as_of, databases))
    if strict and result.holes.hours:
        raise BillHasHolesError(result.holes.in_words())
    if as_json or form is _Format.JSON:
        write_json(REPORT, {**report_json(result, cents=cents), **read_from_json(freshness)})
    elif form is _Format.CSV:
        write_report_csv(result, cents=cents)
        if freshness:
            complain(freshness.in_words())
    else:
        show_freshness(freshness)
        show_report(result, cents=cents)
    if running := result.holes.running_in_words():
        complain(running)
    if result.holes.hours:
        complain(result.holes.in_words())
        raise BillHasHoles


def _groupings(written: Sequence[str]) -> list[Grouping]:
    found: list[Grouping] = []
    for name in (part.strip() for text in written for part in text.split(",")):
        try:
            grouping = _OTHER_NAMES.get(name) or Grouping(name)
        except ValueError:
            known = ", ".join(Grouping)
            raise typer.BadParameter(f"--by: {name!r} is none of {known}") from None
        if grouping not in found:
            found.append(grouping)
    return found


async def _report(
    selection: Selection,
    by: Sequence[Grouping],
    as_of: datetime | None,
    databases: Databases,
) -> tuple[Report, Freshness | None]:
    async def read(source: Source) -> Report:
        return await make_report(source.pool, selection, by, as_of, source.now)

    return await read_bills(databases, read)
