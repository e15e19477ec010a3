"""The spool: where events are until the rater has them. On disk, in SQLite.

Every change goes through one writer thread that commits all that has gathered in one transaction, so that
durability costs one flush to disk for many exchanges ("group commit"). What `admit` and `finish` return is
done when the change is on disk.

An admission is recorded before the engine is asked. If the proxy is killed, the next one to open the spool
finds it and makes it an event, so that no exchange is invisible.
"""

import itertools
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from phoebe_addon.spool.file import Admitted, SpoolError, SpoolFile, is_damage
from phoebe_addon.spool.folder import Claim
from phoebe_addon.spool.opening import replace_file
from phoebe_addon.spool.sealed_record import Record, to_time, to_us
from phoebe_addon.spool.wakes import Wakes
from phoebe_addon.troubles import Trouble

__all__ = [
    "ProducerState",
    "Spool",
    "SpoolError",
    "SpoolFullError",
    "SpooledEvent",
]

logger = logging.getLogger(__name__)

# A commit takes milliseconds; one that can't be had in this time means a disk in trouble.
RETRY_AFTER_S = 0.5
COMMIT_OPERATIONS_MAX = 1000


class SpoolFullError(SpoolError):
    """The spool has reached its bound: nothing can be admitted until the rater takes events."""


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """An event waiting to be sent.

    id: its place in the spool. event: a serialized MeteringEvent without producer id and number.
    """

    id: int
    producer_id: str
    producer_seq: int
    event: bytes


@dataclass(frozen=True, slots=True)
class ProducerState:
    """How a producer stands.

    last_seq: the highest number given. complete_until: whatever the producer still has to tell has this
    event_time or a later one. lost_rows: events that could not be read any more, ever.
    """

    producer_id: str
    last_seq: int
    spooled_events: int
    open_exchanges: int
    complete_until: datetime
    lost_rows: int


@dataclass(slots=True, eq=False)
class _Write:
    """What to do in one transaction, and whom to tell. urgent: fails at once instead of waiting."""

    apply: Callable[[SpoolFile], None]
    urgent: bool = False
    done: Future[None] = field(default_factory=Future)


class Spool:
    """An open spool. Closing it gives up the claim.

    bytes_max: once the file holds more than this, `admit` raises SpoolFullError. Exchanges that are running
    can still end. Raises SpoolBusyError, or SpoolError, when the file can't be opened.
    """

    def __init__(self, claim: Claim, bytes_max: int) -> None:
        self._claim = claim
        self._bytes_max = bytes_max
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._file = claim.open()
        self.recovered = self._file.recovered
        self.damaged_files = int(self._file.damage is not None)
        self._bytes_used = self._file.bytes_used()
        self._admissions = itertools.count(1)
        self._open: dict[str, Admitted] = {}
        self._damage: str | None = None
        self._condemned: set[int] = set()
        self.trouble: str | None = None
        """Why the last transaction failed; None: it is on disk."""
        self.commits = 0
        """How many transactions have come to disk, only ever more."""
        self._writing = Trouble(logger, "phoebe: the spool can be written again")
        self._filled = Trouble(logger, "phoebe: the spool has room again, and requests are admitted")
        self._whose_disk = f"it is on the disk of this proxy, {claim.path}"
        self._wakes = Wakes()
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="phoebe-spool", daemon=True)
        self._thread.start()

    @property
    def producer_id(self) -> str:
        """Who numbers the events that are added. It changes when the file is found damaged."""
        return self._file.producer_id

    @property
    def bytes_used(self) -> int:
        """Bytes of the file that hold something."""
        return self._bytes_used

    @property
    def bytes_max(self) -> int:
        """Beyond how many bytes nothing is admitted."""
        return self._bytes_max

    @property
    def is_full(self) -> bool:
        """Whether nothing is admitted until the rater has taken events."""
        return self._bytes_used > self._bytes_max

    @property
    def lost_rows(self) -> int:
        """Events that could not be read any more, of this producer and those it came after."""
        return self._file.lost + self._file.lost_before

    async def admit(self, request_id: str, event: bytes, event_time: datetime) -> None:
        """Record that an exchange is admitted.

        event: what to send if it never ends, with its time. Raises SpoolFullError, or SpoolError when the
        disk fails.
        """
        if self.is_full:
            words = f"the spool holds more than {self._bytes_max} bytes"
            self._filled.met(f"phoebe: no request is admitted: {words}, and the rater takes no events")
            raise SpoolFullError(words)
        self._filled.is_over()
        entry = Admitted(next(self._admissions), to_us(event_time), event)
        # From now on it counts: `state` may not promise what this exchange could break.
        self._open[request_id] = entry

        done = self._submit(lambda file: file.admit(entry), urgent=True)
        done.add_done_callback(lambda done: done.exception() and self._open.pop(request_id, None))
        await self._wakes.until_done(done)

    async def until_durable(self, written: Future[None]) -> None:
        """Wait until what `finish` has given is done. Raises SpoolError if it could not be written."""
        await self._wakes.until_done(written)

    def finish(self, request_id: str, events: Sequence[bytes], event_time: datetime) -> Future[None]:
        """Replace an admission by the events of its exchange, in one transaction and with numbers in a row.

        The future is done when that is on disk. While the disk fails it is tried again and again.
        """
        entry = self._open.get(request_id)

        def apply(file: SpoolFile) -> None:
            if entry:
                file.end(entry.number)
            for event in events:
                file.append(to_us(event_time), event)

        done = self._submit(apply)
        done.add_done_callback(lambda done: done.exception() or self._open.pop(request_id, None))
        return done

    async def forget(self, events: Sequence[SpooledEvent]) -> None:
        """Delete events the rater has acknowledged."""
        ids = [event.id for event in events]
        await self._wakes.until_done(self._submit(lambda file: file.forget(ids)))

    def condemn(self, event_id: int) -> None:
        """Set an event aside that can't be read: it will not be sent. Done as soon as the disk takes it."""
        if event_id in self._condemned:
            return
        logger.critical("phoebe: an event in the spool is damaged; it is set aside, place %d", event_id)
        self._condemned.add(event_id)
        self._submit(lambda file: file.quarantine([event_id]))

    def read(self, limit: int, bytes_max: int | None = None) -> list[SpooledEvent]:
        """Read the oldest events, at least one, but no more than `bytes_max` bytes of them.

        Raises SpoolError. Those that are damaged are set aside.
        """
        after = 0
        while rows := self._reading(lambda file: file.read(after, limit)):  # noqa: B023
            events: list[SpooledEvent] = []
            for row in rows:
                after = row if isinstance(row, int) else row.id
                if isinstance(row, int):
                    self.condemn(row)
                elif row.id not in self._condemned:
                    events.append(_spooled(row.id, row.record))
            if events:
                return events[: _fitting(events, bytes_max)] if bytes_max else events
        return []

    def state(self, after: int = 0) -> ProducerState:
        """Tell how the producer stands, but for the events up to id `after`. Raises SpoolError."""
        # The order matters: what ends between these two is seen as open, and what is admitted after now is no
        # earlier than now.
        now_us = to_us(datetime.now(UTC))
        under_way = [entry.time_us for entry in self._open.copy().values()]
        oldest_us = self._reading(lambda file: file.oldest_time_us(after))
        return ProducerState(
            producer_id=self._file.producer_id,
            last_seq=self._file.last_number,
            spooled_events=self._file.waiting_count,
            open_exchanges=len(under_way),
            complete_until=to_time(min([now_us, *under_way, *([] if oldest_us is None else [oldest_us])])),
            lost_rows=self._file.lost,
        )

    def departed(self) -> list[tuple[int, ProducerState]]:
        """Tell of the producers that give no numbers any more; with ids for `forget_departed`."""
        now = datetime.now(UTC)
        return [
            (row_id, ProducerState(record.producer_id, record.number, 0, 0, now, int(record.content)))
            for row_id, record in self._reading(lambda file: file.departed())
        ]

    async def forget_departed(self, row_id: int) -> None:
        """Delete a producer that gives no numbers any more: the rater knows."""
        await self._wakes.until_done(self._submit(lambda file: file.forget_departed(row_id)))

    @property
    def installation(self) -> str | None:
        """The installation that the events belong to; None: none yet."""
        return self._file.installation

    @property
    def path(self) -> Path:
        """Where the file is."""
        return self._claim.path

    async def bind(self, installation: str) -> None:
        """Let the events belong to an installation, durably. Raises SpoolError when the disk fails."""
        await self._wakes.until_done(self._binding(installation))

    def bind_now(self, installation: str) -> None:
        """Do what `bind` does, and wait for it."""
        self._binding(installation).result()

    def move_now(self, installation: str) -> None:
        """Give the events to another installation, as those of a new producer. Raises SpoolError."""
        self._submit(lambda file: file.move(installation), urgent=True).result()

    def _binding(self, installation: str) -> Future[None]:
        return self._submit(lambda file: file.bind(installation), urgent=True)

    def has_something_to_tell(self) -> bool:
        """Whether the rater has not had everything, or does not know that it has."""
        return bool(self._file.waiting_count or not self._file.stopped or self.departed())

    def note_stopped(self, *, stopped: bool) -> None:
        """Remember, as soon as the disk takes it, whether the rater was told that nothing more will come."""

        def apply(file: SpoolFile) -> None:
            file.stopped = stopped

        self._submit(apply)

    async def touch(self) -> None:
        """Write something, to see whether the disk takes it. Raises SpoolError."""
        await self._wakes.until_done(self._submit(SpoolFile.put_producer, urgent=True))

    def oldest_s(self) -> float:
        """Say when the oldest event that waits ended, in seconds since 1970; 0: none. Raises SpoolError."""
        oldest_us = self._reading(lambda file: file.oldest_time_us(0))
        return 0.0 if oldest_us is None else oldest_us / 1e6

    def depth(self) -> int:
        """Count the events that wait to be sent."""
        return self._file.waiting_count

    def close(self) -> None:
        """Write what is still to be written, close the file, give up the claim. Safe to call again."""
        self._stop(remove=False)

    def close_and_remove(self) -> None:
        """Close an empty spool for good: its file goes, unless there are damaged rows in it to look at."""
        self._stop(remove=True)

    def _stop(self, *, remove: bool) -> None:
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
            self._thread.join()
            with self._lock:
                remove = remove and not self._file.waiting_count
                keep = remove and self._file.holds_quarantined()
                self._file.close()
                self._claim.release(remove=remove, keep=keep)

    def _reading[T](self, read: Callable[[SpoolFile], T]) -> T:
        with self._lock:
            try:
                return self._with_file(read)
            except sqlite3.Error as error:
                raise SpoolError(f"the spool can't be read: {error}") from error

    def _submit(self, apply: Callable[[SpoolFile], None], *, urgent: bool = False) -> Future[None]:
        change = _Write(apply, urgent)
        # From here on nobody who waits for it can cancel it.
        change.done.set_running_or_notify_cancel()
        if self._closed or not self._thread.is_alive():
            change.done.set_exception(SpoolError("the spool is closed"))
        else:
            self._queue.put(change)
        return change.done

    def _write(self) -> None:
        """Commit changes until told to stop: the writer thread."""
        waiting: list[_Write] = []
        stopping = False
        while not stopping:
            stopping = self._gather(waiting)
            waiting = self._commit(waiting, last_chance=stopping)

    def _gather(self, waiting: list[_Write]) -> bool:
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

    def _commit(self, changes: list[_Write], *, last_chance: bool) -> list[_Write]:
        """Commit changes in one transaction. Returns those to try again."""
        try:
            with self._lock:
                self._run(changes)
        except (sqlite3.Error, SpoolError) as error:
            self.trouble = str(error)
            self._writing.met(f"phoebe: the spool can't be written: {error}; {self._whose_disk}")
            failed = [change for change in changes if change.urgent or last_chance]
            for change in failed:
                change.done.set_exception(SpoolError(f"the spool can't be written: {error}"))
            return [change for change in changes if change not in failed]
        except Exception as error:
            # A bug. This thread has to outlive it: without it nothing could be admitted any more.
            self.trouble = repr(error)
            logger.exception("phoebe: the spool can't be written")
            return self._commit_alone(changes, error, last_chance=last_chance)
        self.trouble = None
        self.commits += 1
        self._writing.is_over()
        for change in changes:
            change.done.set_result(None)
        return []

    def _commit_alone(self, changes: list[_Write], error: Exception, *, last_chance: bool) -> list[_Write]:
        """Commit each of the changes that failed together by itself. Returns those to try again."""
        if len(changes) > 1:
            return [left for change in changes for left in self._commit([change], last_chance=last_chance)]
        for change in changes:
            change.done.set_exception(SpoolError(f"the spool can't be written: {error!r}"))
        return []

    def _run(self, changes: list[_Write]) -> None:
        def apply(file: SpoolFile) -> int:
            with file.transaction():
                for change in changes:
                    change.apply(file)
                return file.bytes_used()

        if changes:
            self._bytes_used = self._with_file(apply)

    def _with_file[T](self, use: Callable[[SpoolFile], T]) -> T:
        """Use the file; if it is found damaged, once more with one that has taken its place.

        Raises sqlite3.Error, or SpoolError if it can't be replaced now.
        """
        if not self._damage:
            try:
                return use(self._file)
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if not is_damage(error):
                    raise
                self._damage = str(error)
        self._file.abandon()
        self._file = replace_file(self._file.path, self._damage, self._open.copy(), self._file.installation)
        self._damage = None
        self._condemned.clear()
        self.damaged_files += 1
        return use(self._file)


def _spooled(row_id: int, record: Record) -> SpooledEvent:
    return SpooledEvent(row_id, record.producer_id, record.number, record.content)


def _fitting(events: Sequence[SpooledEvent], bytes_max: int) -> int:
    """Count how many events from the first on fit; at least one."""
    sizes = itertools.accumulate(len(event.event) for event in events)
    return max(1, sum(1 for size in sizes if size <= bytes_max))
