"""The events of a batch as columns, checked and converted a column at a time.

`validation` has the rules, and says of one event which it breaks. Here they are asked of many events at once,
which takes a fraction of the time: what many events have in common is looked at once, and loops run in C.
Where an event breaks a rule, those around it are looked at one by one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, cast
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
    EventRow,
    InvalidEvent,
    Time,
    validate,
)
from rater_service.events.wire_columns import WireColumns
from rater_service.money import TOKENS_MAX
from rater_service.wire_time import EPOCH, NANOS_PER_SECOND

TEXTS = (*TEXT_LENGTH_MAX, "outcome", "usage_raw")
FLAGS = ("usage_found", "streamed", "model_untrusted", "usage_partial", "model_echoed")

MICROS_PER_SECOND = 1_000_000
_MICROSECOND = timedelta(microseconds=1)
_TIME_MIN_S = (TIME_MIN - EPOCH) // timedelta(seconds=1)
_TIME_END_S = (TIME_END - EPOCH) // timedelta(seconds=1)
_UUID_LENGTH = 36
_UUID_DASHES = (8, 13, 18, 23)
_UUID_BYTES = 16
# Events around one that breaks a rule. More, and more have to be looked at one by one; fewer, and the columns
# are no faster.
_NEIGHBOURS = 32
_OUTCOMES = frozenset(OUTCOMES)
_BOUNDS: Mapping[str, int] = {
    **dict.fromkeys(COUNTS, TOKENS_MAX),
    "producer_seq": PRODUCER_SEQ_MAX,
    "answer_bytes": ANSWER_BYTES_MAX,
    "part_count": PART_COUNT_MAX,
}
_PROMPT, _COMPLETION = COUNTS.index("prompt_tokens"), COUNTS.index("completion_tokens")
_NOTHING = (None,) * len(COUNTS)

type Value = bytes | str | int | None
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


def micros(moment: datetime) -> int:
    """Give a moment (UTC-aware) as microseconds since 1970."""
    return (moment - EPOCH) // _MICROSECOND


def _value_of(name: str, value: object) -> Value:
    if name in TEXTS:
        return cast("str | None", value) or ""
    if isinstance(value, datetime):
        return micros(value)
    return value.bytes if isinstance(value, UUID) else cast("int | None", value)


def read_columns(events: Sequence[MeteringEvent]) -> EventColumns | None:
    """Read events that keep all rules; None: one does not, or there is none. Never raises."""
    if not events:
        return None
    wire = WireColumns(events)
    ids = unpack_uuids(wire.texts("request_id"))
    times: dict[str, Sequence[int | None] | None] = {name: _moments(wire, name) for name in TIMES}
    if ids is None or None in times.values() or None in (times["event_time"] or ()):
        return None
    texts = {name: wire.texts(name) for name in TEXTS}
    counts: dict[str, Sequence[int | None]] = {name: wire.reported(name) for name in COUNTS}
    plain = {name: wire.numbers(name) for name in ("producer_seq", "part_count", *FLAGS)}
    codes, answer_bytes = wire.reported("status_code"), wire.reported("answer_bytes")
    part_ofs, trace_ids = wire.texts("part_of"), wire.texts("trace_id")
    if (
        not _are_within_bounds({**counts, **plain, "answer_bytes": answer_bytes}, codes)
        or not _are_texts(texts)
        or not _are_parts(part_ofs, plain["part_count"], ids)
        or not _are_trace_ids({*trace_ids})
        or not _is_usage(counts, plain)
    ):
        return None
    by_name: dict[str, Any] = {
        **texts,
        **plain,
        **counts,
        **times,
        "request_id": ids,
        "part_of": [UUID(part_of).bytes if part_of else None for part_of in part_ofs],
        "trace_id": [bytes.fromhex(trace_id) or None for trace_id in trace_ids],
        "producer_seq": [seq or None for seq in plain["producer_seq"]],
        "status_code": codes,
        "answer_bytes": answer_bytes,
    }
    return EventColumns({name: by_name[name] for name in EventRow._fields}, len(events))


def _moments(wire: WireColumns, name: Time) -> Sequence[int | None] | None:
    """Convert times, and cut off what is finer than a microsecond; None: one is not plausible."""
    seconds, nanos = wire.seconds(name), wire.nanos(name)
    if min(nanos) < 0 or max(nanos) >= NANOS_PER_SECOND:
        return None
    moments = [second * MICROS_PER_SECOND + nano // 1000 for second, nano in zip(seconds, nanos, strict=True)]
    if min(seconds) >= _TIME_MIN_S and max(seconds) < _TIME_END_S:
        return moments
    is_given = wire.are_given(name)
    if any(
        given and not _TIME_MIN_S <= second < _TIME_END_S
        for given, second in zip(is_given, seconds, strict=True)
    ):
        return None
    return [moment if given else None for given, moment in zip(is_given, moments, strict=True)]


def _are_within_bounds(numbers: Mapping[str, Sequence[int | None]], codes: Sequence[int | None]) -> bool:
    return all(_is_each_up_to(most, numbers[name]) for name, most in _BOUNDS.items()) and all(
        code is None or code in STATUS_CODES for code in {*codes}
    )


def _is_each_up_to(most: int, numbers: Sequence[int | None]) -> bool:
    """Whether each number that there is is 0 to so many."""
    given: Sequence[Any] = numbers
    if None in numbers:
        given = [number for number in numbers if number is not None] or [0]
    return bool(min(given) >= 0 and max(given) <= most)


def _are_texts(texts: Mapping[str, Sequence[str]]) -> bool:
    return (
        {*texts["outcome"]} <= _OUTCOMES
        and all(max(map(len, texts[name])) <= most for name, most in TEXT_LENGTH_MAX.items())
        and not any("\0" in "".join(column) for column in texts.values())
        and all(ID_FORM.fullmatch(text) for name in IDS for text in {*texts[name]})
        and _are_short(texts["usage_raw"])
    )


def _are_short(usages: Collection[str]) -> bool:
    # A character has four bytes at most.
    return max(map(len, usages)) <= USAGE_RAW_BYTES_MAX // 4 or all(
        len(usage.encode()) <= USAGE_RAW_BYTES_MAX for usage in usages
    )


def unpack_uuids(texts: Sequence[str]) -> Sequence[bytes] | None:
    """Turn the texts of UUIDs into the bytes of each; None: one is none in its 36-character form."""
    joined = "".join(texts)
    if {*map(len, texts)} != {_UUID_LENGTH} or any(
        {*joined[dash::_UUID_LENGTH]} != {"-"} for dash in _UUID_DASHES
    ):
        return None
    try:
        packed = bytes.fromhex(joined.replace("-", ""))
    except ValueError:
        return None
    # Too short: there were other dashes, or blanks, which are let through between two digits.
    if len(packed) != len(texts) * _UUID_BYTES:
        return None
    return [packed[start : start + _UUID_BYTES] for start in range(0, len(packed), _UUID_BYTES)]


def _are_parts(part_ofs: Sequence[str], counts: Sequence[int], ids: Sequence[bytes]) -> bool:
    """Whether what says that it is a part says of which other event, and has no parts itself."""
    parts = [place for place, part_of in enumerate(part_ofs) if part_of]
    wholes = unpack_uuids([part_ofs[place] for place in parts]) if parts else ()
    return wholes is not None and not any(
        counts[place] or whole == ids[place] for place, whole in zip(parts, wholes, strict=True)
    )


def _are_trace_ids(different: Collection[str]) -> bool:
    return all(not text or TRACE_ID_FORM.fullmatch(text) for text in different)


def _is_usage(counts: Mapping[str, Sequence[int | None]], flags: Mapping[str, Sequence[int]]) -> bool:
    """Tell whether events with usage say so, and have what is needed to bill it."""
    is_found, is_partial = flags["usage_found"], flags["usage_partial"]
    if False not in is_found and None not in counts["prompt_tokens"]:
        return True
    reported = zip(*counts.values(), strict=True)
    return all(
        (one[_PROMPT] is not None or one[_COMPLETION] is not None)
        if found
        else not partial and one == _NOTHING
        for found, partial, one in zip(is_found, is_partial, reported, strict=True)
    )
