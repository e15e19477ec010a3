"""Erases a person from events: who it was, what the client called its requests, the engine's own words.

What is billed stays: no sum, bill or number of an event is touched, so the audit proves the same before and
after.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import asyncpg

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Connection, Pool
from rater_service.events.personal import PERSONAL, without_person
from rater_service.statements import bound

# Some tenths of a second, in which who sends one of these events again waits.
PAGE_EVENTS = 5_000
_PAGE_REJECTED = 500

type OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Person:
    """Whose events: by one of these."""

    user_id: str | None = None
    auth_id: str | None = None
    client_request_id: str | None = None

    @property
    def chosen_by(self) -> str:
        """By which of them."""
        (name,) = (name for name, value in asdict(self).items() if value is not None)
        return str(name)

    def is_of(self, event: MeteringEvent) -> bool:
        """Tell whether an event is this person's."""
        return any(
            value is not None and getattr(event, name) == value for name, value in asdict(self).items()
        )


@dataclass(frozen=True, slots=True)
class Erased:
    """How many stored events and how many kept aside; id: what it is kept as, None: nothing was done."""

    id: int | None
    events: int
    rejected: int


async def count_person(pool: Pool, person: Person, on_progress: OnProgress = lambda *_: None) -> Erased:
    """Count what would be erased. on_progress: told how many events were looked through and found."""
    events = rejected = looked = 0
    async with pool.acquire() as connection:
        after: UUID | None = None
        while (last := await _page_end(connection, after)) is not None:
            events += await _of_page(connection, "events/forget_count", person, after, last)
            looked, after = looked + PAGE_EVENTS, last
            on_progress(looked, events)
        number = 0
        while rows := await _rejected_page(connection, number):
            rejected += sum(_is_to_be_erased(person, row["event"]) for row in rows)
            number = rows[-1]["id"]
    return Erased(None, events, rejected)


async def erase_person(
    pool: Pool, person: Person, by: str, now: datetime, on_progress: OnProgress = lambda *_: None
) -> Erased:
    """Erase the person; cut short, it can be done again. now: UTC-aware, for the record."""
    begun = bound("events/begin_erasure", chosen_by=person.chosen_by, erased_by=by, erased_at=now)
    erasure: int = await pool.fetchval(*begun)
    events = looked = 0
    after: UUID | None = None
    async with pool.acquire() as connection:
        while (last := await _page_end(connection, after)) is not None:
            async with connection.transaction():
                found = await _of_page(
                    connection, "events/forget_events", person, after, last, erasure=erasure
                )
                await count_erasure(connection, erasure, events=found)
            events += found
            looked, after = looked + PAGE_EVENTS, last
            on_progress(looked, events)
        rejected = await _erase_rejected(connection, person, erasure)
        await count_erasure(connection, erasure, finished_at=now)
    return Erased(erasure, events, rejected)


async def _page_end(connection: Connection, after: UUID | None) -> UUID | None:
    row = await connection.fetchrow(*bound("events/forget_page", after=after, limit=PAGE_EVENTS))
    return None if row is None else row["last"]


async def _of_page(
    connection: Connection,
    name: str,
    person: Person,
    after: UUID | None,
    last: UUID,
    **more: object,
) -> int:
    row = await connection.fetchrow(*bound(name, after=after, last=last, **asdict(person), **more))
    assert row is not None
    return int(row["events"])


async def _rejected_page(connection: Connection, after: int) -> list[asyncpg.Record]:
    return await connection.fetch(*bound("events/forget_rejected_page", after=after, limit=_PAGE_REJECTED))


async def _erase_rejected(connection: Connection, person: Person, erasure: int) -> int:
    erased = number = 0
    while True:
        async with connection.transaction():
            rows = await _rejected_page(connection, number)
            if not rows:
                return erased
            number = rows[-1]["id"]
            its = [row for row in rows if _is_to_be_erased(person, row["event"])]
            for row in its:
                await _replace(connection, row)
            ids = [row["request_id"].lower() for row in its if row["request_id"]]
            await note_forgotten(connection, ids, erasure)
            await count_erasure(connection, erasure, rejected=len(its))
            erased += len(its)


def _is_to_be_erased(person: Person, event: bytes) -> bool:
    parsed = MeteringEvent.FromString(event)
    return person.is_of(parsed) and any(getattr(parsed, field) for field in PERSONAL)


async def _replace(connection: Connection, row: asyncpg.Record) -> None:
    rest = without_person(MeteringEvent.FromString(row["event"])).SerializeToString(deterministic=True)
    replaced = await connection.fetchval(*bound("events/forget_rejected", id=row["id"], event=rest))
    if replaced is None:
        await connection.execute(*bound("events/forget_rejected_twin", id=row["id"]))


async def note_forgotten(connection: Connection, request_ids: Sequence[str], erasure: int) -> None:
    """Note of which events the person was erased, so that none brings it back; ids in lower case."""
    await connection.execute(*bound("events/note_forgotten", request_ids=request_ids, erasure=erasure))


async def count_erasure(
    connection: Connection,
    erasure: int,
    *,
    events: int = 0,
    rejected: int = 0,
    finished_at: datetime | None = None,
) -> None:
    """Count what an erasure has erased so far. finished_at: UTC-aware, once it is done."""
    await connection.execute(
        *bound(
            "events/count_erasure",
            id=erasure,
            event_count=events,
            rejected_count=rejected,
            finished_at=finished_at,
        )
    )
