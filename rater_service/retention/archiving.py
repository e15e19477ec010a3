"""Writes old events to the archive before they are dropped, and proves that it holds them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from phoebe_runtime.counts import counted
from rater_service.archive.files import ArchivedEvents, FileState, is_name_taken
from rater_service.archive.layout import FORMAT, GROUP_EVENTS, EventFile, EventFileWriter
from rater_service.archive.place import Place, place_of, state_of
from rater_service.archive.storing import SUFFIX, store_file, store_manifest
from rater_service.archive.sums import KEY, READ, ArchivedSums, sum_groups
from rater_service.database.database import Connection, Pool
from rater_service.database.installation import read_installation
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S
from rater_service.errors import OperatorError
from rater_service.events.patterned import SHARED
from rater_service.hours import utc_text
from rater_service.retention.old_events import OldEvents, fetch_of
from rater_service.statements import bound, statement

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
# What the database adds up as well, of each key.
_COMPARED = ("event_count", *TOKENS, "billable_prompt_tokens")
FOLDER = "events"


async def archive_events(
    pool: Pool,
    events: OldEvents,
    url: str,
    now: datetime,
    on_progress: Callable[[int], None] = lambda _: None,
) -> ArchivedEvents:
    """Write events to a file of an archive, read it back, and return what is in it.

    It stands there for good when this returns. on_progress: told how many events are written. Raises
    OperatorError when it can't be written, does not hold exactly these events, or when a file with other
    events has its name.
    """
    place = await asyncio.to_thread(place_of, url)
    async with pool.acquire() as connection:
        installation = str((await read_installation(connection)).id)
        name = await _name(connection, place, events)
    with TemporaryDirectory(prefix="phoebe-archive-") as folder:
        draft = Path(folder) / "events.parquet"
        try:
            await _write(pool, events, draft, installation, on_progress)
        except OSError as error:
            raise OperatorError(f"the events of {events.partition.name} can't be written: {error}") from error
        state = await asyncio.to_thread(_publish, place, name, draft)
    await asyncio.to_thread(
        store_manifest, place, name, state, _about(events, installation) | {"archived_at": utc_text(now)}
    )
    return ArchivedEvents(place.url, name, state, events.event_count)


async def _name(connection: Connection, place: Place, events: OldEvents) -> str:
    """Name a file that none of the events dropped before has."""
    until = f"_before_{events.before:%Y-%m-%dT%H}" if events.partition.is_default else ""
    stem = f"{FOLDER}/{events.partition.name}{until}"
    name, number = stem + SUFFIX, 1
    while await is_name_taken(connection, place.url, name):
        number += 1
        name = f"{stem}_{number}{SUFFIX}"
    return name


async def _write(
    pool: Pool, events: OldEvents, draft: Path, installation: str, on_progress: Callable[[int], None]
) -> None:
    """Write a local file, and prove it by what the database adds up in the same snapshot."""
    writer = EventFileWriter(str(draft), installation)
    async with pool.snapshot() as connection:
        columns = await connection.fetchval(*bound("retention/export_columns", shared=SHARED))
        export = statement("retention/export", partition=events.partition.name, columns=columns)
        query, *arguments = export.bind({"before": events.before})
        cursor = await connection.cursor(query, *arguments, timeout=STATEMENT_TIMEOUT_S)
        written = 0
        while rows := await cursor.fetch(GROUP_EVENTS, timeout=STATEMENT_TIMEOUT_S):
            await asyncio.to_thread(writer.write_rows, list(map(dict, rows)))
            written += len(rows)
            on_progress(written)
        await asyncio.to_thread(writer.close)
        sums = await fetch_of(
            connection, "retention/sums_of_partition", events.partition, before=events.before
        )
    await asyncio.to_thread(_prove, draft, events, list(map(dict, sums)))


def _prove(draft: Path, events: OldEvents, expected: Sequence[Mapping[str, Any]]) -> None:
    place = place_of(str(draft.parent))
    with EventFile(place, draft.name) as file:
        found: ArchivedSums = sum_groups(file.read(group, READ) for group in file.groups)
        count = file.events
    in_file = {_key(row): _numbers(row) for row in found.rows}
    in_database = {_key(row): _numbers(row) for row in expected}
    tokens = {
        name: sum(int(row[name]) for row in found.rows) for name in ("prompt_tokens", "completion_tokens")
    }
    judged = {name: int(getattr(events, name)) for name in tokens}
    if in_file != in_database or (count, tokens) != (events.event_count, judged):
        raise OperatorError(
            f"{events.partition.name} stays: what was written of it has {counted(count, 'event')} with "
            f"{tokens}, and should have {events.event_count} with {judged}; events came meanwhile, or "
            "the disk is damaged"
        )


def _key(row: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(row[name] for name in KEY)


def _numbers(row: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(row[name]) for name in _COMPARED)


def _publish(place: Place, name: str, draft: Path) -> FileState:
    """Give the file its name, which it has already if an earlier attempt to drop the events came this far."""
    if place.size(name) is None:
        return store_file(place, name, draft)
    if not _same_events(draft, place, name):
        raise OperatorError(
            f"{name} of the archive {place.url} is there and holds other events; move it away, or name "
            "another archive"
        )
    return state_of(place, name)


def _same_events(draft: Path, place: Place, name: str) -> bool:
    with EventFile(place_of(str(draft.parent)), draft.name) as new, EventFile(place, name) as there:
        return (new.installation, new.events, new.groups) == (
            there.installation,
            there.events,
            there.groups,
        ) and all(new.read(group).equals(there.read(group)) for group in new.groups)


def _about(events: OldEvents, installation: str) -> dict[str, object]:
    assert events.first_event_time is not None
    assert events.last_event_time is not None
    return {
        "format": FORMAT,
        "kind": "events",
        "installation": installation,
        "partition": events.partition.name,
        "first_id": None if events.partition.lower_id is None else str(events.partition.lower_id),
        "first_id_after": None if events.partition.upper_id is None else str(events.partition.upper_id),
        "rows": events.event_count,
        **{name: str(getattr(events, name)) for name in TOKENS},
        "first_event_time": utc_text(events.first_event_time),
        "last_event_time": utc_text(events.last_event_time),
    }
