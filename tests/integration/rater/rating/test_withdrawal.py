"""Taking back a loading by which no hour was priced."""

import asyncio
from datetime import timedelta

import pytest

from rater_service.errors import OperatorError
from rater_service.rating.turn import rating_turn
from rater_service.rating.withdrawal import withdraw_loading
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, clock_at, make_event, nonzero
from tests.harness.waiting import until_statements_wait

pytestmark = pytest.mark.one_postgres

TENFOLD = PRICES.replace(b'"0.000000200"', b'"0.000002000"')
FORGOTTEN = PRICES.replace(
    b"base_models:\n", b'base_models:\n  "late/model": { prompt: "0", cached: "0", completion: "0" }\n'
)
MINUTE = timedelta(minutes=1)


async def test_a_loading_to_come_is_taken_back_and_what_is_in_force_stays(ledger: Ledger) -> None:
    await ledger.load(TENFOLD, HOUR + MINUTE)

    withdrawal = await withdraw_loading(ledger.pool, None, "ops", clock_at(HOUR + 9 * MINUTE))

    assert (withdrawal.loading.number, withdrawal.had_begun) == (2, False)
    assert withdrawal.outlook[0].endswith("from the beginning until further notice")
    assert withdrawal.outlook[1] == "to come: nothing"
    await ledger.store(make_event(HOUR + ONE_HOUR))
    result = await ledger.rate(HOUR + ONE_HOUR, now=HOUR + 3 * ONE_HOUR)
    assert [f"{row['applied_prompt_rate']:f}" for row in await ledger.rollups()] == ["0.000000200"]
    assert nonzero(result) == {"rated": 1}


async def test_what_a_withdrawn_loading_had_replaced_does_not_come_back(ledger: Ledger) -> None:
    await ledger.load(TENFOLD, HOUR + MINUTE)
    await ledger.load(FORGOTTEN, HOUR + 2 * MINUTE)

    withdrawal = await withdraw_loading(ledger.pool, 3, "ops", clock_at(HOUR + 3 * MINUTE))

    assert withdrawal.outlook[1] == "to come: nothing"
    with pytest.raises(OperatorError, match="loading 3 took its place before its hour came"):
        await withdraw_loading(ledger.pool, 2, "ops", clock_at(HOUR + 3 * MINUTE))


async def test_a_service_does_not_load_again_what_was_withdrawn_until_the_file_changes(
    ledger: Ledger,
) -> None:
    await ledger.load(TENFOLD, HOUR + MINUTE)
    await withdraw_loading(ledger.pool, 2, "ops", clock_at(HOUR + 2 * MINUTE))

    again = await ledger.load(TENFOLD, HOUR + 3 * MINUTE)

    assert again.plan is None
    (alarm,) = (said for said in again.alarms("prices.yaml") if "IN FORCE" in said)
    assert "prices.yaml IS NOT IN FORCE" in alarm
    assert "was withdrawn 2026-11-20T10:02:00Z by ops" in alarm
    changed = await ledger.load(TENFOLD + b"# meant so\n", HOUR + 4 * MINUTE)
    assert changed.loading.in_force_from == HOUR + ONE_HOUR


async def test_a_loading_whose_hour_has_come_can_be_taken_back_as_long_as_nothing_is_billed_by_it(
    ledger: Ledger,
) -> None:
    await ledger.load(TENFOLD, HOUR - 5 * MINUTE)
    await ledger.store(make_event())
    await ledger.rate(dry_run=True)

    withdrawal = await withdraw_loading(ledger.pool, 2, "ops", clock_at(HOUR + 5 * MINUTE))

    assert withdrawal.had_begun
    await ledger.rate()
    assert [f"{row['applied_prompt_rate']:f}" for row in await ledger.rollups()] == ["0.000000200"]


async def test_a_loading_by_which_an_hour_was_priced_stays_also_when_the_bill_is_gone(ledger: Ledger) -> None:
    await ledger.load(TENFOLD, HOUR - 5 * MINUTE)
    await ledger.store(make_event(), make_event(HOUR + ONE_HOUR))
    first = await ledger.rate(HOUR, HOUR + 2 * ONE_HOUR)
    await ledger.force("DELETE FROM stored_event; DELETE FROM hourly_usage")
    await ledger.rate(HOUR, HOUR + 2 * ONE_HOUR)
    assert await ledger.rollups() == []

    with pytest.raises(OperatorError) as refused:
        await withdraw_loading(ledger.pool, 2, "ops")

    assert (
        "it priced 2 hours, from 2026-11-20T10:00:00Z to 2026-11-20T11:00:00Z, first by run "
        f"{first.run_id}" in str(refused.value)
    )


async def test_a_loading_to_come_that_mended_an_earlier_hour_stays(ledger: Ledger) -> None:
    await ledger.load(FORGOTTEN, HOUR + ONE_HOUR + MINUTE)
    await ledger.store(make_event(model_id="late/model"))
    assert nonzero(await ledger.rate()) == {"rated": 1}

    with pytest.raises(OperatorError, match="it priced 1 hour"):
        await withdraw_loading(ledger.pool, None, "ops", clock_at(HOUR + ONE_HOUR + 5 * MINUTE))


async def test_an_earlier_hour_that_was_mended_counts_also_when_the_same_file_is_loaded_again(
    ledger: Ledger,
) -> None:
    await ledger.load(FORGOTTEN, HOUR + ONE_HOUR + MINUTE)
    await ledger.store(make_event(model_id="late/model"))
    await ledger.rate()
    await ledger.load(TENFOLD, HOUR + 2 * ONE_HOUR + MINUTE)
    await ledger.load(FORGOTTEN, HOUR + 3 * ONE_HOUR + MINUTE)

    with pytest.raises(OperatorError, match="it priced 1 hour"):
        await withdraw_loading(ledger.pool, 2, "ops", clock_at(HOUR + 4 * ONE_HOUR))


async def test_hours_that_an_earlier_loading_of_the_same_file_priced_do_not_count(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    await ledger.load(TENFOLD, HOUR + ONE_HOUR + MINUTE)
    await ledger.load(PRICES, HOUR + ONE_HOUR + 2 * MINUTE)
    await ledger.rate(reprice=True)

    assert (await withdraw_loading(ledger.pool, 3, "ops", clock_at(HOUR + 80 * MINUTE))).loading.number == 3
    with pytest.raises(OperatorError, match="loading 1 can't be withdrawn: it priced 1 hour"):
        await withdraw_loading(ledger.pool, 1, "ops")


async def test_a_withdrawal_waits_for_the_run_that_may_price_by_it(ledger: Ledger) -> None:
    await ledger.load(TENFOLD, HOUR - 5 * MINUTE)
    await ledger.store(make_event())
    async with rating_turn(ledger.pool):
        running = asyncio.create_task(ledger.rate())
        await until_statements_wait(ledger.pool, 1, "advisory")
        withdrawing = asyncio.create_task(withdraw_loading(ledger.pool, 2, "ops"))
        await until_statements_wait(ledger.pool, 2, "advisory")
    await running
    with pytest.raises(OperatorError, match="it priced 1 hour"):
        await withdrawing


async def test_only_what_there_is_can_be_withdrawn_and_only_once(ledger: Ledger) -> None:
    await withdraw_loading(ledger.pool, 1, "ops", clock_at(HOUR))
    for number, said in (
        (1, "loading 1 was withdrawn before, 2026-11-20T10:00:00Z by ops"),
        (7, "there is no loading 7"),
        (None, "name the loading to withdraw by its number: in force: no price book; to come: nothing"),
    ):
        with pytest.raises(OperatorError, match=said):
            await withdraw_loading(ledger.pool, number, "ops")
