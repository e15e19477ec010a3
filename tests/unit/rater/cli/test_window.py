from datetime import UTC, datetime, timedelta

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from rater_service.cli.window import Window, parse_window


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc] # year, month, day and so on


@pytest.mark.parametrize(
    ("written", "start", "end"),
    [
        ("2026-12-01", at(2026, 12, 1), at(2026, 12, 2)),
        ("2026-12", at(2026, 12, 1), at(2027, 1, 1)),
        ("2024-02", at(2024, 2, 1), at(2024, 3, 1)),
        ("2026-12-01T05:00Z/2026-12-01T06:00Z", at(2026, 12, 1, 5), at(2026, 12, 1, 6)),
        ("2026-12-01/2026-12-08", at(2026, 12, 1), at(2026, 12, 8)),
        ("2026-12-01T01:00+01:00/2026-12-01T03:00+02:00", at(2026, 12, 1), at(2026, 12, 1, 1)),
    ],
)
def test_days_months_and_pairs_of_hours_are_windows(written: str, start: datetime, end: datetime) -> None:
    assert parse_window(written) == Window(start, end)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("yesterday", "is not a window"),
        ("2026-13", "is not a window"),
        ("2026-12-01T05:00Z", "is not a window"),
        ("2026-12-01/", "is not a window"),
        ("9999-12", "is not a window"),
        ("2026-12-01T05:30Z/2026-12-01T06:00Z", "whole UTC hours"),
        ("2026-12-02/2026-12-01", "after the start"),
    ],
)
def test_anything_else_is_refused_with_how_to_write_it(written: str, said: str) -> None:
    with pytest.raises(typer.BadParameter, match=said):
        parse_window(written)


@given(st.datetimes(at(2000, 1, 1).replace(tzinfo=None), at(2090, 1, 1).replace(tzinfo=None)))
def test_the_months_of_all_years_follow_each_other_without_gaps(moment: datetime) -> None:
    window = parse_window(f"{moment:%Y-%m}")
    start, end = window.start, window.end

    assert start <= moment.replace(tzinfo=UTC) < end
    assert parse_window(f"{end:%Y-%m}").start == end
    assert timedelta(days=28) <= end - start <= timedelta(days=31)
