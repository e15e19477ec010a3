"""Callers that wait: those that ping meanwhile stay, and for those that go the database works no longer."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest

from phoebe_proto.v1 import metering_pb2, rating_pb2
from rater_service.limits import PING_INTERVAL_MIN_MS
from rater_service.wire_time import to_timestamp
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.rater import Rater
from tests.harness.raw_grpc import raw_caller
from tests.harness.waiting import WAIT_S, until_statements_wait

pytestmark = pytest.mark.one_postgres

PINGS = 6
"""More than gRPC forgives, which is two."""


async def test_a_caller_that_pings_while_it_waits_is_not_thrown_out(rater: Rater) -> None:
    async with raw_caller(rater.port) as caller:
        stream = caller.open("/phoebe.v1.MeteringService/StreamEvents")
        await caller.flush()
        for number in range(PINGS):
            await caller.ping(number)
            await asyncio.sleep(1.1 * PING_INTERVAL_MIN_MS / 1000)  # what a caller does between its pings
        assert not caller.gone
        await caller.send(stream, b"")
        assert (await caller.answer(stream)).status == 0


async def rate(rater: Rater, timeout_s: float | None) -> object:
    window = rating_pb2.RateWindowRequest(
        window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR)
    )
    return await rater.rating.RateWindow(window, timeout=timeout_s)


async def audit(rater: Rater, timeout_s: float | None) -> object:
    return await rater.rating.Audit(rating_pb2.AuditRequest(), timeout=timeout_s)


async def list_usage(rater: Rater, timeout_s: float | None) -> object:
    return await rater.rating.ListRatedUsage(rating_pb2.ListRatedUsageRequest(), timeout=timeout_s)


async def store(rater: Rater, timeout_s: float | None) -> object:
    stream = rater.metering.StreamEvents(timeout=timeout_s)
    await stream.write(metering_pb2.StreamEventsRequest(events=[make_event()]))
    answer = await stream.read()
    await stream.done_writing()
    return answer


@pytest.mark.parametrize("how", ["cancelled", "too late"])
@pytest.mark.parametrize("call", [rate, audit, list_usage, store], ids=lambda call: call.__name__)
async def test_a_call_that_ends_early_ends_its_statement(
    rater: Rater, ledger: Ledger, call: Callable[[Rater, float | None], Awaitable[object]], how: str
) -> None:
    async with ledger.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE rated_usage, billing_event IN ACCESS EXCLUSIVE MODE")
        calling = asyncio.ensure_future(call(rater, None if how == "cancelled" else 1.0))
        await until_statements_wait(ledger.pool, 1)
        if how == "cancelled":
            calling.cancel()
        with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
            await calling
        # The statement ends, not only the call; what it locked, a run's turn too, is free again.
        await until_statements_wait(ledger.pool, 0)
        async with asyncio.timeout(WAIT_S):
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            while await other.fetchval(held):  # noqa: ASYNC110 - the database tells nobody
                await asyncio.sleep(0.01)
    assert await call(rater, WAIT_S) is not None
