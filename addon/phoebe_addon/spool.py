"""The spool: where events are until the rater has them. On disk, in SQLite.

Every change goes through one writer thread that commits all that has gathered in one transaction, so that
durability costs one flush to disk for many exchanges ("group commit"). What `admit` and `finish` return is
done when the change is on disk.

An admission is recorded before the engine is asked. If the proxy is killed, the next one to open the spool
finds it and makes it an event, so that no exchange is invisible.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import uuid_utils

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE spool (producer_id TEXT NOT NULL);
-- Exchanges that were admitted and have not ended: the event to send if they never do.
CREATE TABLE admission (request_id TEXT PRIMARY KEY, event BLOB NOT NULL) WITHOUT ROWID;
-- Events the rater has not acknowledged. AUTOINCREMENT: a number is never given twice.
CREATE TABLE event (producer_seq INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL);
"""
_ADMIT = "INSERT INTO admission (request_id, event) VALUES (?, ?)"
_END = "DELETE FROM admission WHERE request_id = ?"
_APPEND = "INSERT INTO event (event) VALUES (?)"
_READ = "SELECT producer_seq, event FROM event WHERE producer_seq > ? ORDER BY producer_seq LIMIT ?"
_COUNT = "SELECT count(*) FROM event"
_FORGET = "DELETE FROM event WHERE producer_seq = ?"
_RECOVER = "INSERT INTO event (event) SELECT event FROM admission ORDER BY request_id"

# A commit takes milliseconds; one that can't be had in this time means a disk in trouble.
RETRY_AFTER_S = 0.5
COMMIT_OPERATIONS_MAX = 1000


class SpoolError(Exception):
    """The spool can't be used. The message says why and what to do."""


class SpoolFullError(SpoolError):
    """The spool has reached its bound: nothing can be admitted until the rater takes events."""


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """An event waiting to be sent. event: a serialized MeteringEvent without producer id and number."""

    producer_seq: int
    event: bytes


@dataclass(slots=True, eq=False)
class _Change:
    """Statements to run in one transaction, and whom to tell. urgent: fails at once instead of waiting."""

    statements: Sequence[tuple[str, tuple[object, ...]]]
    urgent: bool = False
    done: Future[None] = field(default_factory=Future)


class Spool:
    """A spool folder, opened by one process at a time.

    bytes_max: once the file holds more than this, `admit` raises SpoolFullError. Exchanges that are running
    can still end.
    """

    def __init__(self, folder: Path, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes_used = 0
        self._queue: queue.SimpleQueue[_Change | None] = queue.SimpleQueue()
        self._connection, self.producer_id, self.recovered = _open(folder)
        self._lock = threading.Lock()
        self._measure()
        self._thread = threading.Thread(target=self._write, name="phoebe-spool", daemon=True)
        self._thread.start()

    @property
    def bytes_used(self) -> int:
        """Bytes of the file that hold something."""
        return self._bytes_used

    async def admit(self, request_id: str, event: bytes) -> None:
        """Record that an exchange is admitted.

        event: what to send if it never ends. Raises SpoolFullError, or SpoolError when the disk fails.
        """
        if self._bytes_used > self._bytes_max:
            raise SpoolFullError(f"the spool holds more than {self._bytes_max} bytes")
        await asyncio.wrap_future(self._submit([(_ADMIT, (request_id, event))], urgent=True))

    def finish(self, request_id: str, event: bytes) -> Future[None]:
        """Replace an admission by the event of its exchange.

        The future is done when that is on disk. While the disk fails it is tried again and again.
        """
        return self._submit([(_END, (request_id,)), (_APPEND, (event,))])

    async def forget(self, producer_seqs: Sequence[int]) -> None:
        """Delete events the rater has acknowledged."""
        await asyncio.wrap_future(self._submit([(_FORGET, (number,)) for number in producer_seqs]))

    def read(self, after: int, limit: int) -> list[SpooledEvent]:
        """Read the oldest events whose number is greater than `after`. Raises SpoolError."""
        return [SpooledEvent(number, event) for number, event in self._select(_READ, (after, limit))]

    def depth(self) -> int:
        """Count the events that wait to be sent. Raises SpoolError."""
        return self._select(_COUNT)[0][0]

    def close(self) -> None:
        """Write what is still to be written and close the file. Safe to call again."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
            with self._lock:
                self._connection.close()

    def _select(self, query: str, parameters: tuple[int, ...] = ()) -> list[tuple[int, bytes]]:
        try:
            with self._lock:
                return self._connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise SpoolError(f"the spool can't be read: {error}") from error

    def _submit(
        self, statements: Sequence[tuple[str, tuple[object, ...]]], *, urgent: bool = False
    ) -> Future[None]:
        change = _Change(statements, urgent)
        # From here on nobody who waits for it can cancel it.
        change.done.set_running_or_notify_cancel()
        if not self._thread.is_alive():
            change.done.set_exception(SpoolError("the spool is closed"))
        else:
            self._queue.put(change)
        return change.done

    def _write(self) -> None:
        """Commit changes until told to stop: the writer thread."""
        waiting: list[_Change] = []
        stopping = False
        while not stopping:
            stopping = self._gather(waiting)
            waiting = self._commit(waiting, last_chance=stopping)

    def _gather(self, waiting: list[_Change]) -> bool:
        """Wait for changes and take all there are, up to a limit. Returns whether to stop."""
        try:
            change = self._queue.get(timeout=RETRY_AFTER_S if waiting else None)
            while change is not None:
                waiting.append(change)
                if len(waiting) >= COMMIT_OPERATIONS_MAX:
                    return False
                change = self._queue.get_nowait()
        except queue.Empty:
            return False
        return True

    def _commit(self, changes: list[_Change], *, last_chance: bool) -> list[_Change]:
        """Commit changes in one transaction. Returns those to try again."""
        try:
            with self._lock:
                self._run(changes)
        except sqlite3.Error as error:
            logger.error("phoebe: the spool can't be written: %s", error)
            failed = [change for change in changes if change.urgent or last_chance]
            for change in failed:
                change.done.set_exception(SpoolError(f"the spool can't be written: {error}"))
            return [change for change in changes if change not in failed]
        for change in changes:
            change.done.set_result(None)
        return []

    def _run(self, changes: list[_Change]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                for statement, parameters in change.statements:
                    self._connection.execute(statement, parameters)
            self._measure()
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _measure(self) -> None:
        pages, free, size = (
            self._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        self._bytes_used = (pages - free) * size


def _open(folder: Path) -> tuple[sqlite3.Connection, str, int]:
    """Open the file. Returns the connection, the producer id and how many exchanges were found cut off."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        connection = sqlite3.connect(
            folder / "spool.sqlite3", isolation_level=None, check_same_thread=False, timeout=0
        )
        try:
            return connection, *_prepare(connection)
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        raise SpoolError(f"the spool folder {folder} can't be used: {error}") from error
    except sqlite3.Error as error:
        raise SpoolError(_open_error(folder, error)) from error


def _prepare(connection: sqlite3.Connection) -> tuple[str, int]:
    """Make the tables, or turn what an earlier process left open into events. Returns producer id, count."""
    # One process at a time; with it the write-ahead log needs no shared memory. FULL: a commit is on disk.
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version not in {0, SCHEMA_VERSION}:
        raise SpoolError(f"the spool was made by another version of Phoebe (format {version})")
    connection.execute("BEGIN IMMEDIATE")
    if version == 0:
        for statement in _SCHEMA.split(";")[:-1]:
            connection.execute(statement)
        connection.execute("INSERT INTO spool (producer_id) VALUES (?)", (str(uuid_utils.uuid7()),))
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    recovered = connection.execute(_RECOVER).rowcount
    connection.execute("DELETE FROM admission")
    connection.execute("COMMIT")
    producer_id = connection.execute("SELECT producer_id FROM spool").fetchone()[0]
    return str(producer_id), recovered


def _open_error(folder: Path, error: sqlite3.Error) -> str:
    if "locked" in str(error):
        return (
            f"the spool folder {folder} is in use by another process: "
            "give each its own with --set phoebe_spool=FOLDER"
        )
    return f"the spool in {folder} can't be opened: {error}"
