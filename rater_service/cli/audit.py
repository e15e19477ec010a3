"""`phoebe audit`: proves that nothing was lost and every bill explains itself, or says what is wrong."""

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from rater_service.audit.audit import AuditRequest, OnProgress, audit
from rater_service.audit.findings import AuditedProducer, AuditResult, Difference
from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    moment_option,
    open_store,
)
from rater_service.cli.terminal import reported_progress, write, write_json, write_table
from rater_service.database.database import OPERATOR_ERRORS
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.hours import InvalidWindow, utc_text
from rater_service.money import decimal_text


class DifferencesFound(NeedsAttention):
    """The audit went through and found something wrong."""


def show_audit(  # noqa: PLR0913 - one parameter per option
    *,
    since: Annotated[
        datetime | None, moment_option("--since", "Start of the window, inclusive: a whole hour, UTC.")
    ] = None,
    until: Annotated[
        datetime | None, moment_option("--until", "End of the window, exclusive: a whole hour, UTC.")
    ] = None,
    producer: Annotated[
        str | None,
        typer.Option(metavar="ID", show_default=False, help="Check the numbers of this producer only."),
    ] = None,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Prove that what was admitted was stored, and what was stored was billed. Changes nothing.

    Every producer numbers its events without gaps, so a number that is missing is a lost event, unless the
    producer's spool still holds it: admitted = stored + rejected + spooled + lost, and what is still running.
    Every rollup is checked against its own rates, its events and its run, and every last run against the
    rollups. All is read in one snapshot, so that events and runs that come meanwhile raise no false alarm.

    Exit codes: 0 proven; 1 it could not be checked; 2 differences were found, each listed with what to do.
    """
    request = AuditRequest(since, until, producer or None)
    with reported_progress("auditing") as on_progress:
        result = asyncio.run(_audit(request, database_url, data, on_progress))
    if as_json:
        write_json(_as_json(result))
    else:
        _show(result)
    if not result.proven:
        raise DifferencesFound


async def _audit(
    request: AuditRequest, database_url: str | None, data_dir: Path, on_progress: OnProgress
) -> AuditResult:
    async with open_store(database_url, data_dir) as pool:
        try:
            return await audit(pool, request, datetime.now(UTC), on_progress)
        except InvalidWindow as error:
            flags = str(error).replace("window_start", "--since").replace("window_end", "--until")
            raise OperatorError(flags) from error
        except OPERATOR_ERRORS as error:
            raise OperatorError(f"it could not be checked: {str(error) or type(error).__name__}") from error


def _as_json(result: AuditResult) -> dict[str, object]:
    return {
        "proven": result.proven,
        "audited_at": result.audited_at,
        "window_start": result.window_start,
        "window_end": result.window_end,
        **asdict(result.findings),
        "differences": [
            asdict(difference) | {"advice": difference.advice} for difference in result.findings.differences
        ],
    }


def _show(result: AuditResult) -> None:
    found = result.findings
    write_table(
        f"{found.producer_count} producers: admitted = stored + rejected + spooled + lost, by number; "
        "and what is still running",
        (
            *("producer_id", "state", "from", "to", "admitted", "stored", "rejected", "spooled", "lost"),
            *("pruned", "repeated", "running", "complete until"),
        ),
        map(_producer_row, found.producers),
    )
    write(_summary(result))
    for kind, count in found.difference_counts.items():
        examples = [difference for difference in found.differences if difference.kind is kind]
        write(f"{kind}: {count}{_advice(examples)}")
        write_table(
            f"the first {len(examples)}",
            ("which", "what"),
            ((example.subject, example.detail) for example in examples),
        )
    write("proven: no differences" if result.proven else "NOT PROVEN: differences were found")


def _advice(examples: list[Difference]) -> str:
    return f": {examples[0].advice}" if examples else ""


def _producer_row(producer: AuditedProducer) -> tuple[str | int | None, ...]:
    until = producer.complete_until
    return (
        producer.producer_id,
        _state(producer),
        producer.first_seq,
        producer.last_seq,
        producer.last_seq - producer.first_seq + 1,
        producer.stored,
        producer.rejected,
        producer.spooled,
        producer.lost,
        producer.pruned,
        producer.repeated,
        producer.open_exchanges,
        None if until is None else utc_text(until),
    )


def _state(producer: AuditedProducer) -> str:
    if producer.last_seen is None:
        return "sends no status"
    if producer.retired:
        return "retired"
    return "stopped" if producer.stopped else "running"


def _summary(result: AuditResult) -> str:
    found = result.findings
    if result.window_start is None or result.window_end is None:
        return "there are no events and no bills"
    window = f"{utc_text(result.window_start)} to {utc_text(result.window_end)}"
    return (
        f"{window}, as of {utc_text(result.audited_at)}: "
        f"{found.events} events ({found.unnumbered_events} without a number); "
        f"{found.rollups} rollups bill {found.billed_events} events, "
        f"total {decimal_text(found.total_cost)} USD; {found.runs} runs checked; "
        f"{found.late_events} events came after the last run and will be rated by the next one; "
        f"{found.unrated_hours} complete hours not rated yet"
        + (f"; {found.pruned_events} events were pruned" if found.pruned_events else "")
    )
