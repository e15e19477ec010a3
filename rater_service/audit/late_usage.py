"""Audits what no run has seen, in whatever hours: late usage, and events whose times are wrong."""

from datetime import datetime

from phoebe_runtime.counts import counted
from rater_service.audit.findings import Finding, Findings
from rater_service.database.database import Connection
from rater_service.events.proxy_names import proxy_in_words
from rater_service.hours import HOUR, utc_text
from rater_service.rating.late_usage import LateHour
from rater_service.rating.outside import find_outside


async def audit_late_usage(
    connection: Connection, now: datetime, findings: Findings, within: tuple[datetime, datetime] | None
) -> None:
    """Note it wherever it lies, as nobody else might look there; or only within hours, [start, end)."""
    outside = await find_outside(connection, now, within=within)
    if outside.late:
        examples = [(f"hour {utc_text(late.hour)}", _detail(late)) for late in outside.late]
        findings.differ(Finding.LATE_USAGE, examples)
    if outside.strays:
        examples = [
            (
                proxy_in_words(stray.producer_id or "unknown", stray.name),
                f"{counted(stray.events, 'event')} in the hour {utc_text(stray.hour)}, "
                + ("which has not come" if stray.is_ahead else "long before it was first heard of"),
            )
            for stray in outside.strays
        ]
        findings.differ(Finding.OUT_OF_TIME, examples, sum(stray.events for stray in outside.strays))


def _detail(late: LateHour) -> str:
    command = f"phoebe rate --since {utc_text(late.hour)} --until {utc_text(late.hour + HOUR)}"
    if late.run is None:
        return f"{counted(late.events, 'event')} that no run has rated: {command}"
    by_run = f"run {late.run}, the last over it,"
    if late.events_gone:
        return (
            f"gone: {counted(late.events_gone, 'event')} that {by_run} saw; this takes what is gone "
            f"off the bill: {command}"
        )
    return f"{counted(late.events, 'event')} that {by_run} did not see: {command}"
