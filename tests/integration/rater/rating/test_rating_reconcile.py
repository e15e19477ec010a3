"""What a run leaves, replaces and deletes, and which rates stay."""

from datetime import timedelta
from decimal import Decimal

from rater_service.rating.run import Mode
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event, nonzero


async def test_an_identical_run_writes_nothing_not_even_timestamps(ledger: Ledger) -> None:
    await ledger.store(
        make_event(), make_event(auth_id="bob"), make_event(model_id="ft:z", base_model="meta/base-a")
    )
    await ledger.rate()
    look = "SELECT *, xmin::text, ctid::text FROM rated_usage ORDER BY id"
    before = await ledger.pool.fetch(look)
    again = await ledger.rate(now=HOUR + 5 * ONE_HOUR)
    assert await ledger.pool.fetch(look) == before
    assert (again.rollups_written, again.rollups_unchanged, again.reconciled_deletions) == (0, 3, 0)


async def test_a_late_event_changes_only_its_own_rollup_which_keeps_its_id(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(auth_id="bob"))
    first = await ledger.rate()
    before = await ledger.rollups()
    await ledger.store(make_event(auth_id="bob"))
    second = await ledger.rate()
    after = await ledger.rollups()
    assert (second.rollups_written, second.rollups_unchanged) == (1, 1)
    assert after[0] == before[0]
    assert (after[1]["id"], after[1]["event_count"]) == (before[1]["id"], 2)
    assert [row["run"] for row in after] == [first.run_id, second.run_id]


async def test_a_rollup_that_nothing_accounts_for_is_deleted_within_the_window_only(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(HOUR - ONE_HOUR))
    await ledger.rate(start=HOUR - ONE_HOUR, end=HOUR + ONE_HOUR)
    await ledger.correct("DELETE FROM stored_event")
    result = await ledger.rate()
    assert [row["window_start"] for row in await ledger.rollups()] == [HOUR - ONE_HOUR]
    assert (result.reconciled_deletions, result.total_cost) == (1, Decimal(0))
    (anomaly,) = result.anomalies
    assert (anomaly.reason, anomaly.events, anomaly.money_at_risk) == (
        "BILLED_ROLLUP_DELETED",
        1,
        Decimal("0.000023"),
    )


async def test_deleting_in_a_backfill_or_deleting_a_free_rollup_is_no_anomaly(ledger: Ledger) -> None:
    await ledger.store(make_event(model_id="free/free"))
    await ledger.rate()
    await ledger.correct("DELETE FROM stored_event")
    free = await ledger.rate()
    await ledger.store(make_event())
    await ledger.rate()
    await ledger.correct("DELETE FROM stored_event")
    backfill = await ledger.rate(mode=Mode.BACKFILL)
    assert (free.reconciled_deletions, backfill.reconciled_deletions) == (1, 1)
    assert free.anomalies == backfill.anomalies == ()


async def test_a_dry_run_says_what_would_be_and_changes_no_rollup(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(auth_id="gone"))
    await ledger.rate()
    await ledger.correct("DELETE FROM stored_event WHERE auth_id = 'gone'")
    await ledger.store(make_event(), make_event(auth_id="new"))
    before = await ledger.rollups()
    dry = await ledger.rate(dry_run=True)
    assert await ledger.rollups() == before
    wet = await ledger.rate()
    assert (dry.rollups_written, dry.reconciled_deletions, dry.total_cost) == (2, 1, Decimal("0.000069"))
    for field in ("rollups_written", "rollups_unchanged", "reconciled_deletions", "total_cost", "anomalies"):
        assert getattr(dry, field) == getattr(wet, field)
    assert await ledger.pool.fetchval("SELECT array_agg(dry_run ORDER BY id) FROM rating_run") == [
        False,
        True,
        False,
    ]


async def test_rating_hour_by_hour_adds_up_to_rating_the_whole(ledger: Ledger) -> None:
    start = HOUR - 5 * ONE_HOUR
    await ledger.store(*(make_event(start + n * timedelta(minutes=17), prompt_tokens=n) for n in range(20)))
    parts = [await ledger.rate(start=start + n * ONE_HOUR) for n in range(6)]
    pieces = await ledger.rollups()
    whole = await ledger.rate(start=start, end=HOUR + ONE_HOUR)
    assert whole.total_cost == sum(part.total_cost for part in parts)
    assert whole.events_in_window == sum(part.events_in_window for part in parts) == 20
    assert (whole.rollups_written, whole.rollups_unchanged) == (0, len(pieces))
    assert await ledger.rollups() == pieces


async def test_a_forgotten_price_mends_the_past_and_rated_rollups_keep_their_rates(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(model_id="late/model"))
    assert nonzero(await ledger.rate()) == {"rated": 1, "unpriced": 1}
    dearer = PRICES.replace(b"0.000000600", b"0.000000700") + b""
    later = dearer.replace(
        b"base_models:\n", b'base_models:\n  "late/model": { prompt: "1", cached: "1", completion: "1" }\n'
    )
    await ledger.load(later, at=HOUR + ONE_HOUR)
    assert nonzero(await ledger.rate()) == {"rated": 2}
    assert [row["cost"] for row in await ledger.rollups()] == [Decimal(110), Decimal("0.000023")]
    books = {row["price_book"] for row in await ledger.rollups()}
    assert len(books) == 2


async def test_rates_stay_frozen_until_a_run_reprices(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    before = (HOUR - ONE_HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    await ledger.load(
        PRICES.replace(b"0.000000600", b"0.000000700") + f'effective_from: "{before}"\n'.encode(),
        at=HOUR + ONE_HOUR,
    )
    await ledger.store(make_event())
    frozen = await ledger.rate()
    repriced = await ledger.rate(reprice=True)
    assert frozen.total_cost == Decimal("0.000046")
    assert repriced.total_cost == Decimal("0.000048")
    assert repriced.rollups_written == 1
    assert frozen.price_books != repriced.price_books


async def test_a_rollup_whose_model_is_in_no_later_book_stays_billed_until_a_run_reprices(
    ledger: Ledger,
) -> None:
    await ledger.store(make_event(model_id="ft:own"))
    await ledger.rate()
    before = (HOUR - ONE_HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")
    without = PRICES.replace(b'"ft:own"', b'"ft:other"') + f'effective_from: "{before}"\n'.encode()
    await ledger.load(without, at=HOUR + ONE_HOUR)
    assert (await ledger.rate()).rollups_unchanged == 1
    repriced = await ledger.rate(reprice=True)
    assert nonzero(repriced) == {"unpriced": 1}
    assert [anomaly.reason for anomaly in repriced.anomalies] == ["BILLED_ROLLUP_DELETED", "UNPRICED"]


async def test_a_rollup_that_finds_two_prices_takes_the_one_of_the_earlier_book(ledger: Ledger) -> None:
    await ledger.store(make_event(model_id="ft:z", base_model="meta/base-a"), make_event(model_id="ft:z"))
    own = b'  "ft:z": { rate: { prompt: "1", cached: "1", completion: "1" } }\n'
    await ledger.load(PRICES + own, at=HOUR + ONE_HOUR)
    assert nonzero(await ledger.rate()) == {"rated": 2}
    (row,) = await ledger.rollups()
    assert row["cost"] == 2 * Decimal("0.0000345")
