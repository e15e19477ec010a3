"""Models that clients invent do not make sums for ever: beyond a bound they are summed under one name."""

import asyncio
from datetime import timedelta

import pytest

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.database.database import Pool
from rater_service.events import model_names
from rater_service.events.hourly_usage import rebuild
from rater_service.events.model_names import ModelNames
from rater_service.events.store import DUPLICATE, Fate, store_events
from rater_service.prices.store import priced_among
from rater_service.rating.run import Anomaly, RateResult
from rater_service.statements import bound
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event, nonzero
from tests.harness.plans import plan
from tests.harness.sums import counted_sums, kept_sums
from tests.integration.rater.audit.test_audit import check, counts

OTHERS = "(other models)"


def bounded(names_max: int = 3) -> ModelNames:
    return ModelNames(priced_among, names_max)


def invented(first: int, last: int, **fields: object) -> list[MeteringEvent]:
    return [
        make_event(model_id=f"invented-{number}", producer_seq=None, **fields)
        for number in range(first, last + 1)
    ]


async def store(ledger: Ledger, events: list[MeteringEvent], names: ModelNames) -> None:
    results = await store_events(ledger.pool, events, HOUR, names=names)
    assert {result.fate for result in results} == {Fate.STORED}


async def summed(pool: Pool) -> dict[tuple[str, str], int]:
    rows = await pool.fetch("SELECT auth_id, model_id, sum(event_count) FROM hourly_usage GROUP BY 1, 2")
    return {(row[0], row[1]): int(row[2]) for row in rows}


def too_many(result: RateResult) -> Anomaly:
    return next(anomaly for anomaly in result.anomalies if anomaly.reason == "TOO_MANY_MODELS")


async def test_names_beyond_the_bound_are_summed_under_one_and_events_keep_theirs(ledger: Ledger) -> None:
    names = bounded()
    await store(ledger, invented(1, 2), names)
    await store(ledger, [*invented(2, 9), *invented(1, 3, auth_id="bob")], names)
    assert await summed(ledger.pool) == {
        **{("alice", f"invented-{number}"): 1 + (number == 2) for number in (1, 2, 3)},
        ("alice", OTHERS): 6,
        **{("bob", f"invented-{number}"): 1 for number in (1, 2, 3)},
    }
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
    stored = await ledger.pool.fetch("SELECT model_id FROM billing_event WHERE summed_as_other ORDER BY 1")
    assert [row["model_id"] for row in stored] == [f"invented-{number}" for number in range(4, 10)]
    assert (await rebuild(ledger.pool, None, None)).difference_count == 0


async def test_a_model_with_a_price_has_a_sum_and_a_bill_of_its_own_however_many_there_are(
    ledger: Ledger,
) -> None:
    names = bounded()
    fine_tune = make_event(model_id="ft:unlisted", base_model="meta/base-a")
    baseless = make_event(model_id="ft:unlisted-too")
    await store(ledger, invented(1, 9), names)
    await store(ledger, [make_event(), fine_tune, baseless, *invented(10, 11)], names)
    found = await summed(ledger.pool)
    assert found["alice", "meta/base-a"] == found["alice", "ft:unlisted"] == 1
    assert ("alice", "ft:unlisted-too") not in found
    result = await ledger.rate()
    assert {row["model_id"] for row in await ledger.rollups()} == {"meta/base-a", "ft:unlisted"}
    assert nonzero(result) == {"rated": 2, "unpriced": 12}


async def test_a_run_says_how_much_is_summed_under_one_name_whose_it_is_and_how_many_models(
    ledger: Ledger,
) -> None:
    names = bounded()
    await store(ledger, invented(1, 9), names)
    await store(ledger, [*invented(8, 10, resource_id="other"), *invented(1, 5, auth_id="bob")], names)
    result = await ledger.rate()
    anomaly = too_many(result)
    assert (anomaly.events, anomaly.tokens, anomaly.money_at_risk) == (11, 11 * 110, None)
    assert [(each.auth_id, each.resource_id, each.model_id, each.detail) for each in anomaly.offenders] == [
        ("alice", "deployment-1", OTHERS, "6 further models, such as 'invented-4'"),
        ("alice", "other", OTHERS, "3 further models, such as 'invented-10'"),
        ("bob", "deployment-1", OTHERS, "2 further models, such as 'invented-4'"),
    ]
    assert "declare the models of the resource" in anomaly.advice
    assert nonzero(result) == {"unpriced": 17}


async def test_more_names_than_are_counted_are_at_least_as_many(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rater_service.rating.other_models.COUNTED_EVENTS_MAX", 4)
    await store(ledger, invented(1, 9), bounded())
    (offender,) = too_many(await ledger.rate()).offenders
    assert offender.detail is not None
    assert offender.detail.startswith("at least 4 further models")


async def test_usage_of_a_model_that_gets_a_price_afterwards_is_billed_by_the_next_run(
    ledger: Ledger,
) -> None:
    await store(
        ledger,
        [*invented(1, 9), *invented(7, 7, base_model="stated"), *invented(8, 8, model_untrusted=True)],
        bounded(),
    )
    assert nonzero(await ledger.rate()) == {"unpriced": 10, "unattributable": 1}
    price = '{ prompt: "0.000000200", cached: "0.000000050", completion: "0.000000600" }'
    named = "".join(f'  "invented-{number}": {price}\n' for number in (2, 7, 8))
    await ledger.load(PRICES.replace(b"base_models:\n", b"base_models:\n" + named.encode()), HOUR + ONE_HOUR)
    dry = await ledger.rate(dry_run=True)
    result = await ledger.rate()
    assert dry.total_cost == result.total_cost
    assert nonzero(result) == nonzero(dry) == {"rated": 4, "unpriced": 6, "unattributable": 1}
    assert {row["model_id"]: row["event_count"] for row in await ledger.rollups()} == {
        "invented-2": 1,
        "invented-7": 2,
        "invented-8": 1,
    }
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
    assert counts(await check(ledger.pool)) == {}


async def test_an_event_that_comes_again_is_the_same_whatever_it_is_summed_under(ledger: Ledger) -> None:
    events = invented(1, 9)
    await store(ledger, events, bounded())
    for names in (bounded(), bounded(100), None):
        assert await store_events(ledger.pool, events, HOUR, names=names) == [DUPLICATE] * 9
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)


async def test_a_service_that_starts_again_asks_which_names_there_are(ledger: Ledger) -> None:
    await store(ledger, invented(1, 9), bounded())
    await store(ledger, invented(2, 12), bounded())
    found = await summed(ledger.pool)
    assert found["alice", OTHERS] == 6 + 9
    assert found["alice", "invented-2"] == found["alice", "invented-3"] == 2


async def test_services_side_by_side_lose_nothing(ledger: Ledger) -> None:
    many = [bounded(), bounded(), bounded()]
    batches = [invented(number, number + 5) for number in range(0, 60, 2)]
    await asyncio.gather(
        *(store(ledger, batch, many[place % 3]) for place, batch in enumerate(batches)),
    )
    assert sum((await summed(ledger.pool)).values()) == 30 * 6
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)
    assert counts(await check(ledger.pool)) == {}


async def test_what_is_forgotten_of_earlier_hours_is_asked_for_again(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_names, "REMEMBERED_NAMES_MAX", 4)
    names = bounded()
    for _ in range(2):
        for hour in range(3):
            at = HOUR - hour * ONE_HOUR
            await store(ledger, [make_event(at, model_id=f"invented-{n}") for n in range(1, 6)], names)
    rows = await ledger.pool.fetch(
        "SELECT window_start, model_id, event_count FROM hourly_usage ORDER BY window_start, model_id"
    )
    assert len(rows) == 3 * 4
    assert {row["event_count"] for row in rows if row["model_id"] == OTHERS} == {4}


async def test_events_without_a_customer_or_a_model_are_bounded_and_summed_as_well(ledger: Ledger) -> None:
    nameless = make_event(model_id=None, usage_found=False)
    await store(ledger, [*invented(1, 9, auth_id=None), nameless], bounded())
    await store(ledger, invented(1, 12, auth_id=None), bounded())
    assert await ledger.pool.fetchval("SELECT count(DISTINCT model_id) FROM hourly_usage") == 4
    assert await kept_sums(ledger.pool) == await counted_sums(ledger.pool)


async def test_the_warning_comes_once_for_each_customer_and_hour(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    names = bounded()
    await store(ledger, invented(1, 9), names)
    await store(ledger, invented(10, 19), names)
    await store(ledger, [make_event(HOUR - ONE_HOUR, model_id=f"n{n}") for n in range(9)], names)
    said = [
        record.getMessage() for record in caplog.records if "has used more than 3 models" in record.message
    ]
    assert [text.split(":")[0] for text in said] == [
        "auth_id alice has used more than 3 models in the hour 2026-11-20T10",
        "auth_id alice has used more than 3 models in the hour 2026-11-20T09",
    ]


async def test_runs_find_what_is_summed_under_one_name_by_the_index(pool: Pool) -> None:
    window = {"window_start": HOUR, "window_end": HOUR + timedelta(hours=24)}
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        for statement in (
            bound("rating/other_model_names", **window, limit=9),
            bound("rating/other_models_used", window_start=[HOUR]),
        ):
            assert "summed_as_other" in await plan(connection, statement)
