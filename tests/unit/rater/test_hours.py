"""Whole UTC hours, whatever the time zone of the moments."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from rater_service.hours import (
    HOUR,
    InvalidWindow,
    hour_of,
    is_whole_hour,
    require_whole_hour,
    require_window,
    trailing_window,
    utc_text,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
BERLIN = timezone(timedelta(hours=1))
INDIA = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize(
    "moment",
    [
        NOON,
        NOON + timedelta(microseconds=1),
        NOON + timedelta(minutes=59, seconds=59, microseconds=999_999),
        datetime(2026, 11, 20, 13, 30, tzinfo=BERLIN),
        datetime(2026, 11, 20, 17, 30, tzinfo=INDIA),
    ],
)
def test_a_moment_is_in_an_hour_of_utc(moment: datetime) -> None:
    assert hour_of(moment) == NOON
    assert hour_of(moment).tzinfo is UTC


@pytest.mark.parametrize(
    ("moment", "whole"),
    [
        (NOON, True),
        (datetime(2026, 11, 20, 17, 30, tzinfo=INDIA), True),
        (datetime(2026, 11, 20, 17, tzinfo=INDIA), False),
        (NOON + timedelta(microseconds=1), False),
        (NOON - timedelta(seconds=1), False),
    ],
)
def test_whether_an_hour_is_whole_is_decided_in_utc(moment: datetime, whole: bool) -> None:
    assert is_whole_hour(moment) is whole


def test_a_moment_that_is_no_whole_hour_is_refused_by_the_name_of_its_field() -> None:
    require_whole_hour("effective_from", NOON)
    with pytest.raises(InvalidWindow, match="effective_from must be a whole UTC hour") as refused:
        require_whole_hour("effective_from", NOON + timedelta(minutes=30))
    assert refused.value.field == "effective_from"


@pytest.mark.parametrize(
    ("start", "end"), [(None, None), (NOON, None), (None, NOON), (NOON, NOON + HOUR), (NOON - HOUR, NOON)]
)
def test_a_window_may_be_open_at_either_side(start: datetime | None, end: datetime | None) -> None:
    require_window(start, end)


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (NOON + timedelta(minutes=1), NOON + HOUR, "window_start"),
        (NOON, NOON + timedelta(minutes=61), "window_end"),
        (None, NOON + timedelta(seconds=1), "window_end"),
        (NOON, NOON, "window_end"),
        (NOON, NOON - HOUR, "window_end"),
    ],
)
def test_a_window_that_breaks_a_rule_names_the_bound_to_change(
    start: datetime | None, end: datetime | None, field: str
) -> None:
    with pytest.raises(InvalidWindow) as refused:
        require_window(start, end)
    assert refused.value.field == field


def test_the_trailing_window_is_the_24_hours_that_are_complete() -> None:
    assert trailing_window(NOON) == (NOON - 24 * HOUR, NOON)
    assert trailing_window(NOON + timedelta(minutes=59)) == (NOON - 24 * HOUR, NOON)
    assert trailing_window(datetime(2026, 11, 20, 13, 5, tzinfo=BERLIN)) == (NOON - 24 * HOUR, NOON)


def test_times_are_written_in_utc() -> None:
    assert utc_text(NOON) == "2026-11-20T12:00:00Z"
    assert utc_text(datetime(2026, 11, 20, 17, 30, tzinfo=INDIA)) == "2026-11-20T12:00:00Z"
    assert utc_text(NOON + timedelta(microseconds=5)) == "2026-11-20T12:00:00.000005Z"
