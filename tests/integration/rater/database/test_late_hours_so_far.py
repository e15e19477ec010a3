"""The migration that finds the late hours of a database that was rated before there were any marks."""

from importlib import import_module
from pathlib import Path

import pytest

from rater_service.rating.late_usage import find_late_hours
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

(MIGRATION,) = (
    text
    for folder in import_module("rater_service.migrations.versions").__path__
    for text in Path(folder).glob("*_late_hours_so_far/late_hours_so_far.sql")
)
EARLIER = HOUR - ONE_HOUR


async def migrate_again(ledger: Ledger) -> list[tuple[object, int | None, int]]:
    """Take away what is known of hours, as if an earlier version had rated, and migrate."""
    await ledger.pool.execute("TRUNCATE rated_hour, touched_hour")
    await ledger.pool.execute(MIGRATION.read_text())
    async with ledger.pool.acquire() as connection:
        return [(late.hour, late.run, late.events) for late in await find_late_hours(connection)]


async def test_what_was_rated_is_not_late_and_what_was_not_is(ledger: Ledger) -> None:
    await ledger.store(make_event(EARLIER), make_event(), make_event())
    await ledger.rate()
    assert await migrate_again(ledger) == [(EARLIER, None, 1)]
    await ledger.rate(EARLIER)
    assert await migrate_again(ledger) == []


@pytest.mark.parametrize("dry_run", [False, True])
async def test_usage_that_was_stored_after_the_run_is_late(ledger: Ledger, dry_run: bool) -> None:
    await ledger.store(make_event(), make_event())
    await ledger.rate()
    await ledger.store(make_event(auth_id="bob"))
    await ledger.pool.execute("UPDATE hourly_usage SET last_stored_at = now() WHERE auth_id = 'bob'")
    if dry_run:
        await ledger.rate(dry_run=True)
    assert await migrate_again(ledger) == [(HOUR, 1, 1)]


async def test_usage_that_was_stored_just_before_the_run_is_not_late_if_the_run_counted_it(
    ledger: Ledger,
) -> None:
    await ledger.store(make_event(EARLIER), make_event())
    await ledger.rate(EARLIER, HOUR + ONE_HOUR)
    await ledger.pool.execute("UPDATE hourly_usage SET last_stored_at = now()")
    assert await migrate_again(ledger) == []


async def test_it_leaves_no_mark_that_a_batch_would_wait_for(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await migrate_again(ledger)
    assert await ledger.pool.fetchval("SELECT max(touched_in) < '2001-01-01' FROM touched_hour")
