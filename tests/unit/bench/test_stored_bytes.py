"""What is said of bytes, and which events they are of."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bench.batches import BATCH_EVENTS, make_batch
from bench.ratio import Pair
from bench.stored_bytes import (
    HOUR_BATCHES,
    HOURS,
    HOURS_BEFORE,
    KEYS,
    NAMES,
    Stored,
    Written,
    batches_before,
    results_of,
)
from phoebe_proto.v1.metering_pb2 import StreamEventsRequest

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
EVENTS = 2 * HOURS * HOUR_BATCHES * BATCH_EVENTS


def test_bytes_are_of_an_event_and_of_a_key_and_hour() -> None:
    half = EVENTS // 2
    written = [
        Pair(Written(half * 300, 4), Written(half * 600, 8)),
        Pair(Written(half * 400, 6), Written(half * 600, 8)),
    ]
    stored = Pair(
        Stored(EVENTS * 350, EVENTS * 70, 20_000, 30_000, 10_000),
        Stored(EVENTS * 700, EVENTS * 140, 60_000, 40_000, 20_000),
    )
    at_end = Pair(replace(stored.phoebe, events=0), replace(stored.reference, events=0, event_indexes=0))
    disk, log, kept = results_of(written, stored, EVENTS, at_end, key_hours=100)
    assert (disk.name, log.name, kept.name) == NAMES
    assert (disk.ratio.median, disk.ratio.phoebe, disk.ratio.reference) == (0.5, 350, 700)
    assert "70 and 140 bytes of it" in disk.note
    assert (log.ratio.low, log.ratio.phoebe, log.ratio.reference) == (0.5, 350, 600)
    assert "5 and 8 pages were logged whole" in log.note
    assert (kept.ratio.median, kept.ratio.phoebe, kept.ratio.reference) == (0.5, 500, 1000)
    assert "200 and 600 bytes are of sums; the ledger besides: 100 and 200 bytes" in kept.note


def test_exchanges_of_a_batch_end_one_after_the_other_before_now() -> None:
    request = StreamEventsRequest.FromString(
        make_batch(1, NOW, spread=timedelta(seconds=BATCH_EVENTS)).request
    )
    ended = [event.event_time.ToDatetime(UTC) for event in request.events]
    assert ended == [NOW - timedelta(seconds=BATCH_EVENTS - place) for place in range(BATCH_EVENTS)]


def test_the_hours_before_have_each_key_in_each_batch_and_end_where_the_others_begin() -> None:
    first, *_, last = batches_before(NOW, HOURS_BEFORE - 1, 2)
    events = [
        event for batch in (first, last) for event in StreamEventsRequest.FromString(batch.request).events
    ]
    ended = [event.event_time.ToDatetime(UTC) for event in events]
    assert NOW - timedelta(hours=1) < min(ended)
    assert max(ended) < NOW
    assert len({(event.auth_id, event.resource_id) for event in events}) == KEYS == len(events) // 2
    assert min(event.producer_seq for event in events) > EVENTS
