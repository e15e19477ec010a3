"""Many large batches at once: the memory that they take is bounded in sum, and all of them are stored."""

import asyncio
from pathlib import Path

import grpc
import pytest

from phoebe_proto.v1 import metering_pb2
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from rater_service.database.database import Pool
from tests.harness.ledger import make_event
from tests.harness.served_rater import ServedRater, served_rater

pytestmark = pytest.mark.one_postgres

STREAMS = 32
BATCH_EVENTS = 500
USAGE_BYTES = 16_000
GROWN_BYTES_MAX = 400 * 1024 * 1024
"""Without a bound it is twice that: each of 32 batches of 8 MB takes some 25 MB."""


def highest_resident_bytes(rater: ServedRater) -> int:
    status = Path(f"/proc/{rater.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def large_batch(number: int) -> metering_pb2.StreamEventsRequest:
    events = [make_event(usage_raw="x" * USAGE_BYTES) for _ in range(BATCH_EVENTS)]
    return metering_pb2.StreamEventsRequest(batch_id=str(number), events=events)


async def deliver(rater: ServedRater, batch: metering_pb2.StreamEventsRequest) -> None:
    # Each has a connection of its own, as each proxy has.
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{rater.port}", options=options) as channel:
        stream = MeteringServiceStub(channel).StreamEvents()
        await stream.write(batch)
        answer = await stream.read()
        assert isinstance(answer, metering_pb2.StreamEventsResponse)
        assert {result.outcome for result in answer.results} == {metering_pb2.EVENT_OUTCOME_STORED}
        await stream.done_writing()


async def test_batches_at_once_take_bounded_memory_and_silent_streams_keep_none_of_them_waiting(
    pool: Pool, database_url: str, tmp_path: Path
) -> None:
    batches = [large_batch(number) for number in range(STREAMS)]
    async with (
        served_rater(tmp_path, {"DATABASE_URL": database_url}) as rater,
        grpc.aio.insecure_channel(f"127.0.0.1:{rater.port}") as idle,
    ):
        silent = [MeteringServiceStub(idle).StreamEvents() for _ in range(8)]
        for stream in silent:
            await stream.wait_for_connection()
        before = rater.resident_bytes
        async with asyncio.timeout(120):
            await asyncio.gather(*(deliver(rater, batch) for batch in batches))
        assert highest_resident_bytes(rater) - before < GROWN_BYTES_MAX
        for stream in silent:
            stream.cancel()
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == STREAMS * BATCH_EVENTS
