"""Spans of calls, batches and runs: a real service and a real collector's protocol."""

from pathlib import Path

import grpc
import pytest

from phoebe_proto.v1 import metering_pb2
from phoebe_proto.v1 import rating_pb2 as pb
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from rater_service.wire_time import to_timestamp
from tests.harness.collector import Collector, attributes_of
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, make_event
from tests.harness.served_rater import served_rater

pytestmark = pytest.mark.one_postgres

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = (("traceparent", f"00-{TRACE}-{PARENT}-01"),)
SERVER, CONSUMER, ERROR = 2, 5, 2


async def test_calls_and_their_runs_are_in_the_callers_trace_and_batches_are_linked_to_it(
    database_url: str, tmp_path: Path
) -> None:
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    collector = Collector()
    environment = {"DATABASE_URL": database_url, "PHOEBE_TRACING": "on", **collector.environment}
    async with (
        served_rater(tmp_path, environment, "--prices", str(prices)) as rater,
        grpc.aio.insecure_channel(f"127.0.0.1:{rater.port}") as channel,
    ):
        stream = MeteringServiceStub(channel).StreamEvents(metadata=TRACEPARENT)
        event = make_event(trace_id=TRACE)
        await stream.write(metering_pb2.StreamEventsRequest(events=[event, event, make_event(outcome="?")]))
        answer = await stream.read()
        assert isinstance(answer, metering_pb2.StreamEventsResponse)
        await stream.done_writing()
        rating = RatingServiceStub(channel)
        window = pb.RateWindowRequest(
            window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR)
        )
        rated = await rating.RateWindow(window, metadata=TRACEPARENT)
        with pytest.raises(grpc.aio.AioRpcError):
            await rating.ResolvePrice(pb.ResolvePriceRequest(), metadata=TRACEPARENT)
        event_told = await rating.GetEvent(pb.GetEventRequest(request_id=event.request_id))
        assert event_told.event.event.trace_id == TRACE
        collector.wait_for(5)
        assert rater.stop() == 0

    call, run, refused = collector.spans(TRACE)
    assert [each.name for each in (call, run, refused)] == [
        "phoebe.v1.RatingService/RateWindow", "rate_window", "phoebe.v1.RatingService/ResolvePrice",
    ]  # fmt: skip
    assert {each.parent_span_id.hex() for each in (call, refused)} == {PARENT}
    assert (call.kind, run.parent_span_id) == (SERVER, call.span_id)
    assert attributes_of(call)["rpc.grpc.status_code"] == 0
    assert attributes_of(refused)["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert refused.status.code == ERROR
    assert attributes_of(run)["phoebe.run.id"] == rated.run_id
    assert attributes_of(run)["phoebe.run.rollups_written"] == 1

    (batch,) = [span for span in collector.spans() if span.name == "ingest"]
    assert (batch.kind, batch.parent_span_id) == (CONSUMER, b"")
    assert [link.trace_id.hex() for link in batch.links] == [TRACE]
    said = attributes_of(batch)
    assert {name: said[f"phoebe.batch.{name}"] for name in ("events", "stored", "duplicate", "rejected")} == {
        "events": 3, "stored": 1, "duplicate": 1, "rejected": 1,
    }  # fmt: skip
    everything = "\n".join(map(str, collector.spans()))
    assert not [text for text in ("alice", "finance", "anonymous") if text in everything]
    assert collector.names == {"phoebe-rater"}
    collector.close()
    assert "Traceback" not in rater.log()
