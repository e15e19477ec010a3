"""A database of the first release with a million events is migrated while events go on being stored."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from rater_service.database.database import Pool, open_pool
from rater_service.database.revisions import Extent, Revisions, load_revisions
from rater_service.database.schema import MigrationSettings, known_revisions, migrate
from rater_service.events.store import Fate, store_events
from tests.harness.later_revisions import write_revision
from tests.harness.ledger import HOUR, make_event

pytestmark = pytest.mark.scale

EVENTS = 1_000_000  # of 10,000 payers, so that there are many sums, too
STEPS = 20
# Columns of the first release: what its service goes on to write while the schema is expanded.
STORE = """
INSERT INTO billing_event
    (request_id, producer_id, producer_seq, auth_id, resource_id, model_id, prompt_tokens, completion_tokens,
     usage_found, outcome, streamed, event_time, stored_at, model_untrusted)
SELECT
    gen_random_uuid(), $1, $2 + n, 'auth-' || ($2 + n) % 10000, 'resource', 'model', 10, 5,
    true, 'completed', false, '2026-12-01'::timestamptz + n % 86400 * interval '1 second', now(), false
FROM generate_series(1, $3::bigint) AS n
"""
BATCH_EVENTS = 20
AFTERNOON = "event_time >= '2026-12-01 12:00Z'"


async def test_no_batch_waits_a_second_for_a_lock(empty_database_url: str, tmp_path: Path) -> None:
    known = known_revisions()
    await migrate(empty_database_url, revisions=Revisions(known.known[:1], known.folders))
    connection = await asyncpg.connect(empty_database_url)
    for step in range(STEPS):
        await connection.execute(STORE, "before", step * EVENTS // STEPS, EVENTS // STEPS, timeout=600)
    async with storing_on(empty_database_url, store_as_before) as stored_before:
        result = await migrate(empty_database_url, MigrationSettings(Extent.EXPAND))
        assert result.before == "0001"
    async with storing_on(empty_database_url, store_as_now) as stored:
        result = await migrate(empty_database_url)
        assert result.after == known.known[-1].id
        already = len(stored)
        await migrate(empty_database_url, revisions=with_long_work(tmp_path))
        # A revision that kept all batches waiting would let one pass, the one that was under way.
        assert len(stored) - already > 10
    events = EVENTS + sum(stored_before) + sum(stored)
    assert await connection.fetchval("SELECT count(*) FROM billing_event") == events
    assert await connection.fetchval("SELECT sum(event_count) FROM hourly_usage") == events
    filled = f"SELECT count(*) > 0 AND count(*) = count(later) FROM stored_event WHERE {AFTERNOON}"
    assert await connection.fetchval(filled)
    await connection.close()


def with_long_work(folder: Path) -> Revisions:
    """Add what later revisions may do: fill a column of many events, then make an index on it."""
    known = int(known_revisions().known[-1].id)
    # To hours after noon nothing is added meanwhile.
    some = f"SELECT request_id FROM stored_event WHERE later IS NULL AND {AFTERNOON} LIMIT $1"
    fill = f"UPDATE stored_event SET later = 'filled' WHERE request_id IN ({some})"
    write_revision(folder, known + 1, "ALTER TABLE stored_event ADD COLUMN later text")
    write_revision(folder, known + 2, "SELECT", prepare=f"fill(connection, {fill!r}, tell)")
    index = "make_index(connection, 'stored_event_later', 'stored_event', '(later)', tell)"
    write_revision(folder, known + 3, "SELECT", prepare=index)
    return load_revisions(folder)


async def store_as_before(pool: Pool, already: int) -> None:
    await pool.execute(STORE, "meanwhile", already, BATCH_EVENTS)


async def store_as_now(pool: Pool, _: int) -> None:
    results = await store_events(pool, [make_event() for _ in range(BATCH_EVENTS)], HOUR)
    assert {result.fate for result in results} == {Fate.STORED}


@asynccontextmanager
async def storing_on(url: str, store: Callable[[Pool, int], Awaitable[None]]) -> AsyncIterator[list[int]]:
    """Store batches one after the other, from one on; each is refused if it waits a second for a lock."""
    stored: list[int] = []
    begun, enough = asyncio.Event(), asyncio.Event()

    async def store_on(pool: Pool) -> None:
        while not enough.is_set():
            await store(pool, sum(stored))
            stored.append(BATCH_EVENTS)
            begun.set()

    async with open_pool(f"{url}&lock_timeout=1s") as pool, asyncio.TaskGroup() as batches:
        batches.create_task(store_on(pool))
        await begun.wait()
        yield stored
        enough.set()
