"""Whatever partitions there are, those that are made besides take every id of the time to come, once."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from rater_service.events.partitions import (
    DAY,
    WEEK,
    Partition,
    Width,
    day_partition,
    first_id,
    missing_partitions,
    week_partition,
)

MONDAY = datetime(2026, 12, 21, tzinfo=UTC)
moments = st.integers(0, 40 * 24 * 60).map(lambda minutes: MONDAY + timedelta(minutes=minutes))
default = Partition("billing_event_default", None, None, is_default=True)


@st.composite
def partitions_there(draw: st.DrawFn) -> list[Partition]:
    """Draw partitions of days and weeks that do not overlap, with gaps, around the new year."""
    there, day = [], MONDAY
    while day < MONDAY + 5 * WEEK:
        match draw(st.sampled_from(("none", "day", "week"))):
            case "week" if day.weekday() == 0:
                there.append(week_partition(day))
                day += WEEK
            case "day":
                there.append(day_partition(day))
                day += DAY
            case _:
                day += DAY
    return [*there, default]


def takers(partitions: list[Partition], moment: datetime) -> int:
    """Say how many partitions take an id of a moment, beside the default one."""
    wanted = first_id(moment)
    return sum(
        not one.is_default and one.lower_id <= wanted < one.upper_id  # type: ignore[operator] # bounded all
        for one in partitions
    )


@given(partitions_there(), st.sampled_from(Width), moments, st.integers(0, 20))
def test_every_moment_to_come_has_one_partition_and_none_that_is_over_is_made(
    there: list[Partition], width: Width, since: datetime, days: int
) -> None:
    until = since + days * DAY
    made = missing_partitions(there, width, since, until)
    moment = since
    while moment <= until:
        assert takers([*there, *made], moment) == 1
        moment += timedelta(hours=5)
    names = [one.name for one in (*there, *made)]
    assert len(names) == len(set(names))
    hours = [MONDAY - WEEK + hours * timedelta(hours=6) for hours in range(4 * 7 * 8)]
    assert all(takers([*there, *made], hour) <= 1 for hour in hours)
    assert all(one.upper_id is not None and one.upper_id > first_id(since) for one in made)
    assert missing_partitions([*there, *made], width, since, until) == []


@given(moments)
def test_without_others_weeks_are_whole(now: datetime) -> None:
    made = missing_partitions([default], Width.WEEK, now, now + 2 * WEEK)
    assert made == [week_partition(now + week * WEEK) for week in range(3)]
