"""The spool: where events are until the rater has them. On disk, in SQLite.

Every change goes through one writer thread, which commits all that has gathered in one transaction, so that
durability costs one flush to disk for many exchanges. What `admit` and `finish` return is done when the
change is on disk.

An admission is recorded before the engine is asked. If the proxy is killed, the next one to open the spool
finds it and makes it an event, so that no exchange is invisible.
"""

import itertools
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from phoebe_addon.spool.file import Admitted, SpoolError, SpoolFile, is_damage
from phoebe_addon.spool.folder import Claim
from phoebe_addon.spool.opening import replace_file
from phoebe_addon.spool.sealed_record import Record, to_time, to_us
from phoebe_addon.spool.wakes import Doing, Wakes
from phoebe_addon.spool.writer import Write, Writer
from phoebe_runtime.troubles import Trouble

__all__ = [
    "ProducerState",
    "Spool",
    "SpoolError",
    "SpoolFullError",
    "SpooledEvent",
]

logger = logging.getLogger(__name__)


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


class Spool:
    """An open spool. Closing it gives up the claim.

    bytes_max: once the file holds more than this, `admit` raises SpoolFullError. Exchanges that are running
    can still end. Raises SpoolBusyError, or SpoolError, when the file can't be opened.
    """

    def __init__(self, claim: Claim, bytes_max: int) -> None:
        self._claim = claim
        self._bytes_max = bytes_max
        self._file = claim.open()
        self.recovered = self._file.recovered
        self.damaged_files = int(self._file.damage is not None)
        self._bytes_used = self._file.bytes_used()
        self._admissions = itertools.count(1)
        self._open: dict[str, Admitted] = {}
        self._damage: str | None = None
        self._condemned: set[int] = set()
        self._filled = Trouble(logger, "phoebe: the spool has room again, and requests are admitted")
        self._wakes = Wakes()
        self._lock = threading.Lock()
        self._closing = threading.Lock()
        self._closed = False
        self._writer = Writer(self._run, self._tell, f"it is on the disk of this proxy, {claim.path}")

    @property
    def trouble(self) -> str | None:
        """Why the last transaction failed; None: it is on disk."""
        return self._writer.trouble

    @property
    def commits(self) -> int:
        """How many transactions have come to disk, only ever more."""
        return self._writer.commits

    def measure(self, on_commit: Callable[[float], None]) -> None:
        """Tell of each transaction, in the writer's thread, how many seconds it took."""
        self._writer.on_commit = on_commit

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

    def tell_whether_full(self) -> None:
        """Say in the log that it is full, or that it has room again, where that is due."""
        if self.is_full:
            self._filled.met(
                f"phoebe: no request is admitted: the spool {self.path} holds more than phoebe_spool_limit "
                f"({self._bytes_max} bytes), and the rater takes no events: bring it back, or raise the limit"
            )
        else:
            self._filled.is_over()

    @property
    def lost_rows(self) -> int:
        """Events that could not be read any more, of this producer and those it came after."""
        return self._file.lost + self._file.lost_before

    async def admit(self, request_id: str, event: bytes, event_time: datetime) -> None:
        """Record that an exchange is admitted.

        event: what to send if it never ends, with its time. Raises SpoolFullError, or SpoolError when the
        disk fails.
        """
        self.tell_whether_full()
        if self.is_full:
            raise SpoolFullError(f"the spool holds more than {self._bytes_max} bytes")
        entry = Admitted(next(self._admissions), to_us(event_time), event)
        # From now on it counts: `state` may not promise what this exchange could break.
        self._open[request_id] = entry

        def apply(file: SpoolFile) -> None:
            file.admit(entry)

        change = Write(apply, urgent=True, closes=request_id, closes_if_failed=True)
        await self._wakes.until_over(self._writer.submit(change))

    async def until_durable(self, written: Doing, timeout_s: float | None = None) -> None:
        """Wait until what `finish` has given is on disk. Raises SpoolError if it could not be written.

        timeout_s: after which TimeoutError is raised; the same for all that have one.
        """
        await self._wakes.until_over(written, timeout_s)

    def block_until_durable(self, written: Doing, timeout_s: float) -> None:
        """Do what `until_durable` does, in a thread that waits. Raises TimeoutError if it takes longer."""
        self._writer.call()
        self._wakes.block_until_over(written, timeout_s)

    def finish(self, request_id: str, events: Sequence[bytes], event_time: datetime) -> Doing:
        """Replace an admission by the events of its exchange, in one transaction and with numbers in a row.

        What it returns is over when that is on disk. While the disk fails it is tried again and again.
        """
        entry = self._open.get(request_id)

        def apply(file: SpoolFile) -> None:
            if entry:
                file.end(entry.number)
            for event in events:
                file.append(to_us(event_time), event)

        return self._writer.submit(Write(apply, closes=request_id))

    async def forget(self, events: Sequence[SpooledEvent]) -> None:
        """Delete events the rater has acknowledged."""
        ids = [event.id for event in events]
        await self._wakes.until_over(self._writer.submit(Write(lambda file: file.forget(ids))))

    def condemn(self, event_id: int) -> None:
        """Set an event aside that can't be read: it will not be sent. Done as soon as the disk takes it."""
        if event_id in self._condemned:
            return
        logger.critical("phoebe: an event in the spool is damaged; it is set aside, place %d", event_id)
        self._condemned.add(event_id)
        self._writer.submit(Write(lambda file: file.quarantine([event_id])))

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
        await self._wakes.until_over(self._writer.submit(Write(lambda file: file.forget_departed(row_id))))

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
        await self._wakes.until_over(self._writer.submit(_binding(installation)))

    def bind_now(self, installation: str) -> None:
        """Do what `bind` does, and wait for it."""
        self._do_now(_binding(installation))

    def move_now(self, installation: str) -> None:
        """Give the events to another installation, as those of a new producer. Raises SpoolError."""
        self._do_now(Write(lambda file: file.move(installation), urgent=True))

    def has_something_to_tell(self) -> bool:
        """Whether the rater has not had everything, or does not know that it has."""
        return bool(self._file.waiting_count or not self._file.stopped or self.departed())

    def note_stopped(self, *, stopped: bool) -> None:
        """Remember, as soon as the disk takes it, whether the rater was told that nothing more will come."""

        def apply(file: SpoolFile) -> None:
            file.stopped = stopped

        self._writer.submit(Write(apply))

    async def touch(self) -> None:
        """Write something, to see whether the disk takes it. Raises SpoolError."""
        await self._wakes.until_over(self._writer.submit(Write(SpoolFile.put_producer, urgent=True)))

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
            self._writer.stop()
            with self._lock:
                try:
                    remove = remove and not self._file.waiting_count
                    keep = remove and self._file.holds_quarantined()
                    self._file.close()
                except sqlite3.Error as error:
                    # Whatever it is, the claim must not be kept: nobody could have the file any more.
                    self._claim.release()
                    raise SpoolError(f"the spool can't be closed: {error}") from error
                self._claim.release(remove=remove, keep=keep)

    def _reading[T](self, read: Callable[[SpoolFile], T]) -> T:
        with self._lock:
            try:
                return self._with_file(read)
            except sqlite3.Error as error:
                raise SpoolError(f"the spool can't be read: {error}") from error

    def _do_now(self, change: Write) -> None:
        """Have the writer do something, and wait for it: the loop can't call the writer meanwhile."""
        self._writer.submit(change)
        self._writer.call()
        self._wakes.block_until_over(change)

    def _tell(self, changes: Sequence[Write], error: SpoolError | None) -> None:
        """Tell those who wait that changes are on disk, or have failed."""
        for change in changes:
            if change.closes is not None and change.closes_if_failed == (error is not None):
                self._open.pop(change.closes, None)
        self._wakes.end(changes, error)

    def _run(self, changes: Sequence[Write]) -> None:
        def apply(file: SpoolFile) -> int:
            with file.transaction():
                for change in changes:
                    change.apply(file)
                return file.bytes_used()

        with self._lock:
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


def _binding(installation: str) -> Write:
    return Write(lambda file: file.bind(installation), urgent=True)


def _spooled(row_id: int, record: Record) -> SpooledEvent:
    return SpooledEvent(row_id, record.producer_id, record.number, record.content)


def _fitting(events: Sequence[SpooledEvent], bytes_max: int) -> int:
    """Count how many events from the first on fit; at least one."""
    sizes = itertools.accumulate(len(event.event) for event in events)
    return max(1, sum(1 for size in sizes if size <= bytes_max))
