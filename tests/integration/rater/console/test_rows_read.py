"""No page reads more rows than its sums need, however many rollups a month has: PostgreSQL counts them."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from bench.billed_month import BilledMonth
from bench.console_pages import pages_of
from rater_service.console.access import Sessions
from rater_service.console.app import Console, ConsoleSettings
from rater_service.console.json_calls import JsonCalls
from rater_service.database.database import Pool, open_pool
from rater_service.service.rating import RatingReads
from rater_service.service.reads import Reads
from tests.harness.ledger import HOUR

pytestmark = pytest.mark.one_postgres

NOW = HOUR + timedelta(days=8, minutes=20)
READ = """
SELECT
    CASE WHEN relname LIKE 'billing\\_event%' THEN 'billing_event' ELSE relname END AS table,
    sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_read, 0))::bigint AS rows
FROM pg_stat_user_tables
LEFT JOIN (
    SELECT relid, sum(idx_tup_read) AS idx_tup_read FROM pg_stat_user_indexes GROUP BY relid
) AS by_index USING (relid)
GROUP BY 1
"""


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Only one session, which can be told to tell what it counted."""
    async with open_pool(database_url, connections_max=1) as opened:
        yield opened


async def rows_read(pool: Pool) -> dict[str, int]:
    await pool.execute("SELECT pg_stat_force_next_flush()")
    return {row["table"]: row["rows"] for row in await pool.fetch(READ)}


async def test_pages_read_sums_and_no_events(database_url: str, pool: Pool) -> None:
    month = BilledMonth(database_url, NOW, customers=40, days=29)
    assert await month.load() > 40_000
    # Sums by the day are of 3,480 keys, by the month of 120, by the day of a model of about 1,100.
    # The window is November, and a day of October.
    by_day = {
        "usage by resource": 130,
        "usage by customer,model": 130,
        "overview": 130,
        "bill": 400,
        "search": 0,
    }
    page_number = await pool.fetchval("SELECT max(id) / 2 FROM rated_usage")
    settings = ConsoleSettings("an installation", None, secure=False, port=80)
    for name, address in pages_of(month, page_number).items():
        calls = JsonCalls(RatingReads(pool), None)
        application = Console(Reads(pool), Sessions(None), settings, calls, lambda: NOW).application()
        before = await rows_read(pool)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(application), base_url="http://console.test"
        ) as client:
            assert (await client.get(address)).status_code == 200, address
        after = await rows_read(pool)
        read = {table: after[table] - before.get(table, 0) for table in after}
        if name != "rollup":
            assert read["billing_event"] == 0, name
        # One by one they are read where they are listed, and where hours are no whole day.
        assert read["rated_usage"] <= 1_500, (name, read)
        assert read["rated_day"] <= by_day.get(name, 3_600), (name, read)
        assert read["rated_month"] + read["rated_model_day"] <= 6_000, (name, read)
