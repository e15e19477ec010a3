"""What only an operator can mend: said in one line, to callers and in the log; addons keep their events."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import grpc
import pytest

from phoebe_proto.v1 import metering_pb2, rating_pb2
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rater_service.database.database import Pool, open_pool
from rater_service.service.metrics import Metrics
from rater_service.service.server import running_server
from tests.harness.ledger import make_event
from tests.harness.rater import Rater
from tests.harness.rpc import failure

pytestmark = pytest.mark.one_postgres

BATCH = metering_pb2.StreamEventsRequest(events=[make_event()])
ONE_LINE = "permission denied for {}; docs/roles.md says which role may do what"


@pytest.fixture
async def limited(pool: Pool, database_url: str) -> AsyncIterator[Rater]:
    """A service whose role may read which installation it is, and nothing else."""
    role = f"few_{uuid4().hex}"
    await pool.execute(f"CREATE ROLE {role}")
    await pool.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    await pool.execute(f"GRANT SELECT ON installation TO {role}")
    stopping = asyncio.Event()
    try:
        async with (
            open_pool(f"{database_url}&role={role}") as few,
            running_server(few, "127.0.0.1:0", stopping) as port,
            grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
        ):
            yield Rater(
                port, channel, MeteringServiceStub(channel), RatingServiceStub(channel), few, stopping
            )
    finally:
        await pool.execute(f"DROP OWNED BY {role}")
        await pool.execute(f"DROP ROLE {role}")


async def stream(rater: Rater) -> object:
    """Send a batch as an addon does."""
    call = rater.metering.StreamEvents()
    await call.write(BATCH)
    return await call.read()


async def test_a_right_that_is_missing_is_named_and_events_are_to_be_sent_again(
    limited: Rater, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=ONE_LINE.format("table stored_event")):
        await stream(limited)
    assert (await failure(stream(limited)))[:2] == (
        grpc.StatusCode.UNAVAILABLE,
        "DATABASE_RIGHT_MISSING",
    )
    at = rating_pb2.ResolvePriceRequest(model_id="meta/base-a")
    assert await failure(limited.rating.ResolvePrice(at)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "DATABASE_RIGHT_MISSING",
        "",
    )
    said = [record for record in caplog.records if "lacks a right" in record.getMessage()]
    assert [(record.levelname, record.exc_info) for record in said] == [("ERROR", None)] * 3
    assert ONE_LINE.format("table price_loading") in said[-1].getMessage()


async def test_a_database_that_is_no_installation_is_told_of_and_nothing_is_lost(
    rater: Rater, caplog: pytest.LogCaptureFixture
) -> None:
    await rater.pool.execute("DELETE FROM installation")
    with pytest.raises(grpc.aio.AioRpcError, match="phoebe installation set ID") as failed:
        await stream(rater)
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "Traceback" not in caplog.text
    assert [record.levelname for record in caplog.records if "mended" in record.getMessage()] == ["ERROR"]


async def test_what_goes_on_in_the_background_says_it_in_one_line(
    limited: Rater, caplog: pytest.LogCaptureFixture
) -> None:
    await Metrics().refresh(limited.pool)
    (warning,) = [record for record in caplog.records if "the gauges" in record.getMessage()]
    assert "permission denied for table" in warning.getMessage()
    assert "docs/roles.md" in warning.getMessage()
