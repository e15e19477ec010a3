"""Events checked a column at a time: the same rows and the same faults as one by one."""

from collections.abc import Collection
from datetime import timedelta

import pytest

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.events.columns import check, columns_of
from rater_service.events.validation import EventRow, InvalidEvent, validate
from rater_service.wire_time import EPOCH
from tests.harness.ledger import HOUR, make_event


def some_events(count: int, bad: Collection[int]) -> list[MeteringEvent]:
    """Events of which those at some places have no outcome that there is."""
    return [
        make_event(outcome="?" if place in bad else "completed", prompt_tokens=place)
        for place in range(count)
    ]


@pytest.mark.parametrize(
    ("count", "bad"),
    [(0, ()), (1, ()), (1, (0,)), (100, ()), (100, (0, 31, 32, 99)), (100, range(32, 64)), (40, range(40))],
)
def test_each_event_is_valid_or_not_whatever_those_around_it_are(count: int, bad: Collection[int]) -> None:
    events = some_events(count, bad)
    columns, invalid = check(events)
    checked = [validate(event) for event in events]
    rows = [row for row in checked if isinstance(row, EventRow)]
    assert columns.count == len(rows) == count - len(bad)
    assert {name: list(column) for name, column in columns.by_name.items()} == columns_of(rows).by_name
    assert invalid == {place: found for place, found in enumerate(checked) if isinstance(found, InvalidEvent)}
    assert list(invalid) == list(bad)


def test_ids_times_and_texts_are_those_of_the_events() -> None:
    events = [make_event(HOUR, auth_id="alice"), make_event(HOUR + timedelta(microseconds=1), auth_id=None)]
    columns, _ = check(events)
    rows = [row for row in map(validate, events) if isinstance(row, EventRow)]
    assert list(columns.ids) == [row.request_id.bytes for row in rows]
    assert [EPOCH + timedelta(microseconds=moment) for moment in columns.times] == [
        HOUR,
        HOUR + timedelta(microseconds=1),
    ]
    assert list(columns.texts("auth_id")) == ["alice", ""]
