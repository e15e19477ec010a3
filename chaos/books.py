"""The books: what is in the rater's database in the end, and what is in one that got all in another order."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

import asyncpg

from chaos.ledger import Ledger, Rollup, Stamp, StoredEvent
from chaos.rating import DrawnWindow
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.audit.audit import AuditRequest, audit
from rater_service.database.database import Pool, open_pool
from rater_service.events.store import store_events
from rater_service.prices.load import load_price_file
from rater_service.rating.rating import rate_window
from rater_service.rating.run import RateRequest
from rig.programs import PRICES

BATCH_EVENTS_MAX = 7


_ORDER = "ORDER BY auth_id, resource_id, model_id, window_start"


async def read_ledger(url: str) -> Ledger:
    """Read all of a database."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            events = await connection.fetch(f"SELECT {_columns(StoredEvent)} FROM billing_event")
            rejected = await connection.fetch("SELECT kind, reason FROM rejected_event")
            rollups = await connection.fetch(f"SELECT {_columns(Rollup)} FROM rated_usage {_ORDER}")
            stamps = await connection.fetch(f"SELECT {_columns(Stamp)} FROM rated_usage {_ORDER}")
    finally:
        await connection.close()
    return Ledger(
        tuple(StoredEvent(**_plain(row)) for row in events),
        tuple(f"{row['kind']}: {row['reason']}" for row in rejected),
        tuple(Rollup(**_plain(row)) for row in rollups),
        tuple(Stamp(**_plain(row)) for row in stamps),
    )


async def find_differences(url: str, now: datetime) -> list[str]:
    """Audit a database, as `phoebe audit` does; gives the differences, in words."""
    async with open_pool(url) as pool:
        result = await audit(pool, AuditRequest(None, None, None), now, lambda *_: None)
    return [
        f"{difference.kind}: {difference.subject}: {difference.detail}"
        for difference in result.findings.differences
    ]


async def store_in_other_order(
    url: str, events: Iterable[MeteringEvent], order_seed: int, window: DrawnWindow, now: datetime
) -> Ledger:
    """Store events in an empty database in an order of their own, some of them twice, and rate them.

    The window is rated in between, too. Returns what is in the database then.
    """
    random = Random(order_seed)
    shuffled = sorted(events, key=lambda event: event.request_id)
    shuffled += random.sample(shuffled, len(shuffled) // 4)
    random.shuffle(shuffled)
    request = RateRequest(window.start, window.end, "the books")
    async with open_pool(url) as pool:
        await _load_prices(pool)
        for batch in _cut(shuffled, random):
            await store_events(pool, batch, now)
            if random.random() < 0.2:
                await rate_window(pool, request, now)
        await rate_window(pool, request, now)
    return await read_ledger(url)


def _cut(events: Sequence[MeteringEvent], random: Random) -> Iterable[Sequence[MeteringEvent]]:
    start = 0
    while start < len(events):
        end = start + random.randint(1, BATCH_EVENTS_MAX)
        yield events[start:end]
        start = end


async def _load_prices(pool: Pool) -> None:
    async with pool.acquire() as connection:
        await load_price_file(connection, PRICES.read_bytes(), str(PRICES), "the books")


def _columns(row: type) -> str:
    return ", ".join(row.__slots__)  # type: ignore[attr-defined]


def _plain(row: asyncpg.Record) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}
