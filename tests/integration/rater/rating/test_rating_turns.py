"""Runs at once: they take turns over all processes, and one that waits or dies is in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import asyncpg
import grpc
import pytest

from phoebe_proto.v1 import metering_pb2
from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.database.database import Connection, DatabaseUnavailableError, Pool
from rater_service.rating import rating
from rater_service.rating.turn import RATING_LOCK, rating_turn, require_turn
from rater_service.wire_time import to_timestamp
from rig.processes import start
from rig.programs import PROJECT, phoebe
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.python_child import python_child
from tests.harness.rater import Rater
from tests.harness.waiting import until_statements_wait

pytestmark = pytest.mark.one_postgres

WINDOW = pb.RateWindowRequest(window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR))
HOLDER = """
import asyncio, sys
from rater_service.database.database import open_pool
from rater_service.rating.turn import rating_turn
async def hold():
    async with open_pool(sys.argv[1]) as pool, rating_turn(pool):
        print("holding", flush=True)
        await asyncio.Event().wait()
asyncio.run(hold())
"""


@asynccontextmanager
async def stopped_in_the_middle(ledger: Ledger) -> AsyncIterator[tuple[Connection, asyncio.Task[object]]]:
    """A run that has its snapshot and goes on when the context ends, and the connection that holds it up."""
    async with ledger.pool.acquire() as other:
        holding_up = other.transaction()
        await holding_up.start()
        await other.execute("LOCK TABLE rated_usage_change IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(ledger.rate())
        await until_statements_wait(ledger.pool, 1, "relation")
        yield other, running
        await holding_up.commit()


async def test_runs_at_once_over_one_window_agree_and_write_each_rollup_once(ledger: Ledger) -> None:
    await ledger.store(*(make_event(auth_id=f"a{n}") for n in range(50)))
    results = await asyncio.gather(*(ledger.rate() for _ in range(4)))
    assert sorted(result.rollups_written for result in results) == [0, 0, 0, 50]
    assert {result.total_cost for result in results} == {50 * Decimal("0.000023")}
    in_order = sorted(results, key=lambda result: result.run_id)
    for earlier, later in pairwise(in_order):
        assert earlier.finished_at < later.knowledge_at


async def test_processes_at_once_write_each_rollup_once(
    ledger: Ledger, database_url: str, tmp_path: Path
) -> None:
    await ledger.store(*(make_event(auth_id=f"a{n}") for n in range(50)))
    window = ("--since", "2026-11-20T10:00Z", "--until", "2026-11-20T11:00Z")
    processes = [
        start(
            "run",
            phoebe("rate", *window, "--database-url", database_url),
            tmp_path / f"{n}.log",
            folder=PROJECT,
        )
        for n in range(3)
    ]
    assert [await process.ended() for process in processes] == [0, 0, 0]
    written = await ledger.pool.fetch("SELECT rollups_written FROM rating_run ORDER BY id")
    assert [row["rollups_written"] for row in written] == [50, 0, 0]
    assert len(await ledger.changes()) == 50


async def test_a_run_that_waited_sees_what_came_before_its_turn(ledger: Ledger) -> None:
    await ledger.store(make_event())
    async with rating_turn(ledger.pool):
        waiting = asyncio.create_task(ledger.rate())
        await until_statements_wait(ledger.pool, 1, "advisory")
        await ledger.store(make_event())
        dearer = PRICES.replace(b"0.000000600", b"0.000000700") + b'effective_from: "2026-11-20T10:00:00Z"\n'
        await ledger.load(dearer, at=HOUR)
    result = await waiting
    assert (result.events_rated, result.total_cost) == (2, Decimal("0.000048"))


async def test_events_and_prices_that_come_in_the_middle_of_a_run_are_for_the_next(ledger: Ledger) -> None:
    await ledger.store(make_event())
    async with stopped_in_the_middle(ledger) as (_, running):
        await ledger.store(make_event())
        dearer = PRICES.replace(b"0.000000600", b"0.000000700") + b'effective_from: "2026-11-20T10:00:00Z"\n'
        await ledger.load(dearer, at=HOUR)
    await running
    (row,) = await ledger.rollups()
    assert (row["event_count"], row["cost"]) == (1, Decimal("0.000023"))
    knowledge_at = await ledger.pool.fetchval("SELECT knowledge_at FROM rating_run")
    assert knowledge_at < await ledger.pool.fetchval("SELECT clock_timestamp()")
    assert (await ledger.rate(reprice=True)).total_cost == Decimal("0.000048")


async def test_a_run_starts_over_when_a_rollup_changes_under_its_hands(ledger: Ledger) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    await ledger.store(make_event())
    async with stopped_in_the_middle(ledger) as (other, running):
        await other.execute("UPDATE rated_usage SET prompt_tokens = 900")
    await running
    (row,) = await ledger.rollups()
    assert (row["event_count"], row["prompt_tokens"]) == (2, 200)
    runs = await ledger.pool.fetch("SELECT anomalies -> 0 ->> 'reason' AS reason FROM rating_run ORDER BY id")
    assert [run["reason"] for run in runs] == [None, "ROLLUP_TAMPERED"]


async def test_runs_that_wait_leave_the_connections_to_others(rater: Rater, ledger: Ledger) -> None:
    event = make_event()
    async with rating_turn(ledger.pool):
        calls = [rater.rating.RateWindow(WINDOW) for _ in range(40)]
        asking = [asyncio.ensure_future(call) for call in calls]
        await until_statements_wait(ledger.pool, 1, "advisory")
        stream = rater.metering.StreamEvents()
        await stream.write(metering_pb2.StreamEventsRequest(events=[event]))
        answer = await stream.read()
        assert isinstance(answer, metering_pb2.StreamEventsResponse)
        assert [result.outcome for result in answer.results] == [metering_pb2.EVENT_OUTCOME_STORED]
        await until_statements_wait(ledger.pool, 1, "advisory")
    answers = await asyncio.gather(*asking)
    assert len({answer.run_id for answer in answers}) == 40
    assert sum(answer.rollups_written for answer in answers) == 1


@pytest.mark.parametrize("how", ["cancelled", "too late"])
async def test_a_caller_that_does_not_wait_any_longer_gives_everything_back(
    rater: Rater, ledger: Ledger, how: str
) -> None:
    await ledger.store(make_event())
    async with rating_turn(ledger.pool):
        calls = [rater.rating.RateWindow(WINDOW, timeout=2 if how == "too late" else None) for _ in range(3)]
        asking = [asyncio.ensure_future(call) for call in calls]
        await until_statements_wait(ledger.pool, 1, "advisory")
        if how == "cancelled":
            for call in calls:
                call.cancel()
        for outcome in await asyncio.gather(*asking, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError | grpc.aio.AioRpcError)
        await until_statements_wait(ledger.pool, 0, "advisory")
    answer = await rater.rating.RateWindow(WINDOW, timeout=30)
    assert (answer.run_id, answer.rollups_written) == (1, 1)


async def test_a_caller_that_goes_in_the_middle_of_a_run_leaves_nothing_behind(
    rater: Rater, ledger: Ledger
) -> None:
    await ledger.store(make_event())
    async with ledger.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE rated_usage_change IN ACCESS EXCLUSIVE MODE")
        call = rater.rating.RateWindow(WINDOW)
        asking = asyncio.ensure_future(call)
        await until_statements_wait(ledger.pool, 1, "relation")
        call.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until_statements_wait(ledger.pool, 0, "relation")
        assert (await ledger.pool.fetchval("SELECT count(*) FROM rating_run"), await ledger.rollups()) == (
            0,
            [],
        )
    assert (await rater.rating.RateWindow(WINDOW, timeout=30)).rollups_written == 1


async def test_the_turn_of_a_killed_process_ends_with_it(ledger: Ledger, database_url: str) -> None:
    await ledger.store(make_event())
    with python_child(HOLDER, database_url) as holder:
        assert await asyncio.to_thread(holder.hear) == "holding"
        waiting = asyncio.create_task(ledger.rate())
        await until_statements_wait(ledger.pool, 1, "advisory")
        holder.kill()
    assert (await waiting).rollups_written == 1


async def test_a_turn_ends_with_its_use_of_the_connection(ledger: Ledger) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with rating_turn(ledger.pool) as connection:
            await connection.execute("SELECT 1 / 0")
    async with ledger.pool.acquire() as other:
        assert await other.fetchval("SELECT pg_try_advisory_lock($1)", RATING_LOCK)


async def test_a_transaction_proves_that_it_has_the_turn(ledger: Ledger) -> None:
    """Where a pooler begins to share sessions, the one that waited is not the one that rates."""
    async with rating_turn(ledger.pool) as waited, ledger.pool.acquire() as given:
        async with waited.transaction():
            await require_turn(waited)
        async with given.transaction():
            with pytest.raises(DatabaseUnavailableError, match="lost its turn"):
                await require_turn(given)


async def test_a_run_without_its_turn_changes_nothing(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.store(make_event())

    @asynccontextmanager
    async def of_another(pool: Pool) -> AsyncIterator[Connection]:
        async with rating_turn(pool), pool.acquire() as given:
            yield given

    monkeypatch.setattr(rating, "rating_turn", of_another)
    with pytest.raises(DatabaseUnavailableError, match="lost its turn"):
        await ledger.rate()
    assert not await ledger.rollups()
