"""Hours that are as a run would leave them are not computed, and nothing that is to be said is left out."""

from datetime import datetime
from decimal import Decimal

import pytest

from rater_service.rating.run import Mode
from rater_service.rating.unchanged import part_to_compute, read_hours
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.unchanged_hours import compare

pytestmark = pytest.mark.one_postgres

HOURS = [HOUR + number * ONE_HOUR for number in range(18)]
DAY = (HOUR, HOUR + 24 * ONE_HOUR)
NOW = HOUR + 25 * ONE_HOUR
COST = Decimal("0.000023")

USAGE: tuple[dict[str, object], ...] = (
    {},
    {"auth_id": "eve"},
    {"auth_id": None},
    {"resource_id": None},
    {"model_id": None},
    {"model_id": "nobody/knows"},
    {"model_untrusted": True},
    {"usage_found": False},
    {"usage_found": False, "outcome": "aborted", "answer_bytes": 9},
    {"usage_found": False, "outcome": "aborted", "auth_id": None},
    {"usage_found": False, "outcome": "aborted", "resource_id": None},
    {"prompt_tokens": None, "cached_tokens": None},
    {"cached_tokens": 101},
    {"model_echoed": True},
    {"prompt_tokens": 2**53, "completion_tokens": 2**53},
    {"auth_id": "bob", "model_id": "ft:x", "base_model": "meta/base-b"},
    {"auth_id": "bob", "model_id": "ft:x", "base_model": None},
)
TAMPERING = (
    "UPDATE rated_usage SET event_count = 2 WHERE {hour}",
    "UPDATE rated_usage SET prompt_tokens = 900 WHERE {hour}",
    "UPDATE rated_usage SET base_model = 'x' WHERE {hour}",
    "UPDATE rated_usage SET id = DEFAULT WHERE {hour}",
    "UPDATE rated_usage SET applied_cached_rate = 0, applied_prompt_rate = 0,"
    " cost = completion_tokens * applied_completion_rate WHERE {hour}",
    "UPDATE rated_usage SET auth_id = 'eve' WHERE {hour} AND auth_id = 'alice'",
    "DELETE FROM rated_usage WHERE {hour}",
    "UPDATE rated_usage SET window_start = window_start + interval '20 hours',"
    " window_end = window_end + interval '20 hours' WHERE {hour} AND auth_id = 'alice'",
    "UPDATE hourly_usage SET completion_tokens = completion_tokens + 1 WHERE {hour} AND usage_found",
    "UPDATE hourly_usage SET base_model = 'x' WHERE {hour} AND auth_id = 'alice' AND usage_found",
    "DELETE FROM hourly_usage WHERE {hour} AND auth_id = 'bob'",
    "UPDATE hourly_usage SET event_count = event_count + 1 WHERE {hour} AND usage_found",
    "DELETE FROM rated_usage_change WHERE {hour} AND auth_id = 'bob'",
    "UPDATE rated_usage_change SET new_event_count = 3 WHERE {hour} AND auth_id = 'bob'",
)


@pytest.fixture
async def billed(ledger: Ledger) -> Ledger:
    """Eighteen of the hours of a day with usage that is billed, and some that is free."""
    for hour in HOURS:
        await ledger.store(
            make_event(hour),
            make_event(hour, auth_id="bob", model_id="ft:x", base_model="meta/base-a"),
            make_event(hour, auth_id="bob", model_id="ft:x", base_model="meta/base-a"),
            make_event(hour, usage_found=False, outcome="aborted"),
            make_event(hour, usage_found=False, outcome="upstream_error", model_id=None),
        )
    await ledger.rate(*DAY, now=NOW)
    return ledger


async def changed(ledger: Ledger) -> list[datetime]:
    """Return the hours that a run would compute, and compare what comes of it with computing all of them."""
    (await compare(ledger.pool, *DAY)).hold()
    async with ledger.pool.acquire() as connection:
        hours = await read_hours(connection, DAY)
    rest = [held.hour for held in hours if not held.is_unchanged]
    assert part_to_compute(hours) == ((rest[0], rest[-1] + ONE_HOUR) if rest else None)
    return rest


async def test_a_day_as_it_was_left_is_not_computed_and_counted_all_the_same(billed: Ledger) -> None:
    assert await changed(billed) == []
    result = await billed.rate(*DAY, now=NOW)
    assert (result.events_in_window, result.events_rated, result.zero_charge_events) == (90, 54, 36)
    assert (result.rollups_unchanged, result.rollups_written) == (36, 0)
    assert result.anomalies == ()
    assert result.changes.total.difference == 0


async def test_other_prices_since_change_nothing_but_where_they_are_asked_for(billed: Ledger) -> None:
    await billed.load(PRICES.replace(b"0.000000600", b"0.000000700"), HOUR - ONE_HOUR)
    assert await changed(billed) == []
    result = await billed.rate(*DAY, now=NOW, reprice=True)
    assert (result.rollups_written, result.rollups_unchanged) == (36, 0)


async def test_usage_that_came_since_makes_its_hour_be_computed(billed: Ledger) -> None:
    await billed.store(*(make_event(hour, **fields) for hour, fields in zip(HOURS, USAGE, strict=False)))
    assert await changed(billed) == HOURS[: len(USAGE)]
    first = await billed.rate(*DAY, now=NOW, mode=Mode.BACKFILL)
    assert first.events_in_window == 90 + len(USAGE)
    # What is to be said of an hour is said again.
    assert await changed(billed) == HOURS[2 : len(USAGE) - 3] + HOURS[len(USAGE) - 2 : len(USAGE)]
    again = await billed.rate(*DAY, now=NOW, mode=Mode.BACKFILL)
    assert (again.anomalies, again.rollups_written) == (first.anomalies, 0)


async def test_what_was_changed_by_hand_makes_its_hour_be_computed(billed: Ledger) -> None:
    for hour, tampering in zip(HOURS, TAMPERING, strict=False):
        await billed.force(tampering.format(hour=f"window_start = '{hour.isoformat()}'"))
    assert await changed(billed) == HOURS[: len(TAMPERING)]


async def test_a_fine_tune_that_not_all_usage_states_the_base_of_is_computed(billed: Ledger) -> None:
    stated, not_stated = (
        make_event(HOURS[1], model_id="ft:declared", base_model=base) for base in ("meta/base-a", None)
    )
    await billed.store(stated, not_stated)
    await billed.rate(*DAY, now=NOW)
    assert await changed(billed) == [HOURS[1]]
    # What was not stated now finds no price.
    await billed.load(PRICES.replace(b"ft:declared", b"ft:another"), HOUR - ONE_HOUR)
    assert (await billed.rate(*DAY, now=NOW, mode=Mode.BACKFILL)).unpriced_events == 1


async def test_bills_of_the_whole_window_are_told_where_a_part_of_it_changes(billed: Ledger) -> None:
    await billed.store(make_event(HOURS[3]), make_event(HOURS[3], auth_id="eve"))
    result = await billed.rate(*DAY, now=NOW)
    total, by_auth = result.changes.total, {change.auth_id: change for change in result.changes.by_auth}
    assert (result.rollups_unchanged, result.rollups_written) == (35, 2)
    assert (by_auth["alice"].cost_before, by_auth["alice"].cost_after) == (18 * COST, 19 * COST)
    assert (by_auth["eve"].cost_before, by_auth["eve"].cost_after) == (Decimal(0), COST)
    assert (total.cost_after, total.difference) == (result.total_cost, 2 * COST)
    assert result.total_cost == sum(row["cost"] for row in await billed.rollups())


async def test_hours_before_between_and_behind_those_that_change_are_counted_once(billed: Ledger) -> None:
    await billed.store(make_event(HOURS[2]), make_event(HOURS[5]))
    assert await changed(billed) == [HOURS[2], HOURS[5]]
    result = await billed.rate(*DAY, now=NOW)
    assert (result.events_rated, result.rollups_written, result.rollups_unchanged) == (56, 2, 34)
