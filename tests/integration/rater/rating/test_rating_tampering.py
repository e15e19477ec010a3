"""Rollups that something else than a run changed: the next run says so, and mends them."""

from decimal import Decimal

import pytest

from rater_service.rating.run import Mode
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event

COST = Decimal("0.000023")


@pytest.fixture
async def billed(ledger: Ledger) -> Ledger:
    await ledger.store(make_event(), make_event(auth_id="bob"))
    await ledger.rate()
    return ledger


@pytest.mark.parametrize(
    ("tampering", "found", "money"),
    [
        (
            "UPDATE rated_usage SET prompt_tokens = 900 WHERE auth_id = 'bob'",
            "prompt_tokens was 100, is 900",
            0,
        ),
        (
            "UPDATE rated_usage SET completion_tokens = 0, cost = cost - 10 * applied_completion_rate"
            " WHERE auth_id = 'bob'",
            "completion_tokens was 10, is 0; cost was 0.000023000, is 0.000017000",
            "0.000006",
        ),
        ("UPDATE rated_usage SET base_model = 'x' WHERE auth_id = 'bob'", "base_model was NULL, is x", "0"),
        ("UPDATE rated_usage SET id = DEFAULT WHERE auth_id = 'bob'", "id was 2, is 3", "0"),
        ("DELETE FROM rated_usage WHERE auth_id = 'bob'", "it was deleted", "0.000023"),
    ],
)
@pytest.mark.parametrize("mode", Mode)
async def test_a_rollup_that_was_changed_is_named_and_made_anew(
    billed: Ledger, mode: Mode, caplog: pytest.LogCaptureFixture, *, tampering: str, found: str, money: str
) -> None:
    before = await billed.rollups()
    await billed.pool.execute(tampering)

    result = await billed.rate(mode=mode)

    (anomaly,) = result.anomalies
    assert (anomaly.reason, anomaly.events, anomaly.money_at_risk) == ("ROLLUP_TAMPERED", 1, Decimal(money))
    (offender,) = anomaly.offenders
    assert (offender.auth_id, offender.model_id, offender.detail) == (
        "bob",
        "meta/base-a",
        f"2026-11-20T10:00:00Z: {found}",
    )
    assert [record.levelname for record in caplog.records if "ROLLUP_TAMPERED" in record.message] == ["ERROR"]
    assert (result.rollups_written, result.rollups_unchanged, result.total_cost) == (1, 1, 2 * COST)
    for row, was in zip(await billed.rollups(), before, strict=True):
        assert [row[name] for name in ("auth_id", "event_count", "prompt_tokens", "base_model", "cost")] == [
            was[name] for name in ("auth_id", "event_count", "prompt_tokens", "base_model", "cost")
        ]
    assert (await billed.rate()).anomalies == ()


async def test_the_ledger_keeps_what_was_found_and_what_was_billed(billed: Ledger) -> None:
    await billed.pool.execute("UPDATE rated_usage SET prompt_tokens = 900 WHERE auth_id = 'bob'")
    await billed.rate()
    _, inserted, mended = await billed.changes()
    assert (inserted["new_prompt_tokens"], mended["old_prompt_tokens"], mended["new_prompt_tokens"]) == (
        100,
        900,
        100,
    )


async def test_a_dry_run_names_it_and_leaves_it(billed: Ledger) -> None:
    await billed.pool.execute("UPDATE rated_usage SET prompt_tokens = 900 WHERE auth_id = 'bob'")
    before = await billed.rollups()
    result = await billed.rate(dry_run=True)
    assert [anomaly.reason for anomaly in result.anomalies] == ["ROLLUP_TAMPERED"]
    assert (await billed.rollups(), len(await billed.changes())) == (before, 2)


async def test_only_hours_of_the_window_are_looked_at(billed: Ledger) -> None:
    await billed.pool.execute("UPDATE rated_usage SET prompt_tokens = 900")
    assert (await billed.rate(HOUR - ONE_HOUR)).anomalies == ()


async def test_a_rollup_can_not_be_given_another_price_by_changing_its_rates(billed: Ledger) -> None:
    await billed.pool.execute(
        "UPDATE rated_usage SET applied_prompt_rate = 0, applied_cached_rate = 0,"
        " applied_completion_rate = 0, cost = 0 WHERE auth_id = 'bob'"
    )
    await billed.store(make_event(auth_id="bob"))
    result = await billed.rate()
    assert [(anomaly.reason, anomaly.money_at_risk) for anomaly in result.anomalies] == [
        ("ROLLUP_TAMPERED", COST)
    ]
    assert [row["cost"] for row in await billed.rollups()] == [COST, 2 * COST]


async def test_a_deleted_rollup_comes_back_at_the_rates_it_had(billed: Ledger) -> None:
    before = (HOUR - ONE_HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    dearer = PRICES.replace(b"0.000000600", b"0.000000700") + f'effective_from: "{before}"\n'.encode()
    await billed.load(dearer, at=HOUR + ONE_HOUR)
    await billed.pool.execute("DELETE FROM rated_usage WHERE auth_id = 'bob'")
    assert (await billed.rate()).total_cost == 2 * COST


async def test_a_rollup_that_was_added_is_taken_away(billed: Ledger) -> None:
    await billed.pool.execute(
        "INSERT INTO rated_usage OVERRIDING SYSTEM VALUE"
        ' SELECT (jsonb_populate_record(u, \'{"id": 99, "auth_id": "mallory"}\')).* FROM rated_usage u'
        " WHERE auth_id = 'bob'"
    )
    result = await billed.rate(mode=Mode.BACKFILL)
    (anomaly,) = result.anomalies
    assert (anomaly.reason, anomaly.money_at_risk) == ("ROLLUP_TAMPERED", COST)
    assert [(o.auth_id, o.detail) for o in anomaly.offenders] == [
        ("mallory", "2026-11-20T10:00:00Z: no run wrote it")
    ]
    assert [row["auth_id"] for row in await billed.rollups()] == ["alice", "bob"]
    assert [(c["kind"], c["rollup"]) for c in (await billed.changes())[2:]] == [("DELETE", 99)]


async def test_a_rollup_that_was_given_to_another_customer_comes_back(billed: Ledger) -> None:
    await billed.pool.execute("UPDATE rated_usage SET auth_id = 'mallory' WHERE auth_id = 'bob'")
    result = await billed.rate(mode=Mode.BACKFILL)
    assert [(o.auth_id, o.money_at_risk) for o in result.anomalies[0].offenders] == [
        ("bob", COST),
        ("mallory", COST),
    ]
    assert [row["auth_id"] for row in await billed.rollups()] == ["alice", "bob"]
    assert (await billed.rate()).anomalies == ()


async def test_a_deleted_rollup_that_has_no_events_any_more_is_told_once(billed: Ledger) -> None:
    await billed.pool.execute("DELETE FROM rated_usage WHERE auth_id = 'bob'")
    await billed.correct("DELETE FROM stored_event WHERE auth_id = 'bob'")
    result = await billed.rate()
    assert {anomaly.reason for anomaly in result.anomalies} == {"ROLLUP_TAMPERED", "BILLED_ROLLUP_DELETED"}
    assert result.reconciled_deletions == 1
    assert [change["kind"] for change in (await billed.changes())[2:]] == ["DELETE"]
    again = await billed.rate()
    assert (again.anomalies, again.reconciled_deletions) == ((), 0)


async def test_a_customer_who_was_renamed_by_hand_everywhere_is_billed_by_one_run(billed: Ledger) -> None:
    """The row has the number under which the ledger knows the old name: it must not go with that."""
    for table in ("stored_event", "rated_usage"):
        await billed.correct(f"UPDATE {table} SET auth_id = 'robert' WHERE auth_id = 'bob'")
    result = await billed.rate(mode=Mode.BACKFILL)
    rollups = await billed.rollups()
    assert [row["auth_id"] for row in rollups] == ["alice", "robert"]
    assert sum(row["cost"] for row in rollups) == result.total_cost == 2 * COST
    again = await billed.rate()
    assert (again.anomalies, again.rollups_written, again.total_cost) == ((), 0, 2 * COST)


async def test_customers_whose_names_were_swapped_by_hand_are_billed_by_one_run(billed: Ledger) -> None:
    await billed.store(make_event(auth_id="bob"))
    await billed.rate()
    for name, other in (("alice", "x"), ("bob", "alice"), ("x", "bob")):
        await billed.pool.execute("UPDATE rated_usage SET auth_id = $2 WHERE auth_id = $1", name, other)
    result = await billed.rate(mode=Mode.BACKFILL)
    assert [(row["auth_id"], row["cost"]) for row in await billed.rollups()] == [
        ("alice", COST),
        ("bob", 2 * COST),
    ]
    assert result.total_cost == 3 * COST
    assert (await billed.rate()).anomalies == ()


async def test_a_rollup_that_was_moved_to_another_hour_by_hand_is_mended_hour_by_hour(
    billed: Ledger,
) -> None:
    await billed.pool.execute(
        "UPDATE rated_usage SET window_start = window_start - interval '1 hour',"
        " window_end = window_end - interval '1 hour' WHERE auth_id = 'bob'"
    )
    assert (await billed.rate(mode=Mode.BACKFILL)).total_cost == 2 * COST
    assert (await billed.rate(HOUR - ONE_HOUR, mode=Mode.BACKFILL)).total_cost == 0
    assert [(row["window_start"], row["auth_id"]) for row in await billed.rollups()] == [
        (HOUR, "alice"),
        (HOUR, "bob"),
    ]


async def test_a_run_whose_answer_would_not_stand_in_the_table_changes_nothing(billed: Ledger) -> None:
    """Whatever keeps a row from being written as computed: here a trigger that somebody added."""
    await billed.pool.execute(
        """CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
        CREATE TRIGGER keep BEFORE UPDATE ON rated_usage FOR EACH ROW EXECUTE FUNCTION keep()"""
    )
    await billed.store(make_event(auth_id="bob"))
    before = await billed.rollups()
    with pytest.raises(RuntimeError, match=r"rollups that would not stand in the table .*: 1"):
        await billed.rate()
    assert (await billed.rollups(), await billed.pool.fetchval("SELECT count(*) FROM rating_run")) == (
        before,
        1,
    )
