"""What the benchmark of storing events sends to both sides, and what it makes of the times."""

from datetime import UTC, datetime

from bench.batches import BATCH_EVENTS, COLUMNS, make_batch
from bench.feeder import Fed
from bench.ingest import result_of
from phoebe_addon.delivery import delivery
from phoebe_proto.v1.metering_pb2 import StreamEventsRequest
from rater_service.events.producer_status import StatusRow, validate_status
from rater_service.events.validation import EventRow, validate

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_batch_is_as_large_as_an_addons() -> None:
    assert BATCH_EVENTS == delivery.BATCH_EVENTS_MAX


def test_both_sides_store_the_same_rows() -> None:
    batch = make_batch(1, NOW)
    request = StreamEventsRequest.FromString(batch.request)
    assert len(request.events) == len(batch.rows) == BATCH_EVENTS
    for event, row in zip(request.events, batch.rows, strict=True):
        checked = validate(event)
        assert isinstance(checked, EventRow), checked
        known = {name: value for name, value in checked._asdict().items() if value is not None}
        assert {**known, "stored_at": NOW} == dict(zip(COLUMNS, row, strict=True))


def test_events_have_ids_of_their_own_numbers_without_gaps_and_a_status() -> None:
    batches = [make_batch(first, NOW) for first in (1, 1 + BATCH_EVENTS)]
    requests = [StreamEventsRequest.FromString(batch.request) for batch in batches]
    events = [event for request in requests for event in request.events]
    assert len({event.request_id for event in events}) == len(events)
    assert [event.producer_seq for event in events] == list(range(1, len(events) + 1))
    for request in requests:
        status = validate_status(request.status, NOW)
        assert isinstance(status, StatusRow)
        assert status.last_seq == request.events[-1].producer_seq


def test_the_ratio_is_of_the_events_in_a_second() -> None:
    fed = [Fed(1000, 2.0, 1.0, 100, 0.05), Fed(1000, 1.0, 1.0, 100, 0.05), Fed(1000, 1.25, 1.0, 100, 0.1)]
    result = result_of(fed)
    assert (result.name, result.unit) == ("ingest", "events/s")
    assert (result.ratio.low, result.ratio.median, result.ratio.high) == (0.5, 0.8, 1.0)
    assert (result.ratio.phoebe, result.ratio.reference) == (800, 1000)
    assert "duplicates: 1,500 events/s" in result.note
