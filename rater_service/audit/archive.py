"""Audits the archive: whether each file of events is there, and is the one that was proved and recorded."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from phoebe_runtime.counts import counted
from rater_service.archive.files import ArchivedFile, FileState, list_files
from rater_service.archive.reading import require_parquet
from rater_service.audit.findings import Finding, Findings
from rater_service.database.database import Connection
from rater_service.errors import OperatorError


async def audit_archive(
    connection: Connection,
    start: datetime,
    end: datetime,
    findings: Findings,
    on_progress: Callable[[str], None],
) -> tuple[ArchivedFile, ...]:
    """Read the files with events of the hours [start, end), and return those that are as they should be.

    Raises OperatorError where an archive can't be reached.
    """
    files = await list_files(connection, start, end)
    if not files:
        return ()
    require_parquet()
    sound = []
    for number, file in enumerate(files):
        on_progress(f"reading the archive, file {number + 1} of {len(files)}: {file.name}")
        found = await asyncio.to_thread(_state, file)
        if found in file.states:
            sound.append(file)
            continue
        detail = (
            f"it is not there; it should have {counted(file.event_count, 'event')}"
            if found is None
            else f"it has {counted(found.size, 'byte')} with the SHA-256 {found.sha256}, and should have "
            f"{counted(file.size, 'byte')} with {file.sha256}"
        )
        findings.differ(Finding.ARCHIVE_DIFFERS, [(f"file {file.place_text}", detail)])
    return tuple(sound)


def _state(file: ArchivedFile) -> FileState | None:
    from rater_service.archive.place import place_of, state_of  # noqa: PLC0415 - an optional extra

    place = place_of(file.archive)
    try:
        return state_of(place, file.name)
    except OperatorError:
        # It may be the file that is missing, or all of the archive.
        if place.size(file.name) is None:
            return None
        raise
