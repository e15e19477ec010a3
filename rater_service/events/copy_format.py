"""Events in the binary format of PostgreSQL's COPY, column by column.

asyncpg writes a row at a time and a value at a time, and sends nothing until half a megabyte is there. Here
loops in C write a column at a time, what repeats is written once, and the first rows are sent while the next
ones are written: the server stores them meanwhile.

The format: https://www.postgresql.org/docs/current/sql-copy.html ("Binary Format"). A value is its length in
bytes and these bytes, all numbers big-endian; -1 stands for NULL.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import repeat
from struct import Struct
from typing import Any

from rater_service.events.columns import FLAGS, TEXTS, EventColumns
from rater_service.events.patterned import SHARED, Patterned
from rater_service.events.validation import EventRow
from rater_service.wire_time import EPOCH

COLUMNS = (*EventRow._fields, "stored_at", "summed_as_other")
"""The columns of `billing_event`."""

COPIED = (*COLUMNS, "pattern", "usage_numbers")
"""The columns of `stored_event`, in the order in which they are written."""

TYPES: Mapping[str, str] = {
    **dict.fromkeys(COLUMNS, "bigint"),
    **dict.fromkeys(TEXTS, "text"),
    **dict.fromkeys((*FLAGS, "summed_as_other"), "boolean"),
    **dict.fromkeys(("request_id", "part_of"), "uuid"),
    "trace_id": "bytea",
    **dict.fromkeys(("status_code", "part_count"), "smallint"),
    **dict.fromkeys(("event_time", "start_time", "first_byte_time", "stored_at"), "timestamptz"),
}
"""The type that each of them has in the database."""
STORED_TYPES: Mapping[str, str] = {**TYPES, "pattern": "integer", "usage_numbers": "text"}
"""The same of the columns of `stored_event`."""

# Some 100 KB: the first are sent soon, and to send one takes little of the time that it takes to write it.
_ROWS_OF_A_PIECE = 200

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_FIELD_COUNT = len(COPIED).to_bytes(2)
_NULL = b"\xff\xff\xff\xff"
_LENGTH = Struct(">i").pack
_BIGINT = Struct(">iq").pack
_INTEGER = Struct(">ii").pack
_SMALLINT = Struct(">ih").pack
_FALSE, _TRUE = b"\0\0\0\x01\0", b"\0\0\0\x01\x01"
_ID_LENGTH = b"\0\0\0\x10"
# PostgreSQL counts from the year 2000.
_MICROSECOND = timedelta(microseconds=1)
_ITS_EPOCH = (datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND


def pieces(
    events: EventColumns,
    places: Sequence[int],
    stored_at: datetime,
    others: Container[int],
    patterned: Patterned | None = None,
) -> Iterator[bytes]:
    """Write the events at these places, in their order, as what COPY takes; piece by piece, each when it is
    asked for.

    stored_at: UTC-aware; others: the places of those that are summed as events of other models, which have
    their names in their own columns, where the index on them looks; patterned: the events' patterns; None:
    all have all in their own columns.
    """
    yield _HEADER
    texts = _Texts()
    numbers, usage_numbers = _patterns(events.count, others, patterned)
    stored = _BIGINT(8, (stored_at - EPOCH) // _MICROSECOND - _ITS_EPOCH)
    for start in range(0, len(places), _ROWS_OF_A_PIECE):
        some = places[start : start + _ROWS_OF_A_PIECE]
        its_numbers, its_usage = _cut(numbers, some), _cut(usage_numbers, some)
        is_elsewhere = {**dict.fromkeys(SHARED, its_numbers), "usage_raw": its_usage}
        columns = [
            _write_own(name, _cut(events.by_name[name], some), is_elsewhere.get(name, ()), texts)
            for name in EventRow._fields
        ]
        summed_as_other = [_TRUE if place in others else _FALSE for place in some]
        rows = zip(
            repeat(_FIELD_COUNT),
            *columns,
            repeat(stored),
            summed_as_other,
            _numbers(_INTEGER, 4, its_numbers),
            map(texts.__getitem__, its_usage),
        )
        yield b"".join(map(b"".join, rows))
    yield _END


class _Texts(dict[str, bytes]):
    """Texts as they are written, each once: most are the same in many events."""

    def __missing__(self, text: str) -> bytes:
        encoded = text.encode()
        self[text] = written = _LENGTH(len(encoded)) + encoded if encoded else _NULL
        return written


def _cut[T](column: Sequence[T], places: Sequence[int]) -> Sequence[T]:
    """Give what a column has at some places; of a range, which nearly all are, in less time."""
    if isinstance(places, range):
        return column[places.start : places.stop]
    return [column[place] for place in places]


def _patterns(
    count: int, others: Container[int], patterned: Patterned | None
) -> tuple[Sequence[int | None], Sequence[str]]:
    """Give of each event the number of its pattern and the numbers of its usage, if it has them."""
    if patterned is None:
        return [None] * count, [""] * count
    if not others:
        return patterned.numbers, patterned.usage_numbers
    return (
        [None if place in others else number for place, number in enumerate(patterned.numbers)],
        ["" if place in others else numbers for place, numbers in enumerate(patterned.usage_numbers)],
    )


def _write_own(
    name: str, values: Sequence[Any], is_elsewhere: Sequence[object], texts: _Texts
) -> Iterable[bytes]:
    """Write a column but for what patterns have. is_elsewhere: what tells so; empty: they have nothing."""
    if is_elsewhere and all(is_elsewhere):
        return repeat(_NULL, len(values))
    written = _write(name, values, texts)
    if not any(is_elsewhere):
        return written
    return [_NULL if elsewhere else value for value, elsewhere in zip(written, is_elsewhere, strict=True)]


def _write(name: str, values: Sequence[Any], texts: _Texts) -> Iterable[bytes]:
    match TYPES[name]:
        case "text":
            return map(texts.__getitem__, values)
        case "bigint":
            return _numbers(_BIGINT, 8, values)
        case "timestamptz":
            moments = [value if value is None else value - _ITS_EPOCH for value in values]
            return _numbers(_BIGINT, 8, moments)
        case "boolean":
            return [_TRUE if value else _FALSE for value in values]
        case "smallint":
            return _numbers(_SMALLINT, 2, values)
    return [_NULL if value is None else _ID_LENGTH + value for value in values]


def _numbers(pack: Callable[[int, int], bytes], length: int, values: Sequence[int | None]) -> Iterable[bytes]:
    if None not in values:
        return map(pack, repeat(length), values)  # type: ignore[arg-type] # none is None
    if values.count(None) == len(values):
        return repeat(_NULL, len(values))
    return [_NULL if value is None else pack(length, value) for value in values]
