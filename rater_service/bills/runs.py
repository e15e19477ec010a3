"""The runs that are kept: what each was asked for, what it answered, what it changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any

import asyncpg

from rater_service.database.database import Connection, Pool
from rater_service.errors import OperatorError
from rater_service.events.producers import IncompleteProducer
from rater_service.hours import HOUR
from rater_service.rating.run import Anomaly, BillChange, BillChanges, Offender, UnbilledOutput
from rater_service.statements import Bound, bound, statement


class NoSuchRunError(OperatorError):
    """There is no run of this number."""


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run as it is kept: the columns of `rating_run`. Times are UTC-aware, money is in USD.

    What each says is told at RateResult and RateRequest.
    """

    id: int
    mode: str
    window_start: datetime
    window_end: datetime
    window_open: bool
    dry_run: bool
    reprice: bool
    requested_by: str
    started_at: datetime
    knowledge_at: datetime
    finished_at: datetime
    events_in_window: int
    events_rated: int
    unpriced_events: int
    unattributable_events: int
    ambiguous_base_events: int
    missing_usage_events: int
    zero_charge_events: int
    rollups_written: int
    rollups_unchanged: int
    reconciled_deletions: int
    total_cost: Decimal
    anomalies: tuple[Anomaly, ...]
    price_books: tuple[str, ...]
    incomplete_producer_count: int
    incomplete_producers: tuple[IncompleteProducer, ...]
    unbilled_output_events: int
    unbilled_output_bytes: int
    unbilled_output_auth_count: int
    unbilled_output_by_auth: tuple[UnbilledOutput, ...]


@dataclass(frozen=True, slots=True)
class RunPage:
    """Some runs, the last one first. has_more: others follow."""

    runs: tuple[KeptRun, ...]
    has_more: bool


_COLUMNS = ", ".join(field.name for field in fields(KeptRun))


async def list_runs(
    pool: Pool,
    limit: int,
    *,
    before: int | None = None,
    dry_runs: bool = True,
    hour: datetime | None = None,
) -> RunPage:
    """Read a page of at most `limit` runs, the last one first; before: those with a lower number.

    dry_runs: also those that changed nothing on purpose. hour: only runs over the hour of this moment,
    UTC-aware; None: over any.
    """
    wanted = over_runs(limit + 1, before=before, dry_runs=dry_runs, hour=hour)
    rows = await pool.fetch(*wanted)
    return RunPage(tuple(map(kept_run, rows[:limit])), len(rows) > limit)


def over_runs(
    limit: int | None, *, before: int | None = None, dry_runs: bool = True, hour: datetime | None = None
) -> Bound:
    """Give the statement that reads runs; arguments as those of `list_runs`, limit None: all."""
    wanted = {"before": before, "dry_runs": dry_runs, "moment": hour, "limit": limit}
    return statement("bills/runs", run=_COLUMNS).bind(wanted)


async def read_run(pool: Pool, number: int) -> KeptRun:
    """Read a run. Raises NoSuchRunError."""
    row = await pool.fetchrow(*statement("bills/run", run=_COLUMNS).bind({"id": number}))
    if row is None:
        raise NoSuchRunError(f"there is no run {number}; `phoebe runs list` shows those there are")
    return kept_run(row)


async def read_run_changes(connection: Connection, run: KeptRun, limit: int) -> BillChanges:
    """Read whose rollups a run changed, those whose bills changed most first, at most `limit` of them.

    Before and after are of the changed rollups alone. total: of those listed and of all others.
    """
    rows = await connection.fetch(
        *bound(
            "bills/run_changes",
            run=run.id,
            window_start=run.window_start,
            window_end=run.window_end,
            limit=limit,
        )
    )
    total = next(_change(row) for row in rows if row["auth_id"] is None)
    by_auth = tuple(_change(row) for row in rows if row["auth_id"] is not None)
    return BillChanges(total, by_auth, rows[0]["auth_ids"])


def _change(row: asyncpg.Record) -> BillChange:
    return BillChange(
        auth_id=row["auth_id"],
        rollups_inserted=row["inserted"],
        rollups_updated=row["updated"],
        rollups_deleted=row["deleted"],
        cost_before=row["cost_before"],
        cost_after=row["cost_after"],
        difference=row["cost_after"] - row["cost_before"],
    )


def kept_run(row: asyncpg.Record) -> KeptRun:
    """Read a record of the statement of `over_runs`."""
    told = dict(row)
    return KeptRun(
        **told
        | {
            "price_books": tuple(told["price_books"]),
            "anomalies": tuple(_anomaly(one, told) for one in json.loads(told["anomalies"])),
            "incomplete_producers": tuple(map(_producer, json.loads(told["incomplete_producers"]))),
            "unbilled_output_by_auth": tuple(
                UnbilledOutput(**one) for one in json.loads(told["unbilled_output_by_auth"])
            ),
        }
    )


def _anomaly(told: Mapping[str, Any], run: Mapping[str, Any]) -> Anomaly:
    # Early runs did not keep the hours and the advice: it was somewhere in their window.
    end: datetime = run["window_end"]
    return Anomaly(
        reason=told["reason"],
        events=told["events"],
        tokens=told["tokens"],
        money_at_risk=_money(told["money_at_risk"]),
        offenders=tuple(
            Offender(**dict(one) | {"money_at_risk": _money(one["money_at_risk"])})
            for one in told["offenders"]
        ),
        hours=told.get("hours", 0),
        first_hour=_moment(told.get("first_hour")) or run["window_start"],
        last_hour=_moment(told.get("last_hour")) or end - HOUR,
        advice=told.get("advice", ""),
    )


def _producer(told: Mapping[str, Any]) -> IncompleteProducer:
    return IncompleteProducer(
        **dict(told)
        | {
            "complete_until": _moment(told["complete_until"]),
            "last_seen": datetime.fromisoformat(told["last_seen"]),
        }
    )


def _money(written: str | None) -> Decimal | None:
    return None if written is None else Decimal(written)


def _moment(written: str | None) -> datetime | None:
    return None if written is None else datetime.fromisoformat(written)
