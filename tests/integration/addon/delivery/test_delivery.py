import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from phoebe_addon.addon_version import addon_version
from phoebe_addon.delivery import delivery as delivery_module
from phoebe_addon.delivery.delivery import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, FEW_EVENTS
from phoebe_addon.spool.spools import open_own
from phoebe_proto.v1 import metering_pb2
from phoebe_proto.v1.metering_pb2 import StreamEventsRequest, StreamEventsResponse
from tests.harness.recording_rater import (
    INSTALLATION,
    RecordingRater,
    Sender,
    answer_to,
    out_of_service,
    stored,
)
from tests.harness.spooled import event


@pytest.fixture
async def rater() -> AsyncIterator[RecordingRater]:
    rater = RecordingRater()
    await rater.start()
    yield rater
    await rater.stop()


@pytest.fixture
async def sender(rater: RecordingRater, tmp_path: Path) -> AsyncIterator[Sender]:
    sender = Sender(open_own(tmp_path, 10**9), f"127.0.0.1:{rater.port}")
    yield sender
    if sender.task:
        sender.task.cancel()
        await asyncio.wait([sender.task])
    sender.spool.close()


async def test_events_are_sent_with_producer_and_number_and_leave_the_spool(
    sender: Sender, rater: RecordingRater
) -> None:
    await sender.write(3)
    sender.start()
    await sender.until_empty()

    (batch,) = rater.batches
    assert [(event.request_id, event.producer_id, event.producer_seq) for event in batch.events] == [
        (f"r{number}", sender.spool.producer_id, number) for number in (1, 2, 3)
    ]
    assert sender.counted == {"stored": 3}


async def test_a_batch_says_what_the_clock_says_when_it_is_sent(
    sender: Sender, rater: RecordingRater
) -> None:
    before = datetime.now(UTC)
    await sender.write(1)
    sender.start()
    await sender.until_empty()

    (said,) = (batch.status.sent_at.ToDatetime(UTC) for batch in rater.batches if batch.events)
    assert before <= said <= datetime.now(UTC)


async def test_an_event_stays_in_the_spool_until_its_answer_has_come(
    sender: Sender, rater: RecordingRater
) -> None:
    may_answer = asyncio.Event()

    async def late(request: StreamEventsRequest) -> StreamEventsResponse:
        await may_answer.wait()
        return answer_to(request)

    rater.answers = [late]
    sender.start()
    await sender.write(2)
    await sender.until(lambda: len(rater.batches) == 1)

    assert sender.spool.depth() == 2
    assert sender.counted == {}
    may_answer.set()
    await sender.until_empty()


async def test_events_that_come_later_are_sent_when_told_of(sender: Sender, rater: RecordingRater) -> None:
    sender.start()
    for count in (1, 2, 3):
        await sender.write(count)
        await sender.until_empty()

    assert rater.sent() == [1, 2, 3, 4, 5, 6]
    assert rater.streams_ended == 0


async def test_many_events_go_in_batches_in_their_order(sender: Sender, rater: RecordingRater) -> None:
    count = 2 * BATCH_EVENTS_MAX + 1
    await sender.write(count)
    sender.start()
    await sender.until_empty()

    assert [len(batch.events) for batch in rater.batches] == [BATCH_EVENTS_MAX, BATCH_EVENTS_MAX, 1]
    assert rater.sent() == list(range(1, count + 1))
    assert len({batch.batch_id for batch in rater.batches}) == 3
    assert {batch.status.version for batch in rater.batches} == {addon_version()}


@pytest.mark.parametrize(("written", "gathers"), [(FEW_EVENTS, False), (FEW_EVENTS + 1, True)])
async def test_events_that_come_fast_gather_and_few_do_not_wait(
    sender: Sender, rater: RecordingRater, monkeypatch: pytest.MonkeyPatch, *, written: int, gathers: bool
) -> None:
    paused, go_on = asyncio.Event(), asyncio.Event()

    async def pause(_seconds: float) -> None:
        paused.set()
        await go_on.wait()

    monkeypatch.setattr(sender.delivery, "_sleep", pause)
    await sender.write(written)
    sender.start()
    if gathers:
        await paused.wait()
        for _ in range(3):
            await sender.write(1)
        go_on.set()
    await sender.until_empty()

    assert [len(batch.events) for batch in rater.batches] == ([written, 3] if gathers else [written])
    assert paused.is_set() == gathers


@pytest.mark.parametrize(
    ("outcome", "name"),
    [
        (metering_pb2.EVENT_OUTCOME_DUPLICATE, "duplicate"),
        (metering_pb2.EVENT_OUTCOME_CONFLICT, "conflict"),
        (metering_pb2.EVENT_OUTCOME_REJECTED, "rejected"),
    ],
)
async def test_whatever_the_rater_made_of_an_event_it_is_forgotten_and_counted(
    sender: Sender, rater: RecordingRater, caplog: pytest.LogCaptureFixture, outcome: int, name: str
) -> None:
    async def answer(request: StreamEventsRequest) -> StreamEventsResponse:
        return answer_to(request, outcome, "model_id: too long")

    rater.answers = [answer]
    await sender.write(2)
    sender.start()
    await sender.until_empty()

    assert sender.counted == {name: 2}
    assert len(rater.batches) == 1
    assert "kept event r2 aside: model_id: too long" in caplog.text


async def test_a_rater_out_of_service_gets_the_same_events_again(
    sender: Sender, rater: RecordingRater, caplog: pytest.LogCaptureFixture
) -> None:
    rater.answers = [out_of_service, out_of_service]
    await sender.write(2)
    sender.start()
    await sender.until_empty()

    assert rater.sent() == [1, 2] * 3
    assert sender.counted == {"stored": 2}
    assert "events wait in the spool" in caplog.text
    assert "the database can't be reached" in caplog.text


async def test_a_rater_that_goes_away_before_its_answer_gets_the_events_when_it_is_back(
    sender: Sender, rater: RecordingRater
) -> None:
    async def never(request: StreamEventsRequest) -> None:
        await asyncio.Event().wait()

    rater.answers = [stored, never]
    sender.start()
    await sender.write(1)
    await sender.until_empty()
    await sender.write(2)
    await sender.until(lambda: len(rater.batches) == 2)
    await rater.stop()
    await sender.write(1)
    assert sender.spool.depth() == 3

    await rater.start()
    await sender.until_empty()

    assert rater.sent() == [1, 2, 3, 2, 3, 4]


async def test_a_rater_that_was_away_at_the_start_gets_the_events_when_it_comes(
    sender: Sender, rater: RecordingRater
) -> None:
    await rater.stop()
    await sender.write(2)
    sender.start()

    await rater.start()
    await sender.until_empty()

    assert rater.sent() == [1, 2]


async def test_a_stream_that_ended_while_there_was_nothing_to_send_is_replaced(
    sender: Sender, rater: RecordingRater
) -> None:
    sender.start()
    for round_number in range(1, 6):
        await sender.write(1)
        await sender.until_empty()
        await rater.stop()
        await sender.until(lambda ended=round_number: rater.streams_ended == ended)  # type: ignore[misc]
        await rater.start()

    assert rater.sent() == [1, 2, 3, 4, 5]


async def test_a_stream_that_ends_without_an_answer_is_replaced(
    sender: Sender, rater: RecordingRater
) -> None:
    async def nothing(request: StreamEventsRequest) -> None:
        return None

    rater.answers = [nothing]
    await sender.write(1)
    sender.start()
    await sender.until_empty()

    assert rater.sent() == [1, 1]


async def test_a_rater_that_does_not_answer_in_time_is_asked_again(
    sender: Sender, rater: RecordingRater, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(request: StreamEventsRequest) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(delivery_module, "ANSWER_TIMEOUT_S", 0.5)
    rater.answers = [never]
    await sender.write(1)
    sender.start()
    await sender.until_empty()

    assert rater.sent()[:2] == [1, 1]


def _other_batch(response: StreamEventsResponse) -> None:
    response.batch_id = "another"


def _too_few(response: StreamEventsResponse) -> None:
    del response.results[0]


def _too_many(response: StreamEventsResponse) -> None:
    response.results.add(request_id="r9", outcome=metering_pb2.EVENT_OUTCOME_STORED)


def _another_order(response: StreamEventsResponse) -> None:
    response.results.reverse()


def _no_outcome(response: StreamEventsResponse) -> None:
    response.results[1].outcome = metering_pb2.EVENT_OUTCOME_UNSPECIFIED


def _unknown_outcome(response: StreamEventsResponse) -> None:
    response.results[1].outcome = 99  # type: ignore[assignment]


@pytest.mark.parametrize(
    "spoil", [_other_batch, _too_few, _too_many, _another_order, _no_outcome, _unknown_outcome]
)
async def test_an_answer_that_does_not_fit_makes_nothing_forgotten(
    sender: Sender,
    rater: RecordingRater,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[StreamEventsResponse], None],
) -> None:
    async def unfit(request: StreamEventsRequest) -> StreamEventsResponse:
        response = answer_to(request)
        spoil(response)
        return response

    rater.answers = [unfit]
    await sender.write(2)
    sender.start()
    await sender.until(lambda: len(rater.batches) == 2)
    await sender.until_empty()

    assert rater.sent() == [1, 2, 1, 2]
    assert sender.counted == {"stored": 2}
    assert "does not fit the batch" in caplog.text


async def test_a_spool_that_cannot_be_read_for_a_while_does_not_end_the_delivery(
    sender: Sender, rater: RecordingRater, caplog: pytest.LogCaptureFixture
) -> None:
    await sender.spool.bind(INSTALLATION)  # so that nothing is to be written
    await sender.write(1)
    connection = sender.spool._file.connection
    connection.set_progress_handler(lambda: 1, 1)  # SQLite gives up whatever it is asked to do
    with caplog.at_level(logging.WARNING):
        sender.start()
        await sender.until(lambda: "the spool can't be read" in caplog.text)
    connection.set_progress_handler(None, 0)

    await sender.until_empty()

    assert rater.sent() == [1]


async def test_delivery_ends_when_it_is_cancelled(sender: Sender, rater: RecordingRater) -> None:
    sender.start()
    await sender.write(1)
    await sender.until_empty()
    assert sender.task
    sender.task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await sender.task
    sender.task = None
    await sender.until(lambda: rater.streams_ended == 1)


async def test_every_batch_says_how_the_producer_stands(sender: Sender, rater: RecordingRater) -> None:
    before = datetime.now(UTC)
    await sender.spool.admit("open", b"", before)
    await sender.write(3)
    sender.start()
    await sender.until_empty()

    status = rater.batches[0].status
    assert status.producer_id == sender.spool.producer_id
    assert (status.last_seq, status.spooled_events, status.open_exchanges, status.lost_rows) == (3, 3, 1, 0)
    assert status.complete_until.ToDatetime(UTC) == before
    assert not status.stopped


async def test_a_spool_with_nothing_to_send_says_so_now_and_then(
    sender: Sender, rater: RecordingRater, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "IDLE_WAIT_S", 0.05)
    before = datetime.now(UTC)
    sender.start()
    await sender.until(lambda: len(rater.batches) >= 3)

    assert not any(batch.events for batch in rater.batches)
    times = [batch.status.complete_until.ToDatetime(UTC) for batch in rater.batches]
    assert times == sorted(times)
    assert before < times[0] < times[-1]


async def test_the_last_word_is_that_the_producer_stopped(sender: Sender, rater: RecordingRater) -> None:
    await sender.write(2)
    sender.start()
    sender.delivery.finish()
    assert sender.task
    await asyncio.wait_for(sender.task, 20)

    last = rater.batches[-1]
    assert (list(last.events), last.status.stopped, last.status.last_seq) == ([], True, 2)
    assert last.status.spooled_events == last.status.open_exchanges == 0
    assert sum(batch.status.stopped for batch in rater.batches) == 1
    sender.spool.close()
    assert sender.spool._file.stopped


async def test_no_producer_is_said_to_have_stopped_while_an_exchange_is_open(
    sender: Sender, rater: RecordingRater, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "IDLE_WAIT_S", 0.05)
    await sender.spool.admit("open", b"", datetime.now(UTC))
    sender.delivery.finish()
    sender.start()
    await sender.until(lambda: len(rater.batches) == 2)
    assert not any(batch.status.stopped for batch in rater.batches)

    await sender.spool.until_durable(sender.spool.finish("open", [event("open")], datetime.now(UTC)))
    sender.delivery.wake()

    assert sender.task
    await asyncio.wait_for(sender.task, 20)
    assert rater.sent() == [1]
    assert rater.batches[-1].status.stopped


async def test_an_event_that_is_none_is_set_aside_and_the_others_are_sent(
    sender: Sender, rater: RecordingRater
) -> None:
    await sender.spool.until_durable(sender.spool.finish("none", [b"\xff\xff"], datetime.now(UTC)))
    await sender.write(2)
    sender.start()
    await sender.until_empty()

    assert [event.request_id for batch in rater.batches for event in batch.events] == ["r1", "r2"]
    assert sender.spool.lost_rows == 1


async def test_the_rater_hears_of_the_producer_that_a_damaged_file_ended(
    sender: Sender, rater: RecordingRater
) -> None:
    await sender.write(2)
    ended = sender.spool.producer_id
    sender.spool._file.connection.execute("DROP TABLE producer")
    await sender.write(1)
    sender.start()
    await sender.until(lambda: any(batch.status.producer_id == ended for batch in rater.batches))

    told = [batch for batch in rater.batches if batch.status.producer_id == ended]
    assert [(batch.status.stopped, batch.status.last_seq, batch.status.lost_rows) for batch in told] == [
        (True, 2, 0)
    ]
    sent = [(event.producer_id, event.producer_seq) for batch in rater.batches for event in batch.events]
    assert sorted(sent) == [(ended, 1), (ended, 2), (sender.spool.producer_id, 1)]
    await sender.until(lambda: sender.spool.departed() == [])


async def test_a_batch_is_no_larger_than_a_message_may_be(sender: Sender, rater: RecordingRater) -> None:
    big = event("big", size=BATCH_BYTES_MAX // 2)
    for _ in range(3):
        await sender.spool.until_durable(sender.spool.finish("big", [big], datetime.now(UTC)))
    sender.start()
    await sender.until_empty()

    assert [len(batch.events) for batch in rater.batches] == [1, 1, 1]
