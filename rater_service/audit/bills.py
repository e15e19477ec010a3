"""Audits bills: hourly sums against the events; rollups against their own rates, the sums and their runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.archive.files import ArchivedFile
from rater_service.archive.sums import ArchivedSums, sum_archived
from rater_service.audit.findings import DIFFERENCES_MAX, Finding, Findings
from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch, fetch_one
from rater_service.database.sessions import is_distributed
from rater_service.events.hourly_usage import ArchivedHour, SumsDifference, compare_hour
from rater_service.events.partitions import first_id
from rater_service.hours import HOUR, TRAILING, hour_of, utc_text
from rater_service.money import decimal_text
from rater_service.prices.history import PriceHistory, Quote
from rater_service.prices.pricebook import FINE_TUNE_PREFIX
from rater_service.rating.day_sums import DAY, DaySumDifference, compare_coarser, compare_days, day_of
from rater_service.rating.run import RUN_OVERLAP


@dataclass(frozen=True, slots=True)
class AuditTimes:
    """The moments an audit decides by; UTC-aware whole hours.

    running: the running hour. routine_from: hours from here on are rated again by routine runs.
    """

    running: datetime
    routine_from: datetime

    @classmethod
    def at(cls, moment: datetime) -> "AuditTimes":
        """Read the clock once, for all of an audit."""
        running = hour_of(moment)
        return cls(running, running - TRAILING)


@dataclass(frozen=True, slots=True)
class BillAudit:
    """Audits bills within a transaction, by one price history and one reading of the clock.

    archived: the files of events that are as they should be.
    """

    connection: Connection
    history: PriceHistory
    clock: AuditTimes
    findings: Findings
    archived: Sequence[ArchivedFile] = ()

    async def audit_part(self, start: datetime, end: datetime) -> None:
        """Audit the rollups of whole hours, [start, end)."""
        totals = await fetch_one(self.connection, "audit/totals", window_start=start, window_end=end)
        self.findings.events += totals["events"]
        archived = await self._sum_archived(start, end)
        self.findings.unnumbered_events += totals["unnumbered_events"] + archived.unnumbered_events
        self.findings.part_events += totals["part_events"] + archived.part_events
        self.findings.rollups += totals["rollups"]
        self.findings.billed_events += totals["billed_events"]
        self.findings.total_cost += totals["total_cost"]
        rows = await fetch(self.connection, "audit/hours", window_start=start, window_end=end)
        if not rows and not totals["rollups"]:
            return
        await self._audit_parts(start, end)
        hours = {row["window_start"]: row for row in rows}
        distributed = is_distributed(self.connection)
        hour = start
        while hour < end:
            if distributed:
                await self._audit_ids(hour, start, end)
            await self._audit_hour(hour, hours.get(hour), self._archived_of(hour, archived))
            hour += HOUR

    async def _sum_archived(self, start: datetime, end: datetime) -> ArchivedSums:
        files = [file for file in self.archived if file.window_start < end and file.window_end > start]
        return await sum_archived(files, start, end) if files else ArchivedSums(())

    def _archived_of(self, hour: datetime, archived: ArchivedSums) -> ArchivedHour:
        ranges = (
            file.range_id for file in self.archived if file.window_start <= hour and file.window_end > hour
        )
        return ArchivedHour(archived.of_hour(hour), tuple(ranges))

    async def _audit_parts(self, start: datetime, end: datetime) -> None:
        """Look for parts without the event of their exchange, and for exchanges that lack parts."""
        rows = await fetch(
            self.connection, "audit/parts", window_start=start, window_end=end, limit=DIFFERENCES_MAX
        )
        for row in rows:
            example = (f"exchange {row['request_id']}", row["detail"])
            # Each row tells the sum of its kind.
            self.findings.differ(Finding(row["kind"]), [example], row["events"] if row["place"] == 1 else 0)

    async def _audit_hour(self, hour: datetime, rated: asyncpg.Record | None, archived: ArchivedHour) -> None:
        """Audit one hour. rated: the last run over it; None where the hour has no events."""
        started_at = None if rated is None else rated["started_at"]
        late_from = None if started_at is None else started_at - RUN_OVERLAP
        is_routine = hour >= self.clock.routine_from
        sums_hold = rated is None or await self._audit_sums(hour, archived)
        # Where they hold, they stand for all events, and nothing has to be sent.
        sums = None if sums_hold else archived.sums
        await self._audit_rollups(hour, late_from, is_routine, sums)
        if rated is not None and late_from is None:
            self.findings.unrated_hours += hour < self.clock.running
        elif rated is not None:
            await self._audit_unbilled(hour, late_from, is_routine, sums)

    async def _audit_ids(self, hour: datetime, start: datetime, end: datetime) -> None:
        """Look for ids under which several producers sent an event, which a distributed database takes.

        hour: of the part [start, end). An id is of the hour in which it was made; where that is in no part
        that is audited, it is found if both events are of one hour.
        """
        rows = await fetch(
            self.connection,
            "audit/same_ids",
            hour=hour,
            first_id=first_id(hour),
            end_id=first_id(hour + HOUR),
            day_first_id=first_id(start),
            day_end_id=first_id(end),
            limit=DIFFERENCES_MAX,
        )
        examples = [(f"event {row['request_id']}", f"it is there from {row['producers']}") for row in rows]
        if rows:
            self.findings.differ(Finding.REPEATED_ID, examples, rows[0]["ids"])

    async def _audit_sums(self, hour: datetime, archived: ArchivedHour) -> bool:
        """Compare an hour's sums with its events. If they hold, they stand for the events in what follows."""
        count, first = await compare_hour(self.connection, hour, DIFFERENCES_MAX, archived)
        if count:
            examples = [
                (_sum(sum_), f"the sum has {sum_.summed}; its events make {sum_.metered}") for sum_ in first
            ]
            self.findings.differ(Finding.SUMS_DIFFER, examples, count)
        return not count

    async def _audit_rollups(
        self, hour: datetime, late_from: datetime | None, is_routine: bool, archived: str | None
    ) -> None:
        """Compare with the hourly sums, or with the events and these sums of archived ones."""
        rows = await fetch(
            self.connection,
            "audit/rollups",
            hour=hour,
            late_from=late_from,
            is_routine=is_routine,
            limit=DIFFERENCES_MAX,
            sums_hold=archived is None,
            archived=archived or "[]",
            fine_tune_prefix=FINE_TUNE_PREFIX,
        )
        for row in rows:
            is_first = row["place"] == 1  # each row tells the sums of its kind
            if row["kind"] == "LATE":
                self.findings.late_events += row["events"] if is_first else 0
            else:
                example = (_rollup(hour, row), row["detail"])
                self.findings.differ(Finding(row["kind"]), [example], row["rollups"] if is_first else 0)

    async def _audit_unbilled(
        self, hour: datetime, late_from: datetime | None, is_routine: bool, archived: str | None
    ) -> None:
        rows = await fetch(
            self.connection,
            "audit/unbilled",
            hour=hour,
            late_from=late_from,
            sums_hold=archived is None,
            archived=archived or "[]",
            fine_tune_prefix=FINE_TUNE_PREFIX,
        )
        for row in rows:
            quote = self.history.resolve(row["model_id"], row["base_model"], hour)
            if not isinstance(quote, Quote):
                continue
            if row["late"] and is_routine:
                self.findings.late_events += row["events"]
                continue
            detail = (
                f"{counted(row['events'], 'event')} under {counted(row['rollups'], 'key')} with a price, by "
                f"book {quote.book.content_hash[:12]}, and no rollup"
            )
            self.findings.differ(Finding.ROLLUP_MISSING, [(_rollup(hour, row), detail)], row["rollups"])


def _rollup(hour: datetime, row: asyncpg.Record) -> str:
    return f"rollup {row['auth_id']}, {row['resource_id']}, {row['model_id']}, {utc_text(hour)}"


def _sum(sum_: SumsDifference) -> str:
    names = (sum_.auth_id, sum_.resource_id, sum_.model_id, sum_.base_model)
    return f"sum {', '.join(name or '-' for name in names)}, {utc_text(sum_.window_start)}"


async def audit_day_sums(connection: Connection, start: datetime, end: datetime, findings: Findings) -> None:
    """Compare the sums by the day with the rollups, of all days that [start, end) touches.

    And the coarser sums, of the months of these days, with those by the day.
    """
    first_day, end_day = day_of(start), day_of(end - HOUR) + DAY
    for compare in (compare_days, compare_coarser):
        count, first = await compare(connection, first_day, end_day, DIFFERENCES_MAX)
        if count:
            findings.differ(Finding.DAY_SUMS_DIFFER, map(_day_sum, first), count)


def _day_sum(one: DaySumDifference) -> tuple[str, str]:
    names = ", ".join(name for name in (one.auth_id, one.resource_id, one.model_id) if name)
    return (
        f"sum by the {one.sum}: {names}, {utc_text(one.day)}",
        f"the sum has {counted(one.summed_rollups or 0, 'rollup')}, {_usd(one.summed_cost)} USD; the ledger "
        f"has {one.rollups or 0}, {_usd(one.cost)} USD",
    )


def _usd(amount: Decimal | None) -> str:
    return decimal_text(amount or Decimal(0))


async def audit_runs(connection: Connection, start: datetime, end: datetime, findings: Findings) -> None:
    """Audit the runs that begin in the window and have no later run over any of their hours."""
    for row in await fetch(connection, "audit/runs", window_start=start, window_end=end):
        findings.runs += 1
        faults = [
            f"{what}: the run said {row[said]}, there are {row[found]}"
            for what, said, found in (
                ("rated events", "events_rated", "events_billed"),
                ("rollups", "rollups_said", "rollups"),
                ("USD", "total_cost", "cost_billed"),
                ("sum of its counts", "events_in_window", "events_counted"),
            )
            if row[said] != row[found]
        ]
        if row["events"] < row["events_in_window"]:
            faults.append(f"events: the run counted {row['events_in_window']}, there are {row['events']}")
        if faults:
            window = f"{utc_text(row['window_start'])} to {utc_text(row['window_end'])}"
            findings.differ(
                Finding.RUN_DIFFERS_FROM_ROLLUPS, [(f"run {row['id']}, {window}", "; ".join(faults))]
            )
