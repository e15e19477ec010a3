"""Usage that came after the last run over its hour: every run names it, and routine runs rate it."""

import logging
import re
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from rater_service.database.database import Pool
from rater_service.rating.late_usage import find_late_hours
from rater_service.rating.rating import rate_window
from rater_service.rating.run import Mode, RateRequest, RateResult
from rater_service.statements import bound
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event, store_within
from tests.harness.plans import plan
from tests.harness.sums import moved

DAY = timedelta(days=1)
NOW = HOUR + 3 * DAY
COST = Decimal("0.000023")


async def rate_elsewhere(
    ledger: Ledger, mode: Mode = Mode.BACKFILL, *, now: datetime = NOW, dry_run: bool = False
) -> RateResult:
    """A run over an hour without events, long after HOUR."""
    return await ledger.rate(now - 2 * ONE_HOUR, now=now, mode=mode, dry_run=dry_run)


async def late(pool: Pool) -> list[tuple[datetime, int]]:
    async with pool.acquire() as connection:
        return [(one.hour, one.events) for one in await find_late_hours(connection)]


@pytest.fixture
async def rated(ledger: Ledger) -> Ledger:
    await ledger.store(make_event(), make_event(auth_id="bob"))
    await ledger.rate()
    return ledger


async def test_a_run_elsewhere_names_the_hour_whose_usage_came_late(
    rated: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await rated.store(make_event(auth_id="bob"), make_event(auth_id="bob"), make_event(auth_id="carol"))
    result = await rate_elsewhere(rated)
    (anomaly,) = result.anomalies
    assert (anomaly.reason, anomaly.events, anomaly.tokens, anomaly.hours) == ("LATE_USAGE", 3, 330, 1)
    assert (anomaly.first_hour, anomaly.last_hour) == (HOUR, HOUR)
    assert anomaly.advice == "phoebe rate --since 2026-11-20T10:00:00Z --until 2026-11-20T11:00:00Z"
    assert [(one.auth_id, one.events) for one in anomaly.offenders] == [("bob", 2), ("carol", 1)]
    (line,) = (record.message for record in caplog.records if record.levelno == logging.ERROR)
    assert "most of all auth_id 'bob'" in line
    assert line.endswith(f"in the hour 2026-11-20T10:00:00Z; next: {anomaly.advice}")


async def test_usage_of_the_hour_that_is_running_is_not_late(ledger: Ledger) -> None:
    await ledger.store(make_event(HOUR + timedelta(minutes=30)))
    result = await ledger.rate(HOUR - 5 * ONE_HOUR, now=HOUR + timedelta(minutes=59))
    assert (result.anomalies, result.late_runs) == ((), ())


async def test_an_hour_that_no_run_has_rated_is_named_too(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(HOUR + 5 * ONE_HOUR))
    (anomaly,) = (await rate_elsewhere(ledger)).anomalies
    assert (anomaly.reason, anomaly.events, anomaly.hours) == ("LATE_USAGE", 2, 2)
    assert (anomaly.first_hour, anomaly.last_hour) == (HOUR, HOUR + 5 * ONE_HOUR)
    assert anomaly.offenders[0].detail == "2026-11-20T10:00:00Z: no run has rated it"


async def test_the_command_that_is_named_settles_it(rated: Ledger) -> None:
    await rated.store(make_event())
    assert (await rate_elsewhere(rated)).anomalies
    await rated.rate(HOUR, now=NOW, mode=Mode.BACKFILL)
    assert (await rate_elsewhere(rated)).anomalies == ()


async def test_a_dry_run_settles_nothing_and_takes_nothing_along(rated: Ledger) -> None:
    await rated.store(make_event())
    await rated.rate(HOUR, now=NOW, mode=Mode.BACKFILL, dry_run=True)
    result = await rate_elsewhere(rated, Mode.ROUTINE, dry_run=True)
    assert ([anomaly.reason for anomaly in result.anomalies], result.late_runs) == (["LATE_USAGE"], ())


async def test_a_routine_run_rates_late_hours_in_runs_of_their_own_and_says_so(
    rated: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await rated.store(make_event(), make_event(HOUR + ONE_HOUR), make_event(HOUR + 4 * ONE_HOUR))
    with caplog.at_level(logging.INFO):
        result = await rate_elsewhere(rated, Mode.ROUTINE)
    assert result.anomalies == ()
    assert [(run.window_start, run.window_end, run.events_rated) for run in result.late_runs] == [
        (HOUR, HOUR + 2 * ONE_HOUR, 4),
        (HOUR + 4 * ONE_HOUR, HOUR + 5 * ONE_HOUR, 1),
    ]
    assert [run.run_id for run in result.all_runs()] == [2, 3, 4]
    assert sum(row["cost"] for row in await rated.rollups()) == 5 * COST
    said = [record.message for record in caplog.records if "late usage" in record.message]
    assert said[0] == (
        "run 3 took late usage along, 2026-11-20T10:00:00Z to 2026-11-20T12:00:00Z: 4 events in all, "
        "bills changed by 0.000046000 USD"
    )
    assert (await rate_elsewhere(rated, Mode.ROUTINE)).late_runs == ()


async def test_what_is_older_than_a_routine_run_takes_along_is_named(rated: Ledger) -> None:
    await rated.store(make_event(), make_event(HOUR - ONE_HOUR))
    request = RateRequest(NOW, NOW + ONE_HOUR, "a test", late_max=3 * DAY)
    result = await rate_window(rated.pool, request, NOW)
    assert [run.window_start for run in result.late_runs] == [HOUR]
    (anomaly,) = result.anomalies
    assert (anomaly.reason, anomaly.first_hour, anomaly.events) == ("LATE_USAGE", HOUR - ONE_HOUR, 1)


async def test_hours_of_which_events_are_gone_are_named_and_stay_on_the_bill(rated: Ledger) -> None:
    await rated.correct("DELETE FROM stored_event WHERE auth_id = 'bob'")
    await rated.store(make_event(HOUR + ONE_HOUR))

    result = await rate_elsewhere(rated, Mode.ROUTINE)

    assert [run.window_start for run in result.late_runs] == [HOUR + ONE_HOUR]
    assert [row["auth_id"] for row in await rated.rollups()] == ["alice", "bob", "alice"]
    (anomaly,) = result.anomalies
    assert (anomaly.reason, anomaly.events, anomaly.hours) == ("LATE_USAGE", 0, 1)
    assert [one.detail for one in anomaly.offenders] == ["2026-11-20T10:00:00Z: gone since run 1: 1 event"]
    assert anomaly.advice.startswith(
        "rated, and gone since: 1 event from 1 of the hours, first 2026-11-20T10"
    )
    assert anomaly.advice.endswith("phoebe rate --since 2026-11-20T10:00:00Z --until 2026-11-20T11:00:00Z")


async def test_hours_that_the_next_routine_run_rates_anyway_are_not_late(ledger: Ledger) -> None:
    await ledger.store(make_event())
    assert (await rate_elsewhere(ledger, now=HOUR + DAY)).anomalies == ()
    assert (await rate_elsewhere(ledger, now=HOUR + DAY + ONE_HOUR)).anomalies


async def test_a_batch_that_commits_after_a_run_took_its_snapshot_is_late(rated: Ledger, pool: Pool) -> None:
    """The mark of the hour was there before: neither the run nor the batch may take it for done."""
    async with pool.acquire() as slow, slow.transaction():
        await store_within(slow, make_event(auth_id="carol"))
        # The batch goes on while a run begins, ends, and is done.
        await rated.rate(HOUR, now=NOW, mode=Mode.BACKFILL)
        assert await late(pool) == []
    assert await late(pool) == [(HOUR, 1)]
    await rated.rate(HOUR, now=NOW, mode=Mode.BACKFILL)
    assert await late(pool) == []


async def test_marks_are_forgotten_once_every_batch_of_their_time_has_ended(rated: Ledger) -> None:
    """And not before: however often an hour is rated, a mark stays for half a day."""
    assert await rated.pool.fetchval("SELECT count(*) FROM touched_hour") == 1
    await rated.pool.execute(f"UPDATE touched_hour SET {moved('touched_in', '-14 hours')}")
    await rated.rate()
    assert await rated.pool.fetchval("SELECT count(*) FROM touched_hour") == 0
    await rated.store(make_event())
    assert await late(rated.pool) == [(HOUR, 1)]


async def test_marks_of_hours_that_no_run_rates_again_go_once_their_sums_are_rated(rated: Ledger) -> None:
    await rated.store(make_event(HOUR - ONE_HOUR), make_event(HOUR - 2 * ONE_HOUR))
    await rated.rate(HOUR - ONE_HOUR)
    await rated.pool.execute(f"UPDATE touched_hour SET {moved('touched_in', '-14 hours')}")

    await rated.rate(HOUR + 5 * ONE_HOUR, now=NOW, mode=Mode.BACKFILL)

    marked = await rated.pool.fetch("SELECT window_start FROM touched_hour")
    assert [row["window_start"] for row in marked] == [HOUR - 2 * ONE_HOUR]
    assert await late(rated.pool) == [(HOUR - 2 * ONE_HOUR, 1)]


@pytest.mark.every_postgres
@pytest.mark.parametrize(
    ("change", "events"),
    [
        ("UPDATE stored_event SET completion_tokens = 11 WHERE auth_id = 'bob'", 0),
        ("DELETE FROM stored_event WHERE auth_id = 'bob'", -1),
        ("DELETE FROM stored_event", -2),
        (
            f"UPDATE stored_event SET {moved('event_time', '-1 hour')} WHERE auth_id = 'bob'",
            -1,
        ),
    ],
)
async def test_events_that_somebody_changed_by_hand_make_their_hour_late(
    rated: Ledger, change: str, events: int
) -> None:
    await rated.correct(change)
    assert (await late(rated.pool))[-1] == (HOUR, events)
    for hour in (HOUR, HOUR - ONE_HOUR):
        await rated.rate(hour, now=NOW, mode=Mode.BACKFILL)
    assert await late(rated.pool) == []


async def test_late_hours_are_found_by_their_marks_and_the_sums_of_these_hours_alone(rated: Ledger) -> None:
    """However many hours and sums there are that nothing touched since they were rated."""
    await rated.force(
        "INSERT INTO hourly_usage SELECT made.*"
        " FROM hourly_usage AS h, generate_series(1, 400) AS n, generate_series(1, 20) AS a,"
        " jsonb_populate_record(h, jsonb_build_object("
        "'window_start', h.window_start - n * interval '1 hour', 'auth_id', a)) AS made"
        " WHERE h.auth_id = 'bob'"
    )
    await rated.pool.execute("ANALYZE hourly_usage")
    asked = bound(
        "rating/late_hours",
        since=None,
        before=NOW,
        except_from=None,
        except_until=None,
        ahead_from=None,
    )
    found = await plan(rated.pool, asked)
    # There are no cold sums here.
    assert not re.search(r"Seq Scan on hourly_usage\b", found)
    assert "hourly_usage_key" in found
