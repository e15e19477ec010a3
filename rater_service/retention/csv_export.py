"""Writes old events to files before they are dropped, and proves that the files hold them.

A file is what PostgreSQL's COPY reads: CSV with a header, compressed with gzip; beside it stands a manifest.
The same events always make the same bytes.
"""

import asyncio
import csv
import gzip
import hashlib
import json
import os
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from phoebe_runtime.counts import counted
from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S
from rater_service.errors import OperatorError
from rater_service.events.patterned import SHARED
from rater_service.hours import utc_text
from rater_service.retention.old_events import OldEvents
from rater_service.statements import Statement, bound, statement

TOKENS = ("prompt_tokens", "cached_tokens", "completion_tokens")
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ExportedEvents:
    """A file of events: where, how many, and the SHA-256 of the file, in hexadecimal."""

    path: Path
    event_count: int
    sha256: str


async def export_events(pool: Pool, events: OldEvents, folder: Path, now: datetime) -> ExportedEvents:
    """Write events to a file of their own in a folder, read it back, and return what is in it.

    It stands on disk when this returns. Raises OperatorError when it can't be written, does not hold exactly
    these events, or when a file with other events has its name.
    """
    path = (folder / _name(events)).absolute()
    draft = path.with_name(f".{path.name}.part")
    try:
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        try:
            await _write(pool, events, draft)
            exported = await asyncio.to_thread(_verified, draft, path, events)
            await asyncio.to_thread(_publish, draft, exported, events, now)
        finally:
            await asyncio.to_thread(draft.unlink, missing_ok=True)
    except OSError as error:
        raise OperatorError(f"the events of {events.partition.name} can't be exported: {error}") from error
    return exported


def _name(events: OldEvents) -> str:
    until = f"_before_{events.before:%Y-%m-%dT%H}" if events.partition.is_default else ""
    return f"{events.partition.name}{until}.csv.gz"


async def _write(pool: Pool, events: OldEvents, draft: Path) -> None:
    with ExitStack() as files:
        file = files.enter_context(await asyncio.to_thread(draft.open, "wb"))
        packed = files.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0))

        failed: list[OSError] = []

        async def keep(data: bytes) -> None:
            # After a failure the rest is read for nothing: a COPY that asyncpg breaks off may never end.
            if not failed:
                try:
                    await asyncio.to_thread(packed.write, data)
                except OSError as error:
                    failed.append(error)

        async with pool.acquire() as connection, connection.transaction(readonly=True):
            # Otherwise the bytes would depend on where the server stands.
            await connection.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL DateStyle = 'ISO'")
            export = await _export(connection, events)
            await connection.copy_from_query(
                *export.bind({"before": events.before}),
                output=keep,
                format="csv",
                header=True,
                timeout=STATEMENT_TIMEOUT_S,
            )
        if failed:
            raise failed[0]
        packed.close()
        await asyncio.to_thread(_sync, file)


async def _export(connection: Connection, events: OldEvents) -> Statement:
    columns = await connection.fetchval(*bound("retention/export_columns", shared=SHARED))
    return statement("retention/export", partition=events.partition.name, columns=columns)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _verified(draft: Path, path: Path, events: OldEvents) -> ExportedEvents:
    count = 0
    tokens = dict.fromkeys(TOKENS, 0)
    # Raw texts of engines are as long as they like to be.
    csv.field_size_limit(1 << 30)
    with gzip.open(draft, "rt", encoding="utf-8", newline="") as text:
        for row in csv.DictReader(text):
            count += 1
            for name in TOKENS:
                tokens[name] += int(row[name] or 0)
    expected = {name: int(getattr(events, name)) for name in TOKENS}
    if (count, tokens) != (events.event_count, expected):
        raise OperatorError(
            f"{events.partition.name} stays: its export has {counted(count, 'event')} with {tokens}, and "
            f"should have {events.event_count} with {expected}; events came meanwhile, or the disk is damaged"
        )
    return ExportedEvents(path, count, _sha256(draft))


def _publish(draft: Path, exported: ExportedEvents, events: OldEvents, now: datetime) -> None:
    """Give the file its name, which it has already if an earlier attempt to drop the events came this far."""
    path = exported.path
    if path.exists() and _sha256(path) != exported.sha256:
        raise OperatorError(f"{path} is there and holds other events; name another folder")
    draft.replace(path)
    manifest = path.with_name(path.name.removesuffix(".csv.gz") + ".json")
    written = manifest.with_name(f".{manifest.name}.part")
    with written.open("wb") as file:
        file.write(json.dumps(_manifest(exported, events, now), indent=2).encode() + b"\n")
        _sync(file)
    written.replace(manifest)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(exported: ExportedEvents, events: OldEvents, now: datetime) -> dict[str, object]:
    assert events.first_event_time is not None
    assert events.last_event_time is not None
    return {
        "file": exported.path.name,
        "sha256": exported.sha256,
        "partition": events.partition.name,
        "first_id": None if events.partition.lower_id is None else str(events.partition.lower_id),
        "first_id_after": None if events.partition.upper_id is None else str(events.partition.upper_id),
        "events": exported.event_count,
        **{name: str(getattr(events, name)) for name in TOKENS},
        "first_event_time": utc_text(events.first_event_time),
        "last_event_time": utc_text(events.last_event_time),
        "exported_at": utc_text(now),
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
