"""What a run has to say of the rollups it found and made: what needs a human, and whose bills change."""

from collections.abc import Sequence
from itertools import groupby

import asyncpg

from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch
from rater_service.events.producers import IncompleteProducers
from rater_service.hours import HOUR
from rater_service.rating.advice import advice
from rater_service.rating.late_usage import LateHour, late_usage
from rater_service.rating.run import (
    INCOMPLETE_HOURS,
    Anomaly,
    BillChange,
    BillChanges,
    Mode,
    Offender,
    RateRequest,
)

# As many as a human looks through; how many there are is told.
BILL_CHANGES_MAX = 100


async def find_anomalies(
    connection: Connection, request: RateRequest, incomplete: IncompleteProducers, late: Sequence[LateHour]
) -> tuple[Anomaly, ...]:
    """Find what needs a human, most events first, once the changes are known.

    late: the hours outside of the window to be named.
    """
    records = await fetch(connection, "rating/anomalies", deletion_is_anomaly=request.mode is Mode.ROUTINE)
    anomalies = [
        _anomaly(reason, list(rows)) for reason, rows in groupby(records, key=lambda record: record["reason"])
    ]
    if incomplete.count:
        anomalies.append(_incomplete(request, incomplete))
    if late:
        anomalies.append(await late_usage(connection, late))
    return tuple(sorted(anomalies, key=lambda anomaly: (-anomaly.events, anomaly.reason)))


async def add_up_changes(connection: Connection) -> BillChanges:
    """Add the changes up by auth_id, once they are known."""
    total, *by_auth = await fetch(connection, "rating/changes_by_auth", limit=BILL_CHANGES_MAX)
    return BillChanges(_bill_change(total), tuple(map(_bill_change, by_auth)), total["auth_ids"])


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


def _incomplete(request: RateRequest, incomplete: IncompleteProducers) -> Anomaly:
    start, end = request.window_start, request.window_end
    return Anomaly(
        reason=INCOMPLETE_HOURS,
        events=incomplete.events,
        tokens=0,
        money_at_risk=None,
        offenders=(),
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
