"""The revisions that count echoed names, on a database that the version before filled and goes on filling."""

from dataclasses import replace
from uuid import UUID

import asyncpg

from rater_service.database.database import open_pool
from rater_service.database.revisions import Extent
from rater_service.database.schema import MigrationSettings, known_revisions, migrate
from rater_service.events.hourly_usage import rebuild
from rater_service.events.store import store_events
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.sums import counted_sums, kept_sums

EVENTS_OF_BEFORE = 3


async def store_as_before(connection: asyncpg.Connection, number: int) -> None:
    """Store an event by the columns that the version before knows."""
    await connection.execute(
        "INSERT INTO billing_event (request_id, auth_id, resource_id, model_id, prompt_tokens,"
        " completion_tokens, usage_found, outcome, status_code, streamed, event_time, model_untrusted,"
        " part_count, usage_partial, stored_at) VALUES ($1, 'alice', 'deployment-1', 'meta/base-a', 100, 10,"
        " true, 'completed', 200, false, $2, false, 0, false, $2)",
        UUID(int=2**100 + number),
        HOUR,
    )


async def test_the_version_before_goes_on_and_what_is_marked_is_added(empty_database_url: str) -> None:
    known = known_revisions()
    ids = [revision.id for revision in known.known]
    await migrate(empty_database_url, revisions=replace(known, known=known.known[: ids.index("0017") + 1]))
    before = await asyncpg.connect(empty_database_url)
    try:
        await store_as_before(before, 0)
        files_before = await files_of(before)
        await migrate(empty_database_url, MigrationSettings(Extent.EXPAND))
        assert await files_of(before) == files_before, "rows were written again, while batches waited"
        for number in range(1, EVENTS_OF_BEFORE):
            await store_as_before(before, number)
    finally:
        await before.close()
    async with open_pool(empty_database_url) as pool:
        ledger = Ledger(pool)
        await ledger.load()
        marked = [
            make_event(HOUR, model_id=name, model_echoed=True) for name in ("meta/base-a", "meta/base-b")
        ]
        await store_events(pool, marked, HOUR)

        assert await kept_sums(pool) == await counted_sums(pool)
        assert (await rebuild(pool, None, None)).difference_count == 0
        result = await ledger.rate(HOUR, HOUR + ONE_HOUR)
        assert result.events_rated == EVENTS_OF_BEFORE + 2
        (echoed,) = [anomaly for anomaly in result.anomalies if anomaly.reason == "MODEL_ECHOED"]
        assert echoed.events == 2


async def files_of(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Where the rows stand: another file after they were rewritten."""
    return await connection.fetch(
        "SELECT relname, pg_relation_filenode(oid) FROM pg_class"
        " WHERE relname ~ '^(billing_event|hourly_usage)' AND relkind = 'r' ORDER BY 1"
    )
