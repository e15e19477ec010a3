"""The events of a batch as columns, checked and converted a column at a time.

`validation` has the rules, and says of one event which it breaks. Here they are asked of many events at once,
which takes a fraction of the time: what many events have in common is looked at once, and loops run in C.
Where an event breaks a rule, those around it are looked at one by one.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any, Literal, cast
from uuid import UUID

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.events.validation import (
    ANSWER_BYTES_MAX,
    COUNTS,
    ID_FORM,
    IDS,
    OUTCOMES,
    PART_COUNT_MAX,
    PRODUCER_SEQ_MAX,
    STATUS_CODES,
    TEXT_LENGTH_MAX,
    TIME_END,
    TIME_MIN,
    TIMES,
    TRACE_ID_FORM,
    USAGE_RAW_BYTES_MAX,
    UUID_FORM,
    Count,
    EventRow,
    InvalidEvent,
    Time,
    validate,
)
from rater_service.money import TOKENS_MAX
from rater_service.wire_time import EPOCH, NANOS_PER_SECOND

TEXTS = (*TEXT_LENGTH_MAX, "outcome", "usage_raw")
FLAGS = ("usage_found", "streamed", "model_untrusted", "usage_partial", "model_echoed")

MICROS_PER_SECOND = 1_000_000
_MICROSECOND = timedelta(microseconds=1)
_TIME_MIN_S = (TIME_MIN - EPOCH) // timedelta(seconds=1)
_TIME_END_S = (TIME_END - EPOCH) // timedelta(seconds=1)
_UUID_LENGTH = 36
_UUID_BYTES = 16
_UUIDS_FORM = re.compile(f"(?:{UUID_FORM.pattern} )+", re.IGNORECASE)
# Events around one that breaks a rule. More, and more have to be looked at one by one; fewer, and the columns
# are no faster.
_NEIGHBOURS = 32
_OUTCOMES = frozenset(OUTCOMES)
_PROMPT, _COMPLETION = COUNTS.index("prompt_tokens"), COUNTS.index("completion_tokens")
_NOTHING = (None,) * len(COUNTS)

type Value = bytes | str | int | None
type _Optional = Count | Literal["status_code", "answer_bytes"]
type Columns = Mapping[str, Sequence[Value]]


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Valid events: the fields of an EventRow by their names, each as a column, in the order of the events.

    Of ids, a trace's too, there are the 16 bytes; of texts the text, "" for none; of times the microseconds
    since 1970; of all others what the row has. count: how many events there are.
    """

    by_name: Columns
    count: int

    @property
    def ids(self) -> Sequence[bytes]:
        """The events' ids. They sort as PostgreSQL sorts them."""
        return cast("Sequence[bytes]", self.by_name["request_id"])

    @property
    def times(self) -> Sequence[int]:
        """When the exchanges ended: microseconds since 1970."""
        return cast("Sequence[int]", self.by_name["event_time"])

    def texts(self, name: str) -> Sequence[str]:
        """A column of texts, "" for none."""
        return cast("Sequence[str]", self.by_name[name])

    def at(self, places: Sequence[int]) -> "EventColumns":
        """The events at some places alone."""
        return EventColumns(
            {name: [column[place] for place in places] for name, column in self.by_name.items()}, len(places)
        )


def check(events: Sequence[MeteringEvent]) -> tuple[EventColumns, Mapping[int, InvalidEvent]]:
    """Check all rules of all fields; never raises.

    Returns those that are valid as columns, and for each place in `events` with another one why it is not.
    """
    whole = read_columns(events)
    if whole is not None:
        return whole, {}
    parts: list[EventColumns] = []
    invalid: dict[int, InvalidEvent] = {}
    for start in range(0, len(events), _NEIGHBOURS):
        some = events[start : start + _NEIGHBOURS]
        columns = read_columns(some)
        if columns is None:
            checked = [validate(event) for event in some]
            columns = columns_of([row for row in checked if isinstance(row, EventRow)])
            invalid |= {
                start + place: found for place, found in enumerate(checked) if isinstance(found, InvalidEvent)
            }
        parts.append(columns)
    return _joined(parts), invalid


def _joined(parts: Sequence[EventColumns]) -> EventColumns:
    by_name = {
        name: list(chain.from_iterable(part.by_name[name] for part in parts)) for name in EventRow._fields
    }
    return EventColumns(by_name, sum(part.count for part in parts))


def columns_of(rows: Sequence[EventRow]) -> EventColumns:
    """Turn the rows of valid events into columns."""
    columns = zip(*rows, strict=True) if rows else ((),) * len(EventRow._fields)
    by_name = {
        name: [_value_of(name, value) for value in column]
        for name, column in zip(EventRow._fields, columns, strict=True)
    }
    return EventColumns(by_name, len(rows))


def _value_of(name: str, value: object) -> Value:
    if name in TEXTS:
        return cast("str | None", value) or ""
    if isinstance(value, datetime):
        return (value - EPOCH) // _MICROSECOND
    return value.bytes if isinstance(value, UUID) else cast("int | None", value)


_READ_TEXTS = (*TEXTS, "request_id", "part_of", "trace_id")
_READ_NUMBERS = (
    *(*COUNTS, "producer_seq", "status_code", "answer_bytes", "part_count", *FLAGS),
    *(f"{name}.{part}" for name in TIMES for part in ("seconds", "nanos")),
)
_texts_of: Callable[[MeteringEvent], tuple[str, ...]] = attrgetter(*_READ_TEXTS)
_numbers_of: Callable[[MeteringEvent], tuple[int, ...]] = attrgetter(*_READ_NUMBERS)


def read_columns(events: Sequence[MeteringEvent]) -> EventColumns | None:
    """Read events that keep all rules; None: one does not, or there is none. Never raises."""
    if not events:
        return None
    texts = dict(zip(_READ_TEXTS, zip(*map(_texts_of, events), strict=True), strict=True))
    numbers = dict(zip(_READ_NUMBERS, zip(*map(_numbers_of, events), strict=True), strict=True))
    counts: dict[str, Sequence[int | None]] = {
        name: _with_absent(events, name, numbers[name]) for name in COUNTS
    }
    codes = _with_absent(events, "status_code", numbers["status_code"])
    times: dict[str, Sequence[int | None] | None] = {
        name: _moments(events, name, numbers[f"{name}.seconds"], numbers[f"{name}.nanos"]) for name in TIMES
    }
    if (
        any(moments is None or (name == "event_time" and None in moments) for name, moments in times.items())
        or not _are_within_bounds(numbers, codes)
        or not _are_texts(texts)
        or not _are_parts(texts, numbers)
        or not _are_trace_ids({*texts["trace_id"]})
        or not _is_usage(counts, numbers)
    ):
        return None
    by_name: dict[str, Any] = {
        **texts,
        **numbers,
        **counts,
        **times,
        "request_id": _packed(texts["request_id"]),
        "part_of": [_packed([part_of])[0] if part_of else None for part_of in texts["part_of"]],
        "trace_id": [bytes.fromhex(trace_id) or None for trace_id in texts["trace_id"]],
        "producer_seq": [seq or None for seq in numbers["producer_seq"]],
        "status_code": codes,
        "answer_bytes": _with_absent(events, "answer_bytes", numbers["answer_bytes"]),
    }
    return EventColumns({name: by_name[name] for name in EventRow._fields}, len(events))


def _with_absent(
    events: Sequence[MeteringEvent], name: _Optional, numbers: Sequence[int]
) -> Sequence[int | None]:
    """Tell the numbers that are zero from those that are not reported."""
    if 0 not in numbers:
        return numbers
    return [
        number or (0 if event.HasField(name) else None) for event, number in zip(events, numbers, strict=True)
    ]


def _moments(
    events: Sequence[MeteringEvent], name: Time, seconds: Sequence[int], nanos: Sequence[int]
) -> Sequence[int | None] | None:
    """Convert times, and cut off what is finer than a microsecond; None: one is not plausible."""
    if min(nanos) < 0 or max(nanos) >= NANOS_PER_SECOND:
        return None
    moments = [second * MICROS_PER_SECOND + nano // 1000 for second, nano in zip(seconds, nanos, strict=True)]
    if min(seconds) >= _TIME_MIN_S and max(seconds) < _TIME_END_S:
        return moments
    is_given = [event.HasField(name) for event in events]
    if any(
        given and not _TIME_MIN_S <= second < _TIME_END_S
        for given, second in zip(is_given, seconds, strict=True)
    ):
        return None
    return [moment if given else None for given, moment in zip(is_given, moments, strict=True)]


def _are_within_bounds(numbers: Mapping[str, Sequence[int]], codes: Sequence[int | None]) -> bool:
    bounds: Mapping[str, int] = {
        **dict.fromkeys(COUNTS, TOKENS_MAX),
        "producer_seq": PRODUCER_SEQ_MAX,
        "answer_bytes": ANSWER_BYTES_MAX,
        "part_count": PART_COUNT_MAX,
    }
    return all(
        min(numbers[name]) >= 0 and max(numbers[name]) <= most for name, most in bounds.items()
    ) and all(code is None or code in STATUS_CODES for code in {*codes})


def _are_texts(texts: Mapping[str, Sequence[str]]) -> bool:
    different = {name: {*texts[name]} for name in TEXTS}
    return (
        different["outcome"] <= _OUTCOMES
        and all(max(map(len, different[name])) <= most for name, most in TEXT_LENGTH_MAX.items())
        and "\0" not in "".join(chain.from_iterable(different.values()))
        and all(ID_FORM.fullmatch(text) for name in IDS for text in different[name])
        and _are_short(different["usage_raw"])
        and _are_uuids(texts["request_id"])
    )


def _are_short(usages: Collection[str]) -> bool:
    # A character has four bytes at most.
    return max(map(len, usages)) <= USAGE_RAW_BYTES_MAX // 4 or all(
        len(usage.encode()) <= USAGE_RAW_BYTES_MAX for usage in usages
    )


def _are_uuids(texts: Sequence[str]) -> bool:
    joined = " ".join(texts) + " "
    # Blanks are where they are in the form, and there are as many as texts: none of these has one.
    return len(joined) == len(texts) * (_UUID_LENGTH + 1) and _UUIDS_FORM.fullmatch(joined) is not None


def _are_parts(texts: Mapping[str, Sequence[str]], numbers: Mapping[str, Sequence[int]]) -> bool:
    part_ofs = [part_of for part_of in texts["part_of"] if part_of]
    return not part_ofs or (
        _are_uuids(part_ofs)
        and not any(
            part_of and (count or part_of.lower() == own.lower())
            for part_of, count, own in zip(
                texts["part_of"], numbers["part_count"], texts["request_id"], strict=True
            )
        )
    )


def _are_trace_ids(different: Collection[str]) -> bool:
    return all(not text or TRACE_ID_FORM.fullmatch(text) for text in different)


def _is_usage(counts: Mapping[str, Sequence[int | None]], numbers: Mapping[str, Sequence[int]]) -> bool:
    """Tell whether events with usage say so, and have what is needed to bill it."""
    is_found, is_partial = numbers["usage_found"], numbers["usage_partial"]
    reported = zip(*counts.values(), strict=True)
    return all(
        (one[_PROMPT] is not None or one[_COMPLETION] is not None)
        if found
        else not partial and one == _NOTHING
        for found, partial, one in zip(is_found, is_partial, reported, strict=True)
    )


def _packed(texts: Sequence[str]) -> Sequence[bytes]:
    """Turn the texts of UUIDs into their bytes."""
    packed = bytes.fromhex("".join(texts).replace("-", ""))
    return [packed[start : start + _UUID_BYTES] for start in range(0, len(packed), _UUID_BYTES)]
