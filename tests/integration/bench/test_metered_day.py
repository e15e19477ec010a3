"""The day of events of the benchmarks, which take minutes: a small one is rated here, on today's schema."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.metered_day import HOURS, MeteredDay
from bench.rating import Rated, check
from tests.harness.served_rater import served_rater

pytestmark = pytest.mark.one_postgres

PRICES = Path(__file__).parents[3] / "demo" / "prices.yaml"


async def test_the_service_bills_what_the_events_of_the_day_make(tmp_path: Path, database_url: str) -> None:
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    day = MeteredDay(database_url, this_hour - timedelta(hours=HOURS), events_per_rollup=2)
    await day.load()
    async with served_rater(tmp_path, {"DATABASE_URL": database_url}, "--prices", str(PRICES)) as service:
        rated = Rated(day, f"127.0.0.1:{service.port}")
        try:
            await rated.rate()
            await check(rated)
        finally:
            await rated.close()
