"""Which windows can be rated, and what is kept of a run."""

from datetime import timedelta

import asyncpg
import pytest

from rater_service.database.database import Pool, open_pool
from rater_service.errors import NoPriceBookError
from rater_service.hours import InvalidWindow
from rater_service.rating.rating import rate_window
from rater_service.rating.run import RateRequest
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

INVALID_WINDOWS = [
    (timedelta(minutes=1), ONE_HOUR, "window_start"),
    (timedelta(0), timedelta(minutes=59, seconds=59), "window_end"),
    (timedelta(0), timedelta(0), "window_end"),
    (ONE_HOUR, timedelta(0), "window_end"),
    (timedelta(days=-31), ONE_HOUR, "window_end"),
    (timedelta(0), 3 * ONE_HOUR, "window_end"),
]


async def test_an_invalid_window_is_refused_and_nothing_is_touched(
    ledger: Ledger, subtests: pytest.Subtests
) -> None:
    await ledger.store(make_event())
    now = HOUR + ONE_HOUR + timedelta(minutes=59)
    for start, end, field in INVALID_WINDOWS:
        with subtests.test(f"{start} to {end}"):
            with pytest.raises(InvalidWindow) as refused:
                await ledger.rate(start=HOUR + start, end=HOUR + end, now=now)
            assert refused.value.field == field
            assert await ledger.rollups() == []
            assert await ledger.pool.fetchval("SELECT count(*) FROM rating_run") == 0


@pytest.mark.parametrize("minutes", [0, 1, 59])
async def test_the_running_hour_can_be_rated_and_is_open(ledger: Ledger, minutes: int) -> None:
    now = HOUR + timedelta(minutes=minutes)
    assert (await ledger.rate(now=now)).window_open
    assert not (await ledger.rate(start=HOUR - ONE_HOUR, now=now)).window_open
    assert not (await ledger.rate(now=HOUR + ONE_HOUR)).window_open


async def test_31_days_can_be_rated_at_once(ledger: Ledger) -> None:
    start = HOUR - timedelta(days=31)
    await ledger.store(make_event(start), make_event(HOUR - ONE_HOUR), make_event(HOUR))
    assert (await ledger.rate(start=start, end=HOUR)).events_rated == 2


async def test_without_a_price_book_nothing_is_rated(pool: Pool) -> None:
    with pytest.raises(NoPriceBookError):
        await rate_window(pool, RateRequest(HOUR, HOUR + ONE_HOUR, "a test"), HOUR + ONE_HOUR)
    assert await pool.fetchval("SELECT count(*) FROM rating_run") == 0


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns", "UTC"])
async def test_the_time_zone_of_the_session_does_not_matter(
    ledger: Ledger, database_url: str, zone: str
) -> None:
    await ledger.pool.execute(
        f"ALTER ROLE CURRENT_USER IN DATABASE {await ledger.pool.fetchval('SELECT current_database()')}"
        f" SET timezone = '{zone}'"
    )
    async with open_pool(database_url) as pool:
        there = Ledger(pool)
        await there.store(make_event(HOUR + timedelta(minutes=29)), make_event(HOUR + timedelta(minutes=31)))
        assert await pool.fetchval("SHOW timezone") == zone
        await there.rate()
        (row,) = await there.rollups()
    assert (row["window_start"], row["event_count"]) == (HOUR, 2)


async def test_a_failing_run_leaves_everything_as_it_was(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    before = await ledger.rollups()
    await ledger.store(make_event(), make_event(auth_id="bob"))
    await ledger.pool.execute("ALTER TABLE rated_usage ADD CONSTRAINT odd CHECK (auth_id <> 'bob')")
    with pytest.raises(asyncpg.CheckViolationError):
        await ledger.rate()
    assert await ledger.rollups() == before
    assert await ledger.pool.fetchval("SELECT count(*) FROM rating_run") == 1
