from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from rater_service.prices.loadings import Loading, Plan, State, Timeline

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def loading(number: int, book: str, start: datetime | None, loaded_at: datetime | None = None) -> Loading:
    loaded_at = loaded_at or NOON - timedelta(days=10) + number * HOUR
    return Loading(number, book, f"{book}.yaml", loaded_at, "serve:alice@host-1", "phoebe", start)


FIRST = loading(1, "first", None)
SECOND = loading(2, "second", NOON)
THIRD = loading(3, "third", NOON + 5 * HOUR)
TIMELINE = Timeline([THIRD, FIRST, SECOND])


@pytest.mark.parametrize(
    ("now", "states", "in_force", "to_come"),
    [
        (NOON - HOUR, [State.IN_FORCE, State.TO_COME, State.TO_COME], FIRST, (SECOND, THIRD)),
        (NOON, [State.PAST, State.IN_FORCE, State.TO_COME], SECOND, (THIRD,)),
        (NOON + 5 * HOUR, [State.PAST, State.PAST, State.IN_FORCE], THIRD, ()),
    ],
)
def test_each_loading_is_in_force_until_the_next_one_is(
    now: datetime, states: list[State], in_force: Loading, to_come: tuple[Loading, ...]
) -> None:
    assert [TIMELINE.state(each, now) for each in TIMELINE.loadings] == states
    assert (TIMELINE.at(now), TIMELINE.to_come(now)) == (in_force, to_come)
    assert [TIMELINE.until(each) for each in TIMELINE.in_turn] == [NOON, NOON + 5 * HOUR, None]


def test_what_was_replaced_or_withdrawn_prices_no_hour() -> None:
    replaced = replace(SECOND, replaced_by=3)
    withdrawn = replace(THIRD, withdrawn_at=NOON, withdrawn_by="ops")
    timeline = Timeline([FIRST, replaced, withdrawn])

    assert timeline.in_turn == (FIRST,)
    assert [timeline.state(each, NOON) for each in timeline.loadings] == [
        State.IN_FORCE,
        State.REPLACED,
        State.WITHDRAWN,
    ]
    assert [timeline.overtaken_by(each) for each in timeline.loadings] == [None, 3, None]
    assert timeline.latest == withdrawn


def test_one_that_reaches_back_overtakes_those_that_start_later() -> None:
    back = loading(4, "back", NOON - HOUR)
    timeline = Timeline([FIRST, SECOND, THIRD, back])

    assert timeline.in_turn == (FIRST, back)
    assert timeline.state(SECOND, NOON) is State.REPLACED
    assert timeline.overtaken_by(SECOND) == 4
    assert timeline.overtaken_by(FIRST) is None


@pytest.mark.parametrize(
    ("loaded_at", "starts"),
    [
        (NOON, NOON + HOUR),
        (NOON + timedelta(seconds=1), NOON + HOUR),
        (NOON + HOUR - timedelta(microseconds=1), NOON + HOUR),
        (datetime(2026, 11, 20, 17, 45, tzinfo=timezone(timedelta(hours=5, minutes=30))), NOON + HOUR),
    ],
)
def test_a_book_comes_into_force_with_the_next_whole_utc_hour(loaded_at: datetime, starts: datetime) -> None:
    assert Timeline([FIRST]).plan("new", None, loaded_at) == Plan(starts, (), reaches_back=False)


def test_the_first_book_of_all_holds_from_the_beginning() -> None:
    assert Timeline([]).plan("new", None, NOON) == Plan(None, (), reaches_back=False)
    withdrawn = replace(FIRST, withdrawn_at=NOON, withdrawn_by="ops")
    assert Timeline([withdrawn]).plan("new", None, NOON) == Plan(None, (), reaches_back=False)


@pytest.mark.parametrize("loadings", [[], [FIRST]])
def test_a_new_book_that_names_its_hour_holds_from_then_even_if_it_is_past(loadings: list[Loading]) -> None:
    timeline = Timeline(loadings)

    assert timeline.plan("new", NOON - 5 * HOUR, NOON) == Plan(NOON - 5 * HOUR, (), reaches_back=True)
    assert timeline.plan("new", NOON, NOON) == Plan(NOON, (), reaches_back=True)
    assert timeline.plan("new", NOON + HOUR, NOON) == Plan(NOON + HOUR, (), reaches_back=False)


def test_a_book_that_was_loaded_before_never_reaches_back() -> None:
    timeline = Timeline([FIRST, SECOND])

    assert timeline.plan("first", NOON - 5 * HOUR, NOON) == Plan(NOON + HOUR, (), reaches_back=False)
    assert timeline.plan("first", NOON + 9 * HOUR, NOON) == Plan(NOON + 9 * HOUR, (), reaches_back=False)


def test_what_is_to_come_gives_way_whenever_the_new_one_is_in_force() -> None:
    for hour in (NOON - 3 * HOUR, NOON + 3 * HOUR, NOON + 9 * HOUR, None):
        assert TIMELINE.plan("new", hour, NOON).replaces == (THIRD,)
    assert TIMELINE.plan("new", None, NOON - HOUR).replaces == (SECOND, THIRD)


def test_what_version_0_1_0_loaded_last_is_told_by_its_time() -> None:
    early, late = (
        replace(loading(number, book, start, loaded_at=NOON + hours * HOUR), loaded_by=None, db_role=None)
        for number, book, start, hours in (
            (1, "now", NOON + 3 * HOUR, 2),
            (2, "december", NOON + 99 * HOUR, 1),
        )
    )

    assert Timeline([early, late]).latest == early
    assert Timeline([early, late, replace(THIRD, loaded_at=NOON)]).latest == replace(THIRD, loaded_at=NOON)
    beside = replace(early, number=4, loaded_at=NOON - HOUR)
    assert Timeline([early, late, THIRD, beside]).latest == beside
    assert "loaded 2026-11-20T14:00:00Z by version 0.1.0" in early.describe()


def test_the_outlook_says_what_is_in_force_and_what_is_to_come() -> None:
    assert Timeline([]).outlook(NOON) == ("in force: no price book", "to come: nothing")
    assert TIMELINE.outlook(NOON) == (
        "in force: book second (loading 2, second.yaml, loaded 2026-11-10T14:00:00Z by serve:alice@host-1 as "
        "phoebe), from 2026-11-20T12:00:00Z until 2026-11-20T17:00:00Z",
        "to come: book third (loading 3, third.yaml, loaded 2026-11-10T15:00:00Z by serve:alice@host-1 as "
        "phoebe), from 2026-11-20T17:00:00Z until further notice",
    )
    assert TIMELINE.outlook(NOON + 9 * HOUR)[1:] == ("to come: nothing",)


def test_an_hour_was_priced_by_the_loading_of_its_book_that_was_in_force_or_mended_it() -> None:
    again = loading(4, "first", NOON + 8 * HOUR)
    timeline = Timeline([FIRST, SECOND, replace(THIRD, withdrawn_at=NOON, withdrawn_by="ops"), again])

    assert timeline.pricing("first", NOON - HOUR, NOON) == FIRST
    assert timeline.pricing("first", NOON + 9 * HOUR, NOON) == again
    assert timeline.pricing("first", NOON, NOON) == again
    assert timeline.pricing("second", NOON - HOUR, NOON) == SECOND
    assert timeline.pricing("second", NOON + 9 * HOUR, NOON) == SECOND
    assert timeline.pricing("third", NOON, NOON).number == 3
    assert timeline.pricing("third", NOON, NOON - timedelta(days=99)).number == 3
