"""StreamEvents on a real server: one answer per batch after COMMIT, and streams that end as they should."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from phoebe_proto.v1 import metering_pb2 as pb
from rater_service.events import store
from rater_service.events.event_writer import EventWriter
from rater_service.events.producers import list_producers
from tests.harness.ledger import make_event
from tests.harness.rater import Rater

pytestmark = pytest.mark.one_postgres


def reason_of(error: grpc.aio.AioRpcError) -> str:
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert isinstance(details, bytes)
    info = ErrorInfo()
    for detail in Status.FromString(details).details:
        detail.Unpack(info)
    return str(info.reason)


async def requests(*batches: pb.StreamEventsRequest) -> AsyncIterator[pb.StreamEventsRequest]:
    for batch in batches:
        yield batch


async def test_each_batch_is_answered_in_order_with_a_result_for_each_event(rater: Rater) -> None:
    good, bad = make_event(), make_event(outcome="lost")
    other = make_event(request_id=good.request_id)
    batches = (
        pb.StreamEventsRequest(batch_id="one", events=[good, bad]),
        pb.StreamEventsRequest(batch_id="two"),
        pb.StreamEventsRequest(batch_id="three", events=[good, other]),
    )
    answers = [answer async for answer in rater.metering.StreamEvents(requests(*batches))]
    assert [answer.batch_id for answer in answers] == ["one", "two", "three"]
    results = [[(result.request_id, result.outcome) for result in answer.results] for answer in answers]
    assert results == [
        [(good.request_id, pb.EVENT_OUTCOME_STORED), (bad.request_id, pb.EVENT_OUTCOME_REJECTED)],
        [],
        [(good.request_id, pb.EVENT_OUTCOME_DUPLICATE), (good.request_id, pb.EVENT_OUTCOME_CONFLICT)],
    ]
    assert "outcome" in answers[0].results[1].reason
    assert "another event" in answers[2].results[1].reason


async def test_the_answer_to_events_that_are_all_stored_has_their_ids_as_they_were_sent(rater: Rater) -> None:
    ids = [str(uuid4()), str(uuid4()).upper(), str(uuid4())]
    batch = pb.StreamEventsRequest(batch_id="one", events=[make_event(request_id=one) for one in ids])
    (answer,) = [answer async for answer in rater.metering.StreamEvents(requests(batch))]
    assert list(answer.results) == [
        pb.EventResult(request_id=one, outcome=pb.EVENT_OUTCOME_STORED) for one in ids
    ]


async def test_what_a_producers_clock_says_is_compared_with_the_raters(
    rater: Rater, caplog: pytest.LogCaptureFixture
) -> None:
    status = pb.ProducerStatus(producer_id="slow")
    status.sent_at.FromDatetime(datetime.now(UTC) - timedelta(hours=1))
    batches = (pb.StreamEventsRequest(status=status), pb.StreamEventsRequest(status=status))
    assert len([answer async for answer in rater.metering.StreamEvents(requests(*batches))]) == 2
    (producer,) = await list_producers(rater.pool)
    assert producer.clock_skew is not None
    assert abs(producer.clock_skew + timedelta(hours=1)) < timedelta(minutes=1)
    said = [record for record in caplog.records if "the clock of producer 'slow' is" in record.message]
    assert [record.levelname for record in said] == ["ERROR"]


async def test_an_answer_comes_after_the_commit_while_the_stream_stays_open(rater: Rater) -> None:
    call = rater.metering.StreamEvents()
    for count in (1, 2):
        await call.write(pb.StreamEventsRequest(events=[make_event()]))
        answer = await call.read()
        assert isinstance(answer, pb.StreamEventsResponse)
        assert await rater.pool.fetchval("SELECT count(*) FROM billing_event") == count
    await call.done_writing()
    assert await call.read() == grpc.aio.EOF


async def test_a_full_batch_of_the_largest_events_is_taken(rater: Rater) -> None:
    raw = "x" * 16 * 1024
    batch = pb.StreamEventsRequest(events=[make_event(usage_raw=raw) for _ in range(1000)])
    (answer,) = [answer async for answer in rater.metering.StreamEvents(requests(batch))]
    assert {result.outcome for result in answer.results} == {pb.EVENT_OUTCOME_STORED}


@pytest.mark.parametrize(
    "batch",
    [
        pb.StreamEventsRequest(events=[make_event() for _ in range(1001)]),
        pb.StreamEventsRequest(batch_id="x" * 65, events=[make_event()]),
    ],
    ids=["too-many-events", "batch-id-too-long"],
)
async def test_a_batch_beyond_the_limits_is_refused_whole(
    rater: Rater, batch: pb.StreamEventsRequest
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await anext(aiter(rater.metering.StreamEvents(requests(batch))))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(refused.value) == "INVALID_REQUEST"
    assert await rater.pool.fetchval("SELECT count(*) FROM billing_event") == 0


async def test_without_the_database_nothing_is_acknowledged_and_it_is_said_that_it_is_unavailable(
    rater: Rater,
) -> None:
    await rater.pool.close()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await anext(
            aiter(rater.metering.StreamEvents(requests(pb.StreamEventsRequest(events=[make_event()]))))
        )
    assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    assert reason_of(failed.value) == "DATABASE_UNAVAILABLE"


async def test_a_connection_that_breaks_is_unavailable_and_the_next_stream_works(
    rater: Rater,
) -> None:
    event = make_event()
    async with rater.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE stored_event IN ACCESS EXCLUSIVE MODE")
        call = rater.metering.StreamEvents(requests(pb.StreamEventsRequest(events=[event])))
        answer = asyncio.ensure_future(anext(aiter(call)))
        # Until the batch waits for the table, there is nothing to break.
        while not await other.fetchval(  # noqa: ASYNC110
            "SELECT count(pg_terminate_backend(pid)) FROM pg_locks"
            " JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await answer
        assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
    again = rater.metering.StreamEvents(requests(pb.StreamEventsRequest(events=[event])))
    assert (await anext(aiter(again))).results[0].outcome == pb.EVENT_OUTCOME_STORED


async def test_a_bug_is_not_called_unavailable_and_its_traceback_is_logged(
    rater: Rater, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def misuse(writer: EventWriter, *_: object) -> None:
        await writer.connection.fetchval("SELECT $1::int + $2::int", 1)

    monkeypatch.setattr(store, "_copy", misuse)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await anext(
            aiter(rater.metering.StreamEvents(requests(pb.StreamEventsRequest(events=[make_event()]))))
        )
    assert failed.value.code() == grpc.StatusCode.INTERNAL
    assert reason_of(failed.value) == "INTERNAL"
    assert "the server expects 2 arguments for this query, 1 was passed" in caplog.text
    assert "in misuse" in caplog.text


async def test_streams_end_when_the_service_stops(rater: Rater) -> None:
    call = rater.metering.StreamEvents()
    await call.write(pb.StreamEventsRequest(events=[make_event()]))
    await call.read()
    rater.stopping.set()
    with pytest.raises(grpc.aio.AioRpcError) as ended:
        await asyncio.wait_for(call.read(), timeout=10)
    assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
    assert reason_of(ended.value) == "STOPPING"
