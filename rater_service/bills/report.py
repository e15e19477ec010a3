"""Reports: what rollups add up to, by hour, day, month, customer, resource, model, user, group and API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import asyncpg

from rater_service.bills.holes import Holes, find_holes
from rater_service.bills.rollups import (
    AsOf,
    Selection,
    find_as_of,
    over_rollups,
    reading,
)
from rater_service.database.database import Pool
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S
from rater_service.money import exact_sum
from rater_service.prices.pricebook import FINE_TUNE_PREFIX
from rater_service.statements import Bound


class Grouping(StrEnum):
    """What a report can be broken down by."""

    MONTH = "month"
    """Months of UTC."""
    DAY = "day"
    """Days of UTC."""
    HOUR = "hour"
    CUSTOMER = "customer"
    """Who pays: the auth_id."""
    RESOURCE = "resource"
    MODEL = "model"
    USER = "user"
    """On whose behalf, as the edge stated it. Like the two that follow only events know it."""
    GROUP = "group"
    API = "api"


BY_EVENT = frozenset({Grouping.USER, Grouping.GROUP, Grouping.API})
"""What is not in rollups: a report by one of these reads events, and takes as long as there are any."""


@dataclass(frozen=True, slots=True)
class BillSums:
    """What some rollups add up to, exactly. prompt_tokens include cached_tokens; cost is in USD."""

    rollups: int
    events: int
    prompt_tokens: int
    cached_tokens: int
    billable_prompt_tokens: int
    completion_tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class ReportRow:
    """The sums of what shares these names and times; None: the events state none.

    events_known: False for rollups whose events are not all there, or came since: nobody knows whose they
    are. A rollup whose events are of several counts in the row of each.
    """

    names: Mapping[Grouping, str | datetime | None]
    sums: BillSums
    events_known: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """A report. Its rows add up to its total and stand in the order of their names.

    as_of: None where it says what the bills say now. holes: what the bills lack of the period.
    """

    selection: Selection
    by: tuple[Grouping, ...]
    as_of: AsOf | None
    rows: tuple[ReportRow, ...]
    total: BillSums
    holes: Holes


async def make_report(
    pool: Pool, selection: Selection, by: Sequence[Grouping], as_of: datetime | None, now: datetime
) -> Report:
    """Add up the rollups selected, as they are or as they were at a moment (UTC-aware), in one snapshot.

    by: what to break the sums down by; the first name orders the rows first. now: UTC-aware. Raises
    OperatorError: see `find_as_of`.
    """
    async with reading(pool) as connection:
        past = None if as_of is None else await find_as_of(connection, as_of, now)
        add_up = _statement(selection, by, past)
        rows, total = _added(await connection.fetch(*add_up, timeout=STATEMENT_TIMEOUT_S), by)
        holes = await find_holes(connection, selection, past, now)
    return Report(selection, tuple(by), past, rows, total, holes)


def total_of(parts: Sequence[BillSums]) -> BillSums:
    """Add sums up, exactly."""
    return BillSums(
        rollups=sum(part.rollups for part in parts),
        events=sum(part.events for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        cached_tokens=sum(part.cached_tokens for part in parts),
        billable_prompt_tokens=sum(part.billable_prompt_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        cost=exact_sum(part.cost for part in parts),
    )


def _added(
    records: Sequence[asyncpg.Record], by: Sequence[Grouping]
) -> tuple[tuple[ReportRow, ...], BillSums]:
    (total,) = (sums_of(record) for record in records if record["is_total"])
    rows = sorted((_row(record, by) for record in records if not record["is_total"]), key=_order)
    return tuple(rows), total


def _statement(selection: Selection, by: Sequence[Grouping], as_of: AsOf | None) -> Bound:
    if BY_EVENT.isdisjoint(by):
        return over_rollups("bills/report", selection, as_of, by=list(by))
    prefix = FINE_TUNE_PREFIX
    return over_rollups("bills/report_by_event", selection, as_of, by=list(by), fine_tune_prefix=prefix)


def _row(record: asyncpg.Record, by: Sequence[Grouping]) -> ReportRow:
    names = {grouping: record[grouping] for grouping in by}
    return ReportRow(names, sums_of(record), BY_EVENT.isdisjoint(by) or record["events_known"])


def _order(row: ReportRow) -> tuple[object, ...]:
    """Put what has no name behind what has, and what nobody knows behind that."""
    return tuple((not row.events_known, name is None, name) for name in row.names.values())


def sums_of(record: asyncpg.Record, prefix: str = "") -> BillSums:
    """Read the columns of sums, which have their names behind a prefix."""
    return BillSums(
        rollups=record[f"{prefix}rollups"],
        events=int(record[f"{prefix}events"]),
        prompt_tokens=int(record[f"{prefix}prompt_tokens"]),
        cached_tokens=int(record[f"{prefix}cached_tokens"]),
        billable_prompt_tokens=int(record[f"{prefix}billable_prompt_tokens"]),
        completion_tokens=int(record[f"{prefix}completion_tokens"]),
        cost=record[f"{prefix}cost"],
    )
