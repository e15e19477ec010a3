"""The service rates by itself: what was missed, once for all services, and again when it failed."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rater_service.database.database import Pool
from rater_service.rating.run import Mode
from rater_service.rating.schedule import RatingSchedule
from rater_service.service import scheduled_rating
from rater_service.service.metrics import Metrics
from rater_service.service.rating_queue import RatingQueue
from rater_service.service.scheduled_rating import ScheduledRating
from rater_service.service.server import running_server
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.served_rater import served_rater
from tests.harness.waiting import until_told

pytestmark = pytest.mark.one_postgres

HOURLY = RatingSchedule(ONE_HOUR)


class Clock:
    """A clock that a test sets."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduled_rating, "RETRY_S", 0.02)


@asynccontextmanager
async def rating(pool: Pool, clock: Clock, metrics: Metrics | None = None) -> AsyncIterator[None]:
    """A service's rating by itself, as long as the context lasts."""
    queue = RatingQueue(pool, metrics or Metrics(), clock)
    task = asyncio.create_task(ScheduledRating(pool, queue, HOURLY, clock).keep_rating())
    try:
        yield
    finally:
        assert not task.done()
        task.cancel()


async def runs(pool: Pool, count: int) -> None:
    """Wait until so many runs are kept."""

    async def kept() -> bool:
        return bool(await pool.fetchval("SELECT count(*) = $1 FROM rating_run", count))

    await until_told(kept)


async def test_the_trailing_24_complete_hours_are_rated_at_once_and_after_every_hour(ledger: Ledger) -> None:
    clock = Clock(datetime.now(UTC))
    slot = HOURLY.slot(clock.now)
    await ledger.store(make_event(slot - timedelta(minutes=1)), make_event(slot - 25 * ONE_HOUR))
    metrics = Metrics()
    async with rating(ledger.pool, clock, metrics):
        await runs(ledger.pool, 2)  # one over the hour before the window, to which usage came late
        clock.now += ONE_HOUR
        await runs(ledger.pool, 3)
    kept = await ledger.pool.fetch("SELECT * FROM rating_run WHERE id <> 2 ORDER BY id")
    end = slot.replace(minute=0)
    assert [(run["window_start"], run["window_end"]) for run in kept] == [
        (end - 24 * ONE_HOUR, end),
        (end - 23 * ONE_HOUR, end + ONE_HOUR),
    ]
    assert [(run["mode"], run["requested_by"], run["events_rated"]) for run in kept] == [
        ("ROUTINE", "serve --rate-every hour", 1)
    ] * 2
    ended = "phoebe_rating_last_success_timestamp_seconds", {"mode": "routine"}
    finished = kept[1]["finished_at"].timestamp()

    await metrics.refresh(ledger.pool)
    assert metrics.registry.get_sample_value(*ended) == finished


async def test_what_another_service_has_done_is_not_done_again(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    now = datetime.now(UTC)
    async with rating(ledger.pool, Clock(now)):
        await runs(ledger.pool, 1)
    async with rating(ledger.pool, Clock(now)):

        async def told() -> bool:
            return "is done: run 1" in caplog.text

        await until_told(told)
    assert await ledger.pool.fetchval("SELECT count(*) FROM rating_run") == 1


@pytest.mark.parametrize("other", ["dry", "backfill", "earlier", "elsewhere"])
async def test_another_kind_of_run_does_not_count_as_done(ledger: Ledger, other: str) -> None:
    now = datetime.now(UTC)
    slot = HOURLY.slot(now)
    end = slot.replace(minute=0)
    await ledger.rate(
        end - (24 if other != "elsewhere" else 23) * ONE_HOUR,
        end,
        now=HOURLY.due(slot) - timedelta(seconds=1) if other == "earlier" else now,
        mode=Mode.BACKFILL if other == "backfill" else Mode.ROUTINE,
        dry_run=other == "dry",
    )
    async with rating(ledger.pool, Clock(now)):
        await runs(ledger.pool, 2)


async def test_services_that_start_at_once_bill_once(ledger: Ledger) -> None:
    now = datetime.now(UTC)
    await ledger.store(make_event(HOURLY.slot(now) - timedelta(minutes=1)))

    async def billed() -> bool:
        return bool(await ledger.rollups())

    async with rating(ledger.pool, Clock(now)), rating(ledger.pool, Clock(now)):
        await until_told(billed)
    assert len(await ledger.changes()) == 1


async def test_a_run_that_fails_is_logged_and_tried_again(
    pool: Pool, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()

    async def failed() -> bool:
        labels = {"mode": "routine", "result": "failed"}
        return (metrics.registry.get_sample_value("phoebe_rating_runs_total", labels) or 0) >= 2

    async with rating(pool, Clock(datetime.now(UTC)), metrics):
        await until_told(failed)
        assert "no price file was ever loaded" in caplog.text
        await Ledger(pool).load(PRICES)
        await runs(pool, 1)


async def test_hours_between_runs_that_no_run_rated_are_made_up_for(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await ledger.rate()
    await ledger.store(make_event(HOUR + 2 * ONE_HOUR))
    async with rating(ledger.pool, Clock(HOUR + 49 * ONE_HOUR)):
        await runs(ledger.pool, 3)
    assert "late usage along, 2026-11-20T12:00:00Z to 2026-11-20T13:00:00Z: 1 event in all" in caplog.text


async def test_a_service_rates_by_itself_only_if_told_to(ledger: Ledger) -> None:
    for schedule, expected in ((None, 0), (HOURLY, 1)):
        async with running_server(ledger.pool, "127.0.0.1:0", asyncio.Event(), rating=schedule):
            await runs(ledger.pool, expected)


async def test_the_command_line_turns_it_on(ledger: Ledger, database_url: str, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": database_url, "PHOEBE_RATE_EVERY": "15m"}
    async with served_rater(tmp_path, environment, "--rate-delay", "0") as rater:
        await runs(ledger.pool, 1)
        rater.process.terminate()
        assert await rater.running.ended() == 0
    kept = await ledger.pool.fetchval("SELECT requested_by FROM rating_run")
    assert kept == "serve --rate-every 15m"
