"""Erases a person from archived events: files that have some of the person's are written again without it.

What is billed stays, as in the database. A file is replaced in one step, and the database knows of both until
that is done: a crash in between leaves the old file or the new one, and the next erasure goes on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
from pyarrow import compute

from rater_service.archive.files import ArchivedFile, ErasedFiles, FileState, list_files
from rater_service.archive.layout import EventFile, EventFileWriter, rows_of
from rater_service.archive.place import Place, local_state, place_of, state_of
from rater_service.archive.reading import open_file
from rater_service.archive.storing import manifest_name, store_file, store_manifest
from rater_service.archive.sums import READ, sum_groups
from rater_service.database.database import Connection, Pool
from rater_service.errors import OperatorError
from rater_service.events.forget import count_erasure, note_forgotten
from rater_service.events.personal import PERSONAL
from rater_service.hours import utc_text
from rater_service.statements import bound

# Any number, as long as every Phoebe takes the same and nothing else does.
_LOCK = 7_463_310_582_121
_IDS_AT_ONCE = 5_000

type OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class PersonColumn:
    """Whose events: those that have a value in a column."""

    column: str
    value: str


async def count_archived(pool: Pool, person: PersonColumn, on_progress: OnProgress) -> ErasedFiles:
    """Count the archived events that have something of a person. Raises OperatorError."""
    events, names = 0, []
    async with pool.acquire() as connection:
        for file in await list_files(connection):
            on_progress(f"looking through {file.name}, {events} found")
            if found := await asyncio.to_thread(_count, file, person):
                events += found
                names.append(file.place_text)
    return ErasedFiles(events, tuple(names))


async def erase_archived(
    pool: Pool, person: PersonColumn, erasure: int, now: datetime, on_progress: OnProgress
) -> ErasedFiles:
    """Write the files with something of a person again without it. erasure: as which it is kept.

    Raises OperatorError if a file can't be read or written; those before it are done then.
    """
    events, names = 0, []
    async with pool.acquire() as connection, _alone(connection):
        await _settle(connection)
        for file in await list_files(connection):
            on_progress(f"looking through {file.name}, {events} erased")
            if await asyncio.to_thread(_count, file, person):
                on_progress(f"writing {file.name} again, {events} erased")
                events += await _erase(connection, file, person, erasure, now)
                names.append(file.place_text)
        await count_erasure(connection, erasure, finished_at=now)
    return ErasedFiles(events, tuple(names))


@asynccontextmanager
async def _alone(connection: Connection) -> AsyncIterator[None]:
    """See that no other erasure works on the archive: it would bring back what this one takes out."""
    if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        raise OperatorError("another erasure works on the archive: run it again afterwards")
    try:
        yield
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def _settle(connection: Connection) -> None:
    """End what an erasure began that was cut short."""
    for file in await list_files(connection):
        if file.next_sha256 is None:
            continue
        place = place_of(file.archive)
        found = await asyncio.to_thread(state_of, place, file.name)
        if found not in file.states:
            raise OperatorError(
                f"{file.place_text} is neither what was archived nor what an erasure wrote: put it back "
                "from a copy, and run this again"
            )
        if found == file.states[0]:
            await connection.execute(*bound("archive/keep_file", id=file.id))
            continue
        await _describe(place, file, found, None)
        await connection.execute(*bound("archive/replaced_file", id=file.id))


def _count(file: ArchivedFile, person: PersonColumn) -> int:
    with open_file(file) as opened:
        return sum(int(compute.sum(mask).as_py() or 0) for _, mask in _masks(opened, person))


def _masks(opened: EventFile, person: PersonColumn) -> Iterator[tuple[int, Any]]:
    """Tell for each group which events have something of a person."""
    for group in opened.groups:
        table = opened.read(group, tuple({person.column, *PERSONAL}))
        some = compute.is_valid(table.column(PERSONAL[0]))
        for name in PERSONAL[1:]:
            some = compute.or_(some, compute.is_valid(table.column(name)))
        its = compute.fill_null(compute.equal(table.column(person.column), person.value), False)
        yield group, compute.and_(its, some)


async def _erase(
    connection: Connection, file: ArchivedFile, person: PersonColumn, erasure: int, now: datetime
) -> int:
    place = place_of(file.archive)
    with TemporaryDirectory(prefix="phoebe-archive-") as folder:
        draft = Path(folder) / "events.parquet"
        ids = await asyncio.to_thread(_write_without, file, person, draft)
        new = await asyncio.to_thread(local_state, draft)
        # What is sent again must not bring the person back, whichever file is there after a crash.
        async with connection.transaction():
            for start in range(0, len(ids), _IDS_AT_ONCE):
                some = ids[start : start + _IDS_AT_ONCE]
                await note_forgotten(connection, some, erasure)
            await connection.execute(
                *bound("archive/replace_file", id=file.id, sha256=new.sha256, size=new.size)
            )
        await asyncio.to_thread(store_file, place, file.name, draft)
    await _describe(place, file, new, now)
    async with connection.transaction():
        await connection.execute(*bound("archive/replaced_file", id=file.id))
        await count_erasure(connection, erasure, events=len(ids))
    return len(ids)


def _write_without(file: ArchivedFile, person: PersonColumn, draft: Path) -> list[str]:
    """Write a file's events without the person, prove them, and return the ids of the person's."""
    ids: list[str] = []
    with open_file(file) as opened:
        writer = EventFileWriter(str(draft), opened.installation)
        for group, mask in _masks(opened, person):
            table = opened.read(group)
            ids += [str(row["request_id"]) for row in rows_of(table.select(["request_id"]).filter(mask))]
            for name in PERSONAL:
                kind = table.schema.field(name).type
                kept = compute.if_else(mask, pa.scalar(None, kind), table.column(name))
                table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), kept)
            writer.write_group(table)
        writer.close()
        _prove(opened, draft, person, file)
    return ids


def _prove(opened: EventFile, draft: Path, person: PersonColumn, file: ArchivedFile) -> None:
    with EventFile(place_of(str(draft.parent)), draft.name) as written:
        sums = [sum_groups(one.read(group, READ) for group in one.groups) for one in (opened, written)]
        left = sum(int(compute.sum(mask).as_py() or 0) for _, mask in _masks(written, person))
        if written.events != opened.events or sums[0] != sums[1] or left:
            raise OperatorError(
                f"{file.place_text} stays as it is: what was written in its place is not the same "
                "without the person; the disk is damaged"
            )


async def _describe(place: Place, file: ArchivedFile, state: FileState, now: datetime | None) -> None:
    """Write the manifest of the file that was put in another's place."""
    about = await asyncio.to_thread(_manifest, place, file)
    if now is not None:
        about["erased_at"] = utc_text(now)
    await asyncio.to_thread(store_manifest, place, file.name, state, about)


def _manifest(place: Place, file: ArchivedFile) -> dict[str, object]:
    name = manifest_name(file.name)
    if place.size(name) is None:
        return {"kind": "events", "rows": file.event_count}
    with place.open(name) as opened:
        about: dict[str, object] = json.loads(opened.read())
    return {key: value for key, value in about.items() if key not in {"file", "sha256", "bytes"}}
