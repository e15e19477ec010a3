"""Events as COPY takes them, read back by a reader that knows nothing of how they are written."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest

from rater_service.events.columns import columns_of
from rater_service.events.copy_format import COPIED, STORED_TYPES, pieces
from rater_service.events.patterned import SHARED, Patterned
from rater_service.events.validation import EventRow, validate
from tests.harness.ledger import make_event

NOW = datetime(2026, 11, 20, 12, 0, 1, 2, tzinfo=UTC)
FIRST = datetime(2000, 1, 1, tzinfo=UTC)
WITHOUT_PATTERN = {"pattern": None, "usage_numbers": None}


def read_back(written: bytes) -> Iterator[dict[str, object]]:
    """The rows of a file in PostgreSQL's binary format."""
    assert written.startswith(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    at = 19

    def take(length: int) -> bytes:
        nonlocal at
        at += length
        return written[at - length : at]

    while (fields := int.from_bytes(take(2), signed=True)) != -1:
        assert fields == len(COPIED)
        row: dict[str, object] = {}
        for name in COPIED:
            length = int.from_bytes(take(4), signed=True)
            row[name] = None if length == -1 else value_of(STORED_TYPES[name], take(length))
        yield row
    assert at == len(written)


def value_of(type_name: str, value: bytes) -> object:
    number = int.from_bytes(value, signed=True)
    match type_name:
        case "text":
            return value.decode()
        case "bytea":
            return value
        case "uuid":
            return UUID(bytes=value)
        case "timestamptz":
            assert len(value) == 8
            return FIRST + timedelta(microseconds=number)
        case "boolean":
            assert len(value) == 1
            return bool(number)
    assert len(value) == {"bigint": 8, "integer": 4, "smallint": 2}[type_name]
    return number


def some_rows(count: int) -> list[EventRow]:
    """Rows that are alike in some fields, differ in others, and lack some."""
    random = Random(1)
    optional: dict[str, object] = {
        "client_request_id": "c",
        "user_id": "Zoë",
        "base_model": "b" * 200,
        "usage_raw": '{"a": "é€"}',
        "status_code": 599,
        "finish_reason": "stop",
        "cached_tokens": 0,
        "completion_audio_tokens": 2**53,
        "answer_bytes": 70_000,
        "first_byte_time": make_event().event_time,
        "streamed": True,
        "model_untrusted": True,
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
    }
    rows = []
    for number in range(count):
        some = {name: value for name, value in optional.items() if random.random() < 0.5}
        row = validate(make_event(**some, prompt_tokens=number, part_count=number % 33))
        assert isinstance(row, EventRow), row
        rows.append(row)
    part = validate(make_event(part_of="01939f2e-0000-7000-8000-000000000000"))
    assert isinstance(part, EventRow)
    return [*rows, part]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 450])
def test_what_is_written_is_what_the_rows_have(count: int) -> None:
    rows = some_rows(count)
    written = b"".join(pieces(columns_of(rows), range(len(rows)), NOW, {0}))
    assert list(read_back(written)) == [
        row.stored(NOW) | {"summed_as_other": place == 0} | WITHOUT_PATTERN for place, row in enumerate(rows)
    ]


def test_what_a_pattern_has_is_left_out_but_of_events_that_are_summed_as_others() -> None:
    rows = some_rows(3)
    patterned = Patterned([7, None, 2**31 - 1, 7], ["1 2", "", "", "3"], {})
    written = b"".join(pieces(columns_of(rows), range(4), NOW, {3}, patterned))
    shared = dict.fromkeys(SHARED)
    assert list(read_back(written)) == [
        rows[0].stored(NOW)
        | {"summed_as_other": False, "pattern": 7, **shared, "usage_raw": None, "usage_numbers": "1 2"},
        rows[1].stored(NOW) | {"summed_as_other": False} | WITHOUT_PATTERN,
        rows[2].stored(NOW)
        | {"summed_as_other": False, "pattern": 2**31 - 1, **shared, "usage_numbers": None},
        rows[3].stored(NOW) | {"summed_as_other": True} | WITHOUT_PATTERN,
    ]


def test_only_what_is_asked_for_is_written_in_the_order_that_is_asked_for() -> None:
    rows = some_rows(300)
    places = Random(2).sample(range(len(rows)), 150)
    written = b"".join(pieces(columns_of(rows), places, NOW, {places[3]}))
    read = list(read_back(written))
    assert [row["request_id"] for row in read] == [rows[place].request_id for place in places]
    assert [place for place, row in enumerate(read) if row["summed_as_other"]] == [3]


def test_the_first_rows_are_there_before_the_last_ones_are_written() -> None:
    written = [len(piece) for piece in pieces(columns_of(some_rows(500)), range(501), NOW, ())]
    assert max(written) < sum(written) / 2


def test_nothing_is_a_file_without_rows() -> None:
    assert list(read_back(b"".join(pieces(columns_of([]), (), NOW, ())))) == []
