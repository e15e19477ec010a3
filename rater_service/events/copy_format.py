"""Events in the binary format of PostgreSQL's COPY, column by column.

asyncpg writes a row at a time and a value at a time, and sends nothing until half a megabyte is there. Here
loops in C write a column at a time, what is the same in all rows is written once, with what stands beside it,
and the first rows are sent while the next ones are written: the server stores them meanwhile.

The format: https://www.postgresql.org/docs/current/sql-copy.html ("Binary Format"). A value is its length in
bytes and these bytes, all numbers big-endian; -1 stands for NULL.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
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

# Some 30 KB: the first are sent soon, and to send one takes little of the time that it takes to write it.
_ROWS_OF_A_PIECE = 100

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_FIELD_COUNT = len(COPIED).to_bytes(2)
_NULL = b"\xff\xff\xff\xff"
_LENGTH = Struct(">i").pack
_BIGINT = Struct(">iq").pack
_PACKS: Mapping[str, tuple[Callable[..., bytes], int]] = {
    "bigint": (_BIGINT, 8),
    "integer": (Struct(">ii").pack, 4),
    "smallint": (Struct(">ih").pack, 2),
}
_FALSE, _TRUE = b"\0\0\0\x01\0", b"\0\0\0\x01\x01"
_ID_LENGTH = b"\0\0\0\x10"
# PostgreSQL counts from the year 2000.
_MICROSECOND = timedelta(microseconds=1)
_ITS_EPOCH = (datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) // _MICROSECOND
# Texts that hardly two events have in common.
_DIFFERENT = ("client_request_id", "usage_raw", "usage_numbers")

type _Part = bytes | Sequence[bytes]
"""What all of some rows have in common, or what each has, in their order. A column is one or two of them."""


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
        parts: list[_Part] = [_FIELD_COUNT]
        for name in EventRow._fields:
            values = _cut(events.by_name[name], some)
            if name in SHARED:
                parts += _write_own(name, values, its_numbers, texts)
            elif name == "usage_raw":
                parts += _write_own(name, values, its_usage, texts)
            else:
                parts += _write(name, values, texts)
        is_other = [place in others for place in some]
        parts += (stored, *_write("summed_as_other", is_other, texts))
        parts += (*_write("pattern", its_numbers, texts), *_write("usage_numbers", its_usage, texts))
        yield _rows(parts, len(some))
    yield _END


def _rows(parts: Iterable[_Part], count: int) -> bytes:
    """Put so many rows together."""
    columns: list[Iterable[bytes]] = []
    common = b""
    for part in parts:
        if isinstance(part, bytes):
            common += part
        else:
            columns += (repeat(common, count), part)
            common = b""
    columns.append(repeat(common, count))
    return b"".join(chain.from_iterable(zip(*columns, strict=True)))


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
) -> Sequence[_Part]:
    """Write a column of texts but for what patterns have. is_elsewhere: what tells so."""
    if all(is_elsewhere):
        return (_NULL,)
    if not any(is_elsewhere):
        return _write(name, values, texts)
    own = ["" if elsewhere else value for value, elsewhere in zip(values, is_elsewhere, strict=True)]
    return _write(name, own, texts)


def _write(name: str, values: Sequence[Any], texts: _Texts) -> Sequence[_Part]:
    """Write a column of one row at least."""
    first = values[0]
    if first == values[-1] and values.count(first) == len(values):
        return (b"".join(map(_one, _write_each(name, [first], texts))),)
    return _write_each(name, values, texts)


def _one(part: _Part) -> bytes:
    return part if isinstance(part, bytes) else part[0]


def _write_each(name: str, values: Sequence[Any], texts: _Texts) -> Sequence[_Part]:
    match STORED_TYPES[name]:
        case "text":
            return _write_texts(name, values, texts)
        case "timestamptz":
            moments = [value if value is None else value - _ITS_EPOCH for value in values]
            return (_numbers("bigint", moments),)
        case "boolean":
            return ([_TRUE if value else _FALSE for value in values],)
        case "bigint" | "integer" | "smallint" as type_name:
            return (_numbers(type_name, values),)
    # Of UUIDs and traces each has 16 bytes.
    if None not in values:
        return _ID_LENGTH, values
    return ([_NULL if value is None else _ID_LENGTH + value for value in values],)


def _write_texts(name: str, values: Sequence[str], texts: _Texts) -> Sequence[_Part]:
    if name not in _DIFFERENT or "" in values:
        return (list(map(texts.__getitem__, values)),)
    encoded = list(map(str.encode, values))
    return list(map(_LENGTH, map(len, encoded))), encoded


def _numbers(type_name: str, values: Sequence[int | None]) -> Sequence[bytes]:
    pack, length = _PACKS[type_name]
    if None not in values:
        return list(map(pack, repeat(length), values))
    return [_NULL if value is None else pack(length, value) for value in values]
