"""Events whose times are wrong are named until their hour is rated; clocks that are wrong are named too."""

import logging
from datetime import datetime, timedelta

import pytest

from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.findings import Finding
from rater_service.database.clock import machine_skew
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import store_events
from rater_service.hours import InvalidWindow, utc_text
from rater_service.rating.rating import rate_window
from rater_service.rating.run import Anomaly, Mode, RateRequest, RateResult
from rater_service.service.clock_watch import ClockWatch
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

pytestmark = pytest.mark.one_postgres

NOW = HOUR + timedelta(minutes=30)
FAR = HOUR.replace(year=2099)
LONG_AGO = HOUR.replace(year=2005)


def status(
    producer_id: str = "spool-1", skew: timedelta | None = None, *, stopped: bool = False
) -> StatusRow:
    return StatusRow(producer_id, 0, 0, 0, HOUR.replace(year=2090), stopped, 0, skew)


async def heard(ledger: Ledger, said: StatusRow, at: datetime = NOW) -> None:
    await store_events(ledger.pool, [], at, said)


async def rate(ledger: Ledger, mode: Mode = Mode.ROUTINE, now: datetime = NOW) -> RateResult:
    """A run over the hour before now."""
    end = now.replace(minute=0)
    return await ledger.rate(end - ONE_HOUR, end, now=now, mode=mode)


async def named(ledger: Ledger, now: datetime = NOW) -> dict[str, Anomaly]:
    return {anomaly.reason: anomaly for anomaly in (await rate(ledger, now=now)).anomalies}


@pytest.mark.parametrize("mode", Mode)
async def test_an_event_far_ahead_is_named_by_every_run_with_its_producer(ledger: Ledger, mode: Mode) -> None:
    await ledger.store(
        make_event(FAR), make_event(FAR), make_event(NOW + 3 * ONE_HOUR, producer_id="spool-2")
    )
    (anomaly,) = (await rate(ledger, mode)).anomalies
    assert (anomaly.reason, anomaly.events, anomaly.tokens, anomaly.hours) == ("OUT_OF_TIME", 3, 330, 2)
    assert [(one.events, one.detail) for one in anomaly.offenders] == [
        (2, "producer spool-1: the hour 2099-11-20T10:00:00Z has not come"),
        (1, "producer spool-2: the hour 2026-11-20T13:00:00Z has not come"),
    ]
    assert anomaly.advice.endswith(
        "phoebe rate --since 2099-11-20T10:00:00Z --until 2099-11-20T11:00:00Z --ahead"
    )


@pytest.mark.parametrize(
    ("minutes", "is_out"), [(-5, False), (0, False), (59, False), (60, False), (61, True)]
)
async def test_an_hour_ahead_is_the_bound(ledger: Ledger, minutes: int, is_out: bool) -> None:
    await ledger.store(make_event(NOW + timedelta(minutes=minutes)))
    assert list(await named(ledger)) == ["OUT_OF_TIME"] * is_out


async def test_an_event_that_was_ahead_is_billed_when_its_hour_has_come(ledger: Ledger) -> None:
    await ledger.store(make_event(NOW + 3 * ONE_HOUR))
    assert list(await named(ledger)) == ["OUT_OF_TIME"]
    result = await rate(ledger, now=NOW + 4 * ONE_HOUR)
    assert (result.anomalies, result.events_rated) == ((), 1)


async def test_an_event_older_than_anything_its_producer_can_have_seen_is_named_apart_from_late_ones(
    ledger: Ledger,
) -> None:
    await heard(ledger, status())
    await ledger.store(make_event(LONG_AGO), make_event(LONG_AGO, producer_id="without-status"))
    found = await named(ledger)
    assert {reason: anomaly.events for reason, anomaly in found.items()} == {
        "OUT_OF_TIME": 1,
        "LATE_USAGE": 1,
    }
    (offender,) = found["OUT_OF_TIME"].offenders
    assert offender.detail == (
        "producer spool-1: the hour 2005-11-20T10:00:00Z is long before the producer was first heard of"
    )
    assert found["OUT_OF_TIME"].advice.endswith("--since 2005-11-20T10:00:00Z --until 2005-11-20T11:00:00Z")


async def test_what_a_spool_held_before_it_was_first_heard_of_is_late_and_not_out_of_time(
    ledger: Ledger,
) -> None:
    await heard(ledger, status())
    await ledger.store(make_event(NOW - timedelta(days=34)), make_event(NOW - timedelta(days=40)))
    result = await rate(ledger)
    assert [run.events_rated for run in result.late_runs] == [1]
    assert [anomaly.reason for anomaly in result.anomalies] == ["OUT_OF_TIME"]


@pytest.mark.parametrize("hour", [FAR, LONG_AGO])
async def test_rating_its_hour_on_purpose_settles_it(
    ledger: Ledger, database_url: str, hour: datetime
) -> None:
    await heard(ledger, status())
    await ledger.store(make_event(hour))
    command = (await named(ledger))["OUT_OF_TIME"].advice.rpartition("phoebe rate ")[2].split()
    request = RateRequest(hour, hour + ONE_HOUR, "a test", Mode.BACKFILL, ahead="--ahead" in command)
    assert command[:4] == ["--since", utc_text(hour), "--until", utc_text(hour + ONE_HOUR)]
    result = await rate_window(ledger.pool, request, NOW)
    assert (result.events_rated, result.anomalies) == (1, ())
    assert await named(ledger) == {}


@pytest.mark.parametrize("hour", [FAR, LONG_AGO])
async def test_what_comes_after_its_hour_was_rated_on_purpose_is_named_alone(
    ledger: Ledger, hour: datetime
) -> None:
    await heard(ledger, status())
    await ledger.store(make_event(hour), make_event(hour))
    await rate_window(
        ledger.pool, RateRequest(hour, hour + ONE_HOUR, "a test", Mode.BACKFILL, ahead=True), NOW
    )

    await ledger.store(make_event(hour))

    assert {reason: anomaly.events for reason, anomaly in (await named(ledger)).items()} == {"OUT_OF_TIME": 1}


async def test_late_usage_of_an_hour_with_settled_events_out_of_time_is_still_late(ledger: Ledger) -> None:
    await heard(ledger, status())
    await ledger.store(make_event(LONG_AGO), make_event(LONG_AGO))
    await rate_window(ledger.pool, RateRequest(LONG_AGO, LONG_AGO + ONE_HOUR, "a test", Mode.BACKFILL), NOW)

    await ledger.store(make_event(LONG_AGO, producer_id="without-status"))

    assert {reason: anomaly.events for reason, anomaly in (await named(ledger)).items()} == {"LATE_USAGE": 1}


async def test_an_hour_that_has_not_come_is_rated_only_on_purpose(ledger: Ledger, database_url: str) -> None:
    await ledger.store(make_event(FAR))
    with pytest.raises(InvalidWindow, match="running hour"):
        await rate_window(ledger.pool, RateRequest(FAR, FAR + ONE_HOUR, "a test"), NOW)


async def test_the_audit_of_any_day_names_what_no_run_has_seen(ledger: Ledger) -> None:
    await heard(ledger, status())
    await ledger.store(make_event(FAR), make_event(LONG_AGO), make_event(HOUR - timedelta(days=3)))
    day = AuditRequest(HOUR - timedelta(days=1), HOUR)
    result = await audit(ledger.pool, day, NOW)
    found = {one.kind: (one.subject, one.detail) for one in result.findings.differences}
    assert result.findings.difference_counts == {Finding.LATE_USAGE: 1, Finding.OUT_OF_TIME: 2}
    assert found[Finding.LATE_USAGE] == (
        "hour 2026-11-17T10:00:00Z",
        "1 event that no run has rated: "
        "phoebe rate --since 2026-11-17T10:00:00Z --until 2026-11-17T11:00:00Z",
    )
    assert "2099-11-20T10:00:00Z" in str(result.findings.differences)


async def test_clocks_that_are_more_than_a_minute_apart_are_named(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.now(NOW.tzinfo)
    await heard(ledger, status("slow", timedelta(seconds=-61)), now)
    await heard(ledger, status("fast", timedelta(seconds=6)), now)
    await heard(ledger, status("right", timedelta(seconds=4)), now)
    await heard(ledger, status("stopped", timedelta(days=1), stopped=True), now)
    await heard(ledger, status("gone", timedelta(days=1)), now - timedelta(days=2))
    found = await named(ledger)
    assert [one.detail for one in found["CLOCK_SKEW"].offenders] == [
        "the clock of producer slow is 61.0 s behind the rater's"
    ]
    warned = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == ["the clock of producer fast is 6.0 s ahead of the rater's: set it right, by NTP"]


async def test_the_raters_own_clock_is_compared_with_the_databases(ledger: Ledger) -> None:
    assert abs(await machine_skew(ledger.pool)) < timedelta(seconds=5)


def test_a_stream_tells_of_a_wrong_clock_once_and_again_when_it_gets_worse(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watch = ClockWatch()
    for seconds in (1, 7, 8, -90, -90, 7):
        watch.note(status(skew=timedelta(seconds=seconds)))
    assert [(record.levelname, record.message.partition(":")[0]) for record in caplog.records] == [
        ("WARNING", "the clock of producer 'spool-1' is 7.0 s ahead of the rater's"),
        ("ERROR", "the clock of producer 'spool-1' is 90.0 s behind the rater's"),
    ]
