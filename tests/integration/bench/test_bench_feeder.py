"""The feeder of the benchmark `ingest`, with a real rater: it counts only what was stored."""

import pytest

from bench.batches import BATCH_EVENTS
from bench.errors import BenchError
from bench.feeder import TURN_BATCHES, WARM_UP_TURNS, feed, main
from rater_service.database.database import open_pool
from rater_service.database.revisions import Extent
from rater_service.database.schema import MigrationSettings, migrate
from tests.harness.rater import Rater

pytestmark = pytest.mark.one_postgres

COUNT = "SELECT count(*), count(DISTINCT request_id) FROM billing_event"


async def test_both_sides_store_every_event(rater: Rater, empty_database_url: str) -> None:
    await migrate(empty_database_url, MigrationSettings(Extent.EXPAND))
    (warm_up,) = await feed(f"127.0.0.1:{rater.port}", empty_database_url, rounds=0)
    async with open_pool(empty_database_url) as pool:
        stored = [tuple(await one.fetchrow(COUNT) or ()) for one in (rater.pool, pool)]
    assert warm_up.events == WARM_UP_TURNS * TURN_BATCHES * BATCH_EVENTS
    assert stored == [(warm_up.events, warm_up.events)] * 2
    assert min(warm_up.phoebe_s, warm_up.reference_s, warm_up.duplicates_s) > 0


async def test_a_rater_that_does_not_store_what_it_is_sent_ends_the_benchmark(
    rater: Rater, database_url: str
) -> None:
    # With one database for both sides, each stores what the other has stored already.
    await rater.pool.execute("DROP TRIGGER billing_event_unsummed ON stored_event")
    with pytest.raises(BenchError, match="did not answer every event as it should"):
        await feed(f"127.0.0.1:{rater.port}", database_url, rounds=0)


def test_a_feeder_that_can_not_reach_a_side_says_so_in_one_line() -> None:
    nowhere = ["--rater=127.0.0.1:1", "--reference=postgresql://nobody@127.0.0.1:1/none", "--rounds=1"]
    with pytest.raises(SystemExit) as ended:
        main(nowhere)
    assert str(ended.value.code).startswith("feeder failed: ")
