"""The audit: proves, in one snapshot, that what was admitted was stored and what was stored was billed.

It changes nothing and holds no lock that anybody waits for. Memory stays bounded: numbers are counted in
stretches, rollups hour by hour.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from rater_service.audit.archive import audit_archive
from rater_service.audit.bills import AuditTimes, BillAudit, audit_day_sums, audit_runs
from rater_service.audit.findings import AuditResult, Findings
from rater_service.audit.late_usage import audit_late_usage
from rater_service.audit.numbers import NumberWindow, audit_producer
from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import fetch_one, fetch_value
from rater_service.events.producers import complete_hours_end
from rater_service.hours import HOUR, require_window, utc_text
from rater_service.prices.store import load_history

DAY = timedelta(days=1)

type OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """What to audit: whole UTC hours, [window_start, window_end), UTC-aware; None: from the first, to the
    last.

    producer_id: check the numbers of this producer only; None: of all. names_outside: whether to name late
    usage and events out of time wherever they are; otherwise only those of the window.
    """

    window_start: datetime | None = None
    window_end: datetime | None = None
    producer_id: str | None = None
    names_outside: bool = True


async def audit(
    pool: Pool, request: AuditRequest, now: datetime, on_progress: OnProgress = lambda _: None
) -> AuditResult:
    """Check everything there is to check; see docs/audit.md.

    now: UTC-aware; decides which hours must be complete, and which a routine run will rate again. Of a
    standby the moment until which it has everything: what came later is not missing.
    on_progress: told what is being done. Raises InvalidWindow.
    """
    require_window(request.window_start, request.window_end)
    # One snapshot: events and runs that are committed meanwhile are seen whole or, as it is, not at all.
    async with pool.snapshot() as connection:
        return await _audit(connection, request, now, on_progress)


async def _audit(
    connection: Connection, request: AuditRequest, now: datetime, on_progress: OnProgress
) -> AuditResult:
    extent = await fetch_one(connection, "audit/window")
    audited_at: datetime = extent["audited_at"] or now
    findings = Findings()
    await _audit_producers(connection, request, now, findings, on_progress)
    if extent["first_hour"] is None:
        return AuditResult(audited_at, None, None, findings)
    start = max(request.window_start or extent["first_hour"], extent["first_hour"])
    end = min(request.window_end or extent["last_hour"] + HOUR, extent["last_hour"] + HOUR)
    history = await load_history(connection, start)
    archived = await audit_archive(connection, start, end, findings, on_progress) if start < end else ()
    bills = BillAudit(connection, history, AuditTimes.at(now), findings, archived)
    # By the hours that hold something: one event with a wrong time may be decades from the others.
    day = await _next_hour(connection, start)
    while day is not None and day < end:
        on_progress(f"checking bills of {utc_text(day)}, up to {utc_text(end)}")
        await bills.audit_part(day, min(day + DAY, end))
        day = await _next_hour(connection, day + DAY)
    pruned = await fetch_one(
        connection,
        "audit/pruned",
        window_start=start,
        window_end=end,
        archived_ranges=[file.range_id for file in archived],
    )
    findings.pruned_events, findings.archived_events = pruned["pruned_events"], pruned["archived_events"]
    on_progress("looking for late usage")
    await audit_late_usage(connection, now, findings, None if request.names_outside else (start, end))
    if start < end:
        on_progress("checking sums by the day")
        await audit_day_sums(connection, start, end, findings)
        on_progress("checking runs")
        await audit_runs(connection, start, end, findings)
    return AuditResult(
        audited_at, request.window_start or start, request.window_end or max(end, start), findings
    )


async def _next_hour(connection: Connection, start: datetime) -> datetime | None:
    hour: datetime | None = (await fetch_one(connection, "audit/next_hour", window_start=start))["hour"]
    return hour


async def _audit_producers(
    connection: Connection,
    request: AuditRequest,
    now: datetime,
    findings: Findings,
    on_progress: OnProgress,
) -> None:
    on_progress("looking for producers")
    window = NumberWindow(request.window_start, request.window_end)
    complete: datetime | None = complete_hours_end(request.window_end or now, now)
    if request.window_start is not None and complete is not None and complete <= request.window_start:
        complete = None
    producer_id: object = request.producer_id or await fetch_value(
        connection, "audit/next_producer", after=""
    )
    while isinstance(producer_id, str):
        on_progress(f"checking numbers of producer {producer_id}, {findings.producer_count} checked")
        await audit_producer(connection, producer_id, window, complete, findings)
        if request.producer_id is not None:
            return
        producer_id = await fetch_value(connection, "audit/next_producer", after=producer_id)
