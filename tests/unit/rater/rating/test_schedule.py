"""When a service rates by itself."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rater_service.cli import main
from rater_service.hours import trailing_window
from rater_service.rating.schedule import RatingSchedule, parse_every

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

schedules = st.builds(
    RatingSchedule,
    st.integers(1, 1440).map(lambda minutes: timedelta(minutes=minutes)),
    st.integers(0, 3600).map(lambda seconds: timedelta(seconds=seconds)),
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("written", "minutes"), [("hour", 60), ("60m", 60), ("1m", 1), ("15m", 15), ("1440m", 1440)]
)
def test_an_interval_is_an_hour_or_minutes(written: str, minutes: int) -> None:
    assert parse_every(written) == minutes * MINUTE


@pytest.mark.parametrize(
    "written", ["", "0m", "1441m", "9999m", "99999m", "15", "m", "-5m", "1.5m", "Hour", "1h"]
)
def test_anything_else_is_no_interval(written: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        parse_every(written)


@given(schedules)
def test_an_interval_is_written_as_it_is_read(schedule: RatingSchedule) -> None:
    assert parse_every(schedule.words) == schedule.every


@pytest.mark.parametrize(
    ("now", "slot"),
    [
        (NOON + 2 * MINUTE, NOON),
        (NOON + 2 * MINUTE - timedelta(microseconds=1), NOON - 60 * MINUTE),
        (NOON + 61 * MINUTE, NOON),
        (NOON + 62 * MINUTE, NOON + 60 * MINUTE),
    ],
)
def test_a_run_is_due_some_time_after_the_hour(now: datetime, slot: datetime) -> None:
    assert RatingSchedule(60 * MINUTE, 2 * MINUTE).slot(now) == slot


@given(schedules, moments)
def test_at_every_moment_one_turn_is_the_last_that_is_due(schedule: RatingSchedule, now: datetime) -> None:
    slot = schedule.slot(now)
    assert schedule.due(slot) <= now < schedule.due(slot + schedule.every)
    assert now + schedule.until_next(now) == schedule.due(slot + schedule.every)
    assert schedule.slot(now + schedule.until_next(now)) == slot + schedule.every


@given(moments)
def test_the_trailing_window_is_the_24_complete_hours(now: datetime) -> None:
    start, end = trailing_window(now)
    assert end <= now < end + 60 * MINUTE
    assert end - start == timedelta(hours=24)
    assert (end.minute, end.second, end.microsecond) == (0, 0, 0)


def test_the_trailing_window_is_in_utc_whatever_the_zone_of_the_clock() -> None:
    kolkata = datetime.fromisoformat("2026-11-20T17:29:00+05:30")
    assert trailing_window(kolkata) == (NOON - timedelta(hours=25), NOON - timedelta(hours=1))


@pytest.mark.parametrize(
    "options", [["--rate-every", "day"], ["--rate-delay", "-1"], ["--rate-delay", "3601"]]
)
def test_the_command_line_refuses_another_schedule(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", *options]) == 1
    assert options[0] in capsys.readouterr().err
