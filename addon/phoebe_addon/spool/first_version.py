"""Spool files of the first version of Phoebe, whose rows had no checksums."""

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from phoebe_addon.spool.file import SCHEMA, SCHEMA_VERSION, SpoolFile
from phoebe_addon.spool.sealed_record import Record, RecordKind, seal
from phoebe_proto.v1.metering_pb2 import MeteringEvent

logger = logging.getLogger(__name__)

_QUERIES = (
    (RecordKind.EVENT, "SELECT producer_seq, event FROM event ORDER BY producer_seq"),
    (RecordKind.EVENT, "SELECT producer_seq, event FROM event ORDER BY producer_seq DESC"),
    (RecordKind.ADMISSION, "SELECT 0, event FROM admission ORDER BY request_id"),
    (RecordKind.ADMISSION, "SELECT 0, event FROM admission ORDER BY request_id DESC"),
)


def upgrade(connection: sqlite3.Connection) -> None:
    """Turn a file of the first version, whose rows had no checksums, into one of this version."""
    ((producer_id,),) = connection.execute("SELECT producer_id FROM spool").fetchall()
    given = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    connection.execute("BEGIN IMMEDIATE")
    for statement in SCHEMA.split(";")[:-1]:
        connection.execute(statement)
    new = SpoolFile(Path(), connection, producer_id, given[0] if given else 0, 0)
    for row in connection.execute("SELECT producer_seq, event FROM event ORDER BY producer_seq"):
        record = _record(RecordKind.EVENT, producer_id, *row)
        if record:
            new.put(record)
        else:
            new.quarantine_content(row[1])
    for (event,) in connection.execute("SELECT event FROM admission ORDER BY request_id").fetchall():
        record = _record(RecordKind.ADMISSION, producer_id, 0, event)
        if record:
            connection.execute("INSERT INTO admitted (record) VALUES (?)", (seal(record),))
        else:
            new.quarantine_content(event)
    new.put_producer()
    for table in ("spool", "admission", "event"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def readable_records(path: Path) -> list[Record]:
    """Read what SQLite can of a damaged file of the first version, from both ends; of others, nothing."""
    records: list[Record] = []
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if connection.execute("PRAGMA user_version").fetchone()[0] != 1:
            return []
        ((producer_id,),) = connection.execute("SELECT producer_id FROM spool").fetchall()
        for query in _QUERIES:
            records += _rows(connection, query, producer_id)
    except (sqlite3.Error, ValueError) as error:
        logger.error("phoebe: the spool file %s can't be read with SQLite: %s", path, error)
    finally:
        connection.close()
    return records


def _rows(
    connection: sqlite3.Connection, query: tuple[RecordKind, str], producer_id: str
) -> Iterator[Record]:
    kind, statement = query
    try:
        for number, event in connection.execute(statement):
            record = _record(kind, producer_id, number, event)
            if record:
                yield record
    except sqlite3.Error:
        return  # as far as it can be read from this end


def _record(kind: RecordKind, producer_id: str, number: int, event: object) -> Record | None:
    """Make a record of a row of the first version; None if it can't be read."""
    if not isinstance(event, bytes):
        return None
    try:
        message = MeteringEvent.FromString(event)
    except DecodeError:
        return None
    if not message.request_id or not message.HasField("event_time"):
        return None
    return Record(kind, producer_id, number, message.event_time.ToMicroseconds(), event)
