"""What producers, the spools of addons, say of themselves, and which hours are incomplete for that reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from phoebe_runtime.counts import counted
from phoebe_runtime.durations import in_words
from rater_service.database.database import Connection, Pool
from rater_service.events.producer_status import StatusRow
from rater_service.events.proxy_names import proxy_in_words
from rater_service.hours import hour_of
from rater_service.statements import bound

INCOMPLETE_MAX = 100
# Producers report every 10 seconds, and their clocks are not the rater's: an hour that ended just now is not
# yet called incomplete.
SETTLING = timedelta(minutes=1)
# One that has not reported for so long has missed several times.
SILENT_AFTER = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Producer:
    """A producer as it was last heard of; times are UTC-aware.

    spooled_events: events it had that are not here. complete_until: every event before this is here, by the
    producer's own clock; None: it can't say. retired: an operator said that it will never come back;
    retired_at and retired_by tell of the last time one did. clock_skew: its clock less the rater's; None: not
    known. name: what people call its proxy; None: it never said. version: of Phoebe, of what sent its last
    word; None: it did not say.
    """

    producer_id: str
    first_seen: datetime
    last_seen: datetime
    last_seq: int
    spooled_events: int
    open_exchanges: int
    complete_until: datetime | None
    stopped: bool
    lost_rows: int
    retired: bool
    retired_at: datetime | None
    retired_by: str | None
    clock_skew: timedelta | None
    name: str | None
    version: str | None

    def silent_for(self, now: datetime) -> timedelta | None:
        """How long it has not been heard of, if it should have been; None: it should not, or was."""
        silent = now - self.last_seen
        return None if self.stopped or self.retired or silent < SILENT_AFTER else silent


@dataclass(frozen=True, slots=True)
class IncompleteProducer:
    """A producer that may still have events of a time that has passed; fields as in `Producer`."""

    producer_id: str
    complete_until: datetime | None
    spooled_events: int
    open_exchanges: int
    last_seen: datetime
    name: str | None = None

    def in_words(self, now: datetime) -> str:
        """Say who it is, since when it has been silent, and what it still has."""
        silent = now - self.last_seen
        heard = f"silent for {in_words(silent)}" if silent >= SILENT_AFTER else "heard of just now"
        has = (
            f"{counted(self.spooled_events, 'event')} in its spool, "
            f"{counted(self.open_exchanges, 'exchange')} under way"
        )
        return f"{proxy_in_words(self.producer_id, self.name)}: {heard}; {has}"


@dataclass(frozen=True, slots=True)
class IncompleteProducers:
    """The first of them, how many there are, and how many events and exchanges they all are known to have."""

    first: tuple[IncompleteProducer, ...] = ()
    count: int = 0
    events: int = 0


async def keep_status(
    connection: Connection, status: StatusRow, numbers: Iterable[tuple[str, int | None]], now: datetime
) -> None:
    """Keep a producer's status; to be called when the events that it came with are answered for.

    numbers: the producers of these events, "" for none, and their numbers, 0 or None for none.
    """
    brought = sum(
        producer_id == status.producer_id and 0 < (seq or 0) <= status.last_seq
        for producer_id, seq in numbers
    )
    await connection.execute(
        *bound(
            "events/keep_producer",
            producer_id=status.producer_id,
            first_seen=now,
            last_seen=now,
            last_seq=status.last_seq,
            spooled_events=max(status.spooled_events - brought, 0),
            open_exchanges=status.open_exchanges,
            complete_until=status.complete_until,
            stopped=status.stopped,
            lost_rows=status.lost_rows,
            clock_skew=status.clock_skew,
            name=status.name,
            version=status.version,
        )
    )


async def list_producers(pool: Pool) -> list[Producer]:
    """Read all producers that ever sent a status, those furthest behind first."""
    return [Producer(**row) for row in await pool.fetch(*bound("events/list_producers"))]


async def retire_producer(pool: Pool, producer_id: str, by: str, now: datetime) -> bool:
    """Note that a producer will never come back; it does if it reports again. False: no such producer."""
    retired = bound("events/retire_producer", producer_id=producer_id, retired_at=now, retired_by=by)
    return bool(await pool.fetchval(*retired))


async def incomplete_producers(
    connection: Connection, window_start: datetime, window_end: datetime, now: datetime
) -> IncompleteProducers:
    """Find the producers that may still have events for the window's complete hours.

    Which hours are complete is decided by the rater's clock; whether a producer sent all of theirs by its
    own, which also decided in which hour its events are.
    """
    complete = complete_hours_end(window_end, now)
    if complete <= window_start:
        return IncompleteProducers()
    rows = await connection.fetch(
        *bound("events/incomplete_producers", before=complete, limit=INCOMPLETE_MAX)
    )
    if not rows:
        return IncompleteProducers()
    return IncompleteProducers(tuple(map(_incomplete, rows)), rows[0]["producers"], rows[0]["events"])


def complete_hours_end(window_end: datetime, now: datetime) -> datetime:
    """Return the end of the window or, if that is earlier, of the last hour that has settled."""
    settled = now - SETTLING
    return min(window_end, hour_of(settled))


def _incomplete(row: asyncpg.Record) -> IncompleteProducer:
    return IncompleteProducer(
        producer_id=row["producer_id"],
        complete_until=row["complete_until"],
        spooled_events=row["spooled_events"],
        open_exchanges=row["open_exchanges"],
        last_seen=row["last_seen"],
        name=row["name"],
    )
