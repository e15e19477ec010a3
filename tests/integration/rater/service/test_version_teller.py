"""Every call tells which version answered it, whether it is answered or refused."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from phoebe_proto.v1.metering_pb2 import StreamEventsRequest
from phoebe_proto.v1.rating_pb2 import ListRunsRequest, ResolvePriceRequest
from rater_service.distribution import installed_version
from tests.harness.rater import Rater

pytestmark = pytest.mark.one_postgres

VERSION = ("phoebe-version", installed_version())


async def test_an_answer_of_each_kind_of_method_tells_the_version(rater: Rater) -> None:
    health = health_pb2_grpc.HealthStub(rater.channel)
    checked = health.Check(health_pb2.HealthCheckRequest())
    await checked
    runs = rater.rating.ListRuns(ListRunsRequest())
    await runs
    stream = rater.metering.StreamEvents(iter([StreamEventsRequest(batch_id="1")]))
    assert [answer.batch_id async for answer in stream] == ["1"]

    for call in (checked, runs, stream):
        assert VERSION in tuple(await call.trailing_metadata())


async def test_an_error_tells_the_version_besides_its_details(rater: Rater) -> None:
    call = rater.rating.ResolvePrice(ResolvePriceRequest(model_id="no/such"))
    with pytest.raises(grpc.aio.AioRpcError):
        await call

    told = tuple(await call.trailing_metadata())
    assert VERSION in told
    assert "grpc-status-details-bin" in dict(told)


async def test_the_version_does_not_begin_the_answer(rater: Rater) -> None:
    """Else gRPC's own retries would not try again what is UNAVAILABLE."""
    call = rater.rating.ResolvePrice(ResolvePriceRequest(model_id="no/such"))
    with pytest.raises(grpc.aio.AioRpcError):
        await call

    assert dict(await call.initial_metadata()) == {}
