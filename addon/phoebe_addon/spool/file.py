"""One spool file: the SQLite database in which a producer's admissions and events are.

What a commit means: with the write-ahead log and `synchronous = FULL`, SQLite calls fdatasync on the log at
the end of every transaction, on the folder when the log is new, and on the database file, and the log before
it, only when it moves the log's content there.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import uuid_utils

from phoebe_addon.spool.rows import Rows
from phoebe_addon.spool.salvage import PAGE_SIZE
from phoebe_addon.spool.sealed_record import DamagedRecordError, Record, RecordKind, seal, unseal

FORMAT = 1
# Files of earlier versions lack it until it is needed.
_INSTALLATION = """
-- The installation that what is in the file belongs to (no row: to none yet).
CREATE TABLE IF NOT EXISTS installation (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL);
"""
SCHEMA = (
    _INSTALLATION
    + """
-- The producer, and the highest number it has given.
CREATE TABLE producer (id INTEGER PRIMARY KEY CHECK (id = 1), record BLOB NOT NULL);
-- Producers that gave no number since their file was damaged, until the rater has had their last word.
CREATE TABLE departed (id INTEGER PRIMARY KEY, record BLOB NOT NULL);
-- Exchanges that were admitted and have not ended: the event to send if they never do.
CREATE TABLE admitted (id INTEGER PRIMARY KEY, record BLOB NOT NULL);
-- Events the rater has not acknowledged, oldest first.
CREATE TABLE waiting (id INTEGER PRIMARY KEY, event_time INTEGER NOT NULL, record BLOB NOT NULL);
-- For the oldest event_time, which tells until when the rater has everything.
CREATE INDEX waiting_event_time ON waiting (event_time);
-- Rows that can't be read any more, for whoever looks into it.
CREATE TABLE quarantined (id INTEGER PRIMARY KEY, found_time TEXT NOT NULL, record BLOB NOT NULL);
"""
)
# Kept in the file as SQLite's application_id, to which the format is added: "PhS".
_APPLICATION = 0x50685300
# SQLite's result codes that tell of the disk, the memory or another process, not of what is in the file.
_NOT_DAMAGE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_AUTH,
}


class SpoolError(Exception):
    """The spool can't be used. The message says why and what to do."""


class SpoolBusyError(SpoolError):
    """Another process has the file open."""


class UnknownFormatError(SpoolError):
    """A later version of Phoebe wrote the file. It is left as it is, with the events in it."""

    def __init__(self, path: Path, found: int) -> None:
        super().__init__(
            f"the spool file {path} has the format {found}, and this version of Phoebe knows formats up to "
            f"{FORMAT}. It stays as it is, with the events in it: start the later version that wrote it on "
            "this folder, and they are delivered"
        )


class DamageError(Exception):
    """The content of the file is not what was written."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """An exchange that is admitted and has not ended. number: under which it is in the file."""

    number: int
    time_us: int
    event: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """An event that waits for the rater. id: its place in the file."""

    id: int
    record: Record


@dataclass(slots=True)
class SpoolFile:
    """An open spool file. One thread at a time.

    recovered: how many exchanges were found cut off and became events. damage: what was wrong with the file,
    None: nothing. last_number: the highest producer_seq given. lost: events of this producer that can't be
    read any more; lost_before: of those it came after, of which the rater has not heard. stopped: whether the
    rater was told that nothing more will come. installation: the one that the events belong to; None: none
    yet.
    """

    path: Path
    connection: sqlite3.Connection
    producer_id: str
    last_number: int
    lost: int
    waiting_count: int = 0
    stopped: bool = False
    lost_before: int = 0
    installation: str | None = None
    recovered: int = 0
    damage: str | None = None
    _rows: Rows = field(default_factory=Rows)
    """What a transaction has yet to write."""
    _log_has_leftovers: bool = False

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all that is done within, durably, or nothing of it. Raises sqlite3.Error."""
        known = (self.last_number, self.lost, self.stopped)
        counted = (self.producer_id, self.waiting_count, self.lost_before, self.installation)
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._rows.write(self.connection)
            if (self.last_number, self.lost, self.stopped) != known or self.producer_id != counted[0]:
                self.put_producer()
            self.connection.execute("COMMIT")
        except BaseException:
            self.last_number, self.lost, self.stopped = known
            self.producer_id, self.waiting_count, self.lost_before, self.installation = counted
            self._rows.clear()
            self._log_has_leftovers = True
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        if self._log_has_leftovers:
            self._clear_log()

    def _clear_log(self) -> None:
        """Leave nothing in the write-ahead log of a transaction that failed.

        SQLite overwrites it bit by bit; what is left meanwhile has checksums that do not fit, as if damaged.
        """
        with suppress(sqlite3.Error):  # what was asked for is done; the next transaction tries this again
            busy, *_ = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self._log_has_leftovers = bool(busy)

    def admit(self, admitted: Admitted) -> None:
        """Record that an exchange is admitted, within a transaction."""
        record = Record(RecordKind.ADMISSION, self.producer_id, 0, admitted.time_us, admitted.event)
        # It is there already if the file was replaced while this was asked for: then it is replaced.
        self._rows.admitted.append((admitted.number, seal(record)))
        self._write_many()

    def end(self, number: int) -> None:
        """Remove an admission, within a transaction."""
        self._rows.ended.append((number,))
        self._write_many()

    def append(self, time_us: int, event: bytes) -> None:
        """Add an event, within a transaction; it gets the next number."""
        self.last_number += 1
        self.put(Record(RecordKind.EVENT, self.producer_id, self.last_number, time_us, event))

    def put(self, record: Record) -> None:
        """Add an event that has its number, within a transaction."""
        self._rows.waiting.append((record.time_us, seal(record)))
        self.waiting_count += 1
        self._write_many()

    def _write_many(self) -> None:
        if self._rows.are_many:
            self._rows.write(self.connection)

    def forget(self, ids: Iterable[int]) -> None:
        """Delete events."""
        self._rows.write(self.connection)
        cursor = self.connection.executemany("DELETE FROM waiting WHERE id = ?", [(each,) for each in ids])
        self.waiting_count -= max(cursor.rowcount, 0)

    def quarantine_content(self, content: object) -> None:
        """Set something aside that is no record."""
        values = (datetime.now(UTC).isoformat(), content)
        self.connection.execute("INSERT INTO quarantined (found_time, record) VALUES (?, ?)", values)
        self.lost += 1

    def quarantine(self, ids: Iterable[int]) -> None:
        """Set events aside that can't be read."""
        self._rows.write(self.connection)
        now = datetime.now(UTC).isoformat()
        for row_id in ids:
            cursor = self.connection.execute(
                "INSERT INTO quarantined (found_time, record)"
                " SELECT ?, CAST(record AS BLOB) FROM waiting WHERE id = ?",
                (now, row_id),
            )
            self.lost += cursor.rowcount
            self.forget([row_id])

    def read(self, after: int, limit: int) -> list[Waiting | int]:
        """Read the oldest events whose id is greater than `after`; of one that is damaged, only its id."""
        rows = self.connection.execute(
            "SELECT id, CAST(record AS BLOB) FROM waiting WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        ).fetchall()
        return [_opened(row_id, sealed) for row_id, sealed in rows]

    def oldest_time_us(self, after: int) -> int | None:
        """Return the smallest event_time of the events whose id is greater than `after`."""
        # The plus keeps SQLite from going through the ids instead of the times.
        row = self.connection.execute(
            "SELECT event_time FROM waiting WHERE +id > ? ORDER BY event_time LIMIT 1", (after,)
        ).fetchone()
        return None if row is None else int(row[0])

    def departed(self) -> list[tuple[int, Record]]:
        """Read the producers of which the rater has not had the last word."""
        rows = self.connection.execute("SELECT id, CAST(record AS BLOB) FROM departed ORDER BY id").fetchall()
        found: list[tuple[int, Record]] = []
        for row_id, sealed in rows:
            with suppress(DamagedRecordError):
                found.append((row_id, unseal(sealed)))
        return found

    def forget_departed(self, row_id: int) -> None:
        """Delete a producer that is no more."""
        self.connection.execute("DELETE FROM departed WHERE id = ?", (row_id,))

    def bytes_used(self) -> int:
        """Return the bytes of the file that hold something, with what is written in a transaction so far."""
        self._rows.write(self.connection)
        pages, free = (
            self.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count")
        )
        return int(pages - free) * PAGE_SIZE

    def holds_quarantined(self) -> bool:
        """Whether there are rows somebody may want to look at."""
        return self.connection.execute("SELECT 1 FROM quarantined LIMIT 1").fetchone() is not None

    def close(self) -> None:
        """Close the file; SQLite then moves the log's content into it."""
        self.connection.close()

    def abandon(self) -> None:
        """Close the file and leave it, and its log, as they are."""
        with suppress(sqlite3.ProgrammingError):  # it is closed already
            self.connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
        self.connection.close()

    def bind(self, installation: str) -> None:
        """Write down to which installation the events belong."""
        record = Record(RecordKind.INSTALLATION, self.producer_id, 0, 0, installation.encode())
        self.connection.execute(_INSTALLATION)
        self.connection.execute(
            "INSERT OR REPLACE INTO installation (id, record) VALUES (1, ?)", (seal(record),)
        )
        self.installation = installation

    def move(self, installation: str) -> None:
        """Give the events to another installation, as those of a new producer.

        To the installation they come from, the old producer ends here: its numbers are not given again.
        """
        self._rows.write(self.connection)
        self.producer_id, self.last_number, self.lost = str(uuid_utils.uuid7()), 0, 0
        for (row_id,) in self.connection.execute("SELECT id FROM waiting ORDER BY id").fetchall():
            query = "SELECT CAST(record AS BLOB) FROM waiting WHERE id = ?"
            (sealed,) = self.connection.execute(query, (row_id,)).fetchone()
            with suppress(DamagedRecordError):  # found and set aside when it is read to be sent
                event = unseal(sealed)
                self.last_number += 1
                moved = replace(event, producer_id=self.producer_id, number=self.last_number)
                self.connection.execute("UPDATE waiting SET record = ? WHERE id = ?", (seal(moved), row_id))
        self.connection.execute("DELETE FROM departed")
        self.lost_before = 0
        self.bind(installation)

    def read_installation(self) -> str | None:
        """Read to which installation the events belong. Raises DamagedRecordError."""
        known = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'installation'"
        if self.connection.execute(known).fetchone() is None:
            return None
        row = self.connection.execute("SELECT CAST(record AS BLOB) FROM installation").fetchone()
        return unseal(row[0]).content.decode() if row else None

    def put_producer(self) -> None:
        """Write down who the producer is and how far it has come."""
        content = str(self.lost).encode()
        record = Record(RecordKind.PRODUCER, self.producer_id, self.last_number, int(self.stopped), content)
        self.connection.execute("INSERT OR REPLACE INTO producer (id, record) VALUES (1, ?)", (seal(record),))


def write_format(connection: sqlite3.Connection, number: int = FORMAT) -> None:
    """Note a file's format, twice: a flipped bit must not make it look like one of a later version."""
    connection.execute(f"PRAGMA user_version = {number}")
    connection.execute(f"PRAGMA application_id = {_APPLICATION + number}")


def check_format(path: Path, connection: sqlite3.Connection) -> None:
    """Raise UnknownFormatError for a format that a later version gave, DamageError if there is none."""
    ((number,), (application,)) = (
        connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id")
    )
    if number < FORMAT or application != _APPLICATION + number:
        raise DamageError(f"the format noted in it, {number} and {application:#x}, is none of Phoebe's")
    if number > FORMAT:
        raise UnknownFormatError(path, number)


def is_damage(error: Exception) -> bool:
    """Whether an error that SQLite gave tells that the content of the file is damaged."""
    if isinstance(error, UnicodeDecodeError):  # SQLite's own text holds a damaged name
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF) not in _NOT_DAMAGE


def _opened(row_id: int, sealed: bytes) -> Waiting | int:
    try:
        record = unseal(sealed)
    except DamagedRecordError:
        return row_id
    return Waiting(row_id, record) if record.kind is RecordKind.EVENT else row_id
