"""What a run has to say of the rollups it found and made: what needs a human, and whose bills change."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby

import asyncpg

from rater_service.database.clock import SKEW_WARNED
from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch
from rater_service.events.clocks import Skew, skewed_producers
from rater_service.events.producers import IncompleteProducers
from rater_service.hours import HOUR
from rater_service.other_models import OTHER_MODELS
from rater_service.rating.advice import advice
from rater_service.rating.computation import Computation
from rater_service.rating.late_usage import late_usage
from rater_service.rating.other_models import with_names_counted
from rater_service.rating.outside import Outside, out_of_time
from rater_service.rating.run import (
    CLOCK_SKEW,
    INCOMPLETE_HOURS,
    Anomaly,
    BillChange,
    BillChanges,
    Mode,
    Offender,
    RateRequest,
    UnbilledOutput,
)

logger = logging.getLogger(__name__)

# As many as a human looks through; how many there are is told.
BILL_CHANGES_MAX = 100
UNBILLED_MAX = 100
_INCOMPLETE_OFFENDERS_MAX = 10


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run knows besides the usage of its window: the producers that may still have some, what is to be
    named of other hours, and the clocks that are too far from others.
    """

    incomplete: IncompleteProducers
    outside: Outside
    clocks: Sequence[Skew]


async def find_anomalies(
    connection: Connection,
    request: RateRequest,
    computed: Computation,
    around: Surroundings,
) -> tuple[Anomaly, ...]:
    """Find what needs a human, most events first, once the changes are known."""
    incomplete, outside = around.incomplete, around.outside
    found = await _find_in_part(connection, request.mode) if computed.part else []
    anomalies = await with_names_counted(connection, found, request.window_start, request.window_end)
    if incomplete.count:
        anomalies.append(_incomplete(request, incomplete, datetime.now(UTC)))
    if outside.late:
        anomalies.append(await late_usage(connection, outside.late))
    if outside.strays:
        anomalies.append(out_of_time(outside.strays))
    if named := [clock for clock in around.clocks if clock.is_named]:
        anomalies.append(_clock_skew(request, named))
    return tuple(sorted(anomalies, key=lambda anomaly: (-anomaly.events, anomaly.reason)))


async def _find_in_part(connection: Connection, mode: Mode) -> list[Anomaly]:
    """Find what is to be said of the working tables."""
    records = await fetch(
        connection,
        "rating/anomalies",
        deletion_is_anomaly=mode is Mode.ROUTINE,
        other_models=OTHER_MODELS,
    )
    return [
        _anomaly(reason, list(rows)) for reason, rows in groupby(records, key=lambda record: record["reason"])
    ]


async def add_up_changes(connection: Connection, request: RateRequest, computed: Computation) -> BillChanges:
    """Add the changes up by auth_id, before they are made."""
    if computed.part is None or not computed.counts.changes_bills:
        return _no_changes(computed.counts.total_cost)
    total, *by_auth = await fetch(
        connection,
        "rating/changes_by_auth",
        window_start=request.window_start,
        window_end=request.window_end,
        part_start=computed.part[0],
        part_end=computed.part[1],
        limit=BILL_CHANGES_MAX,
    )
    return BillChanges(_bill_change(total), tuple(map(_bill_change, by_auth)), total["auth_ids"])


def _no_changes(cost: Decimal) -> BillChanges:
    """Say that no bill changes. cost: of all rollups of the window, USD."""
    total = BillChange(
        auth_id=None,
        rollups_inserted=0,
        rollups_updated=0,
        rollups_deleted=0,
        cost_before=cost,
        cost_after=cost,
        difference=Decimal(0),
    )
    return BillChanges(total, (), 0)


async def find_unbilled_output(connection: Connection) -> tuple[UnbilledOutput, ...]:
    """Find who was given most that is not billed, once the buckets are known."""
    rows = await fetch(connection, "rating/unbilled_output", limit=UNBILLED_MAX)
    return tuple(
        UnbilledOutput(row["auth_id"], row["events"], row["answer_bytes"], row["resource_id"]) for row in rows
    )


def _bill_change(row: asyncpg.Record) -> BillChange:
    return BillChange(
        auth_id=row["auth_id"],
        rollups_inserted=row["rollups_inserted"],
        rollups_updated=row["rollups_updated"],
        rollups_deleted=row["rollups_deleted"],
        cost_before=row["cost_before"],
        cost_after=row["cost_after"],
        difference=row["difference"],
    )


async def read_clocks(connection: Connection, own: timedelta) -> tuple[Skew, ...]:
    """Read whose clocks are too far from others, and warn of those that are not to be named yet.

    own: how far the rater's clock is ahead of the database's.
    """
    skewed = await skewed_producers(connection, datetime.now(UTC))
    if abs(own) > SKEW_WARNED:
        skewed.insert(0, Skew("the rater's clock", own, "the database's"))
    for clock in skewed:
        if not clock.is_named:
            logger.warning("%s: set it right, by NTP", clock.in_words())
    return tuple(skewed)


def _clock_skew(request: RateRequest, clocks: Sequence[Skew]) -> Anomaly:
    start, end = request.window_start, request.window_end
    offenders = (Offender(None, None, None, None, 0, 0, None, clock.in_words()) for clock in clocks)
    return Anomaly(
        reason=CLOCK_SKEW,
        events=0,
        tokens=0,
        money_at_risk=None,
        offenders=tuple(offenders),
        hours=(end - start) // HOUR,
        first_hour=start,
        last_hour=end - HOUR,
        advice=advice(CLOCK_SKEW, start, end),
    )


def _incomplete(request: RateRequest, incomplete: IncompleteProducers, now: datetime) -> Anomaly:
    start, end = request.window_start, request.window_end
    return Anomaly(
        reason=INCOMPLETE_HOURS,
        events=incomplete.events,
        tokens=0,
        money_at_risk=None,
        offenders=tuple(
            Offender(None, None, None, None, each.spooled_events, 0, None, each.in_words(now))
            for each in incomplete.first[:_INCOMPLETE_OFFENDERS_MAX]
        ),
        hours=(end - start) // HOUR,
        first_hour=start,
        last_hour=end - HOUR,
        advice=advice(INCOMPLETE_HOURS, start, end),
    )


def _anomaly(reason: str, rows: Sequence[asyncpg.Record]) -> Anomaly:
    return Anomaly(
        reason=reason,
        events=rows[0]["reason_events"],
        tokens=rows[0]["reason_tokens"],
        money_at_risk=rows[0]["reason_money_at_risk"],
        offenders=tuple(
            Offender(
                auth_id=row["auth_id"],
                resource_id=row["resource_id"],
                model_id=row["model_id"],
                base_model=row["base_model"],
                events=row["events"],
                tokens=row["tokens"],
                money_at_risk=row["money_at_risk"],
                detail=row["detail"],
            )
            for row in rows
        ),
        hours=rows[0]["reason_hours"],
        first_hour=rows[0]["first_hour"],
        last_hour=rows[0]["last_hour"],
        advice=advice(reason, rows[0]["first_hour"], rows[0]["last_hour"] + HOUR),
    )
