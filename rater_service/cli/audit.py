"""`phoebe audit`: proves that nothing was lost and every bill explains itself, or says what is wrong."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from rater_service.audit.audit import AuditRequest, OnProgress, audit
from rater_service.audit.findings import AuditResult
from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    WindowEnd,
    WindowStart,
    explained_windows,
)
from rater_service.cli.reading import Databases, ReadDatabaseUrl, read_bills
from rater_service.database.database import OPERATOR_ERRORS
from rater_service.database.freshness import Freshness
from rater_service.database.source import Source
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.views.audit import AUDIT, audit_json, show_findings
from rater_service.views.documents import write_json
from rater_service.views.freshness import read_from_json, show_freshness
from rater_service.views.terminal import reported_progress


class DifferencesFound(NeedsAttention):
    """The audit went through and found something wrong."""


def show_audit(  # noqa: PLR0913 - one parameter per option
    *,
    since: WindowStart = None,
    until: WindowEnd = None,
    producer: Annotated[
        str | None,
        typer.Option(metavar="ID", show_default=False, help="Check the numbers of this producer only."),
    ] = None,
    database_url: DatabaseUrl = None,
    read_database_url: ReadDatabaseUrl = None,
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
        databases = Databases(database_url, read_database_url, data)
        result, freshness = asyncio.run(_audit(request, databases, on_progress))
    if as_json:
        write_json(AUDIT, {**audit_json(result), **read_from_json(freshness)})
    else:
        show_freshness(freshness)
        show_findings(result)
    if not result.proven:
        raise DifferencesFound


async def _audit(
    request: AuditRequest, databases: Databases, on_progress: OnProgress
) -> tuple[AuditResult, Freshness | None]:
    async def read(source: Source) -> AuditResult:
        with explained_windows():
            return await audit(source.pool, request, source.now, on_progress)

    return await read_bills(databases, read, explained=_explained_errors)


@contextmanager
def _explained_errors() -> Iterator[None]:
    try:
        yield
    except OPERATOR_ERRORS as error:
        raise OperatorError(f"it could not be checked: {str(error) or type(error).__name__}") from error
