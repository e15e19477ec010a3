"""An event is a row exactly if it keeps every rule, however the rules are looked at: alone or in columns."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.events.columns import EventColumns, check, columns_of, read_columns
from rater_service.events.validation import (
    COUNTS,
    IDS,
    OUTCOMES,
    TEXT_LENGTH_MAX,
    TIMES,
    EventRow,
    InvalidEvent,
    validate,
)

HEX_GROUPS = (8, 4, 4, 4, 12)
PLAIN = st.text(alphabet=" ~aZ09-/:", max_size=64)
WIDE = st.sampled_from("\n\x1f\x7f\u00e9\u20ac\U0001f600")
EDGE_NUMBERS = st.sampled_from([-1, 0, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)])
EDGE_SECONDS = st.sampled_from([946_684_799, 946_684_800, 4_102_444_799, 4_102_444_800, 2**63 - 1, -(2**63)])


def good_text(field: str) -> st.SearchStrategy[str]:
    full = st.just("x" * TEXT_LENGTH_MAX[field])
    wide = st.tuples(PLAIN, WIDE).map(lambda pair: f"{pair[0][:62]}{pair[1]}")
    if field in IDS:
        return st.one_of(PLAIN.map(str.strip), full)
    return st.one_of(PLAIN, full, wide)


def odd_text(field: str) -> st.SearchStrategy[str]:
    too_long = st.just("x" * (TEXT_LENGTH_MAX[field] + 1))
    untidy = [st.sampled_from([" ", " a", "a ", ",", "a,b"])] if field in IDS else []
    return st.one_of(too_long, *untidy, st.tuples(PLAIN, st.one_of(WIDE, st.just("\0")), PLAIN).map("".join))


def long_raw(character: str) -> st.SearchStrategy[str]:
    lengths = st.sampled_from([4096, 4097, 5461, 5462, 8192, 8193, 16384, 16385])
    return lengths.map(lambda length: character * length)


GOOD: dict[str, st.SearchStrategy[object]] = {
    **{field: good_text(field) for field in TEXT_LENGTH_MAX},
    "usage_raw": PLAIN,
    "producer_seq": st.integers(0, 2**53),
    "status_code": st.integers(100, 599),
    "streamed": st.booleans(),
    "model_untrusted": st.booleans(),
    "answer_bytes": st.integers(0, 2**53),
    "part_of": st.uuids().map(str),
    "part_count": st.integers(0, 32),
    "trace_id": st.integers(1, 2**128 - 1).map("{:032x}".format),
    "start_time": st.builds(Timestamp, seconds=st.integers(946_684_800, 4_102_444_799)),
    "first_byte_time": st.builds(
        Timestamp, seconds=st.just(1_700_000_000), nanos=st.integers(0, 999_999_999)
    ),
}
ODD: dict[str, st.SearchStrategy[object]] = {
    **{field: odd_text(field) for field in TEXT_LENGTH_MAX},
    **dict.fromkeys((*COUNTS, "producer_seq", "answer_bytes"), EDGE_NUMBERS),
    **dict.fromkeys(TIMES, st.builds(Timestamp, seconds=EDGE_SECONDS)),
    "usage_raw": st.one_of(st.just("\0"), st.sampled_from("x\u00e9\u20ac\U0001f600").flatmap(long_raw)),
    "status_code": st.sampled_from([-1, 0, 99, 100, 599, 600]),
    "usage_found": st.booleans(),
    "usage_partial": st.booleans(),
    "model_echoed": st.booleans(),
    "part_count": st.sampled_from([-1, 0, 32, 33, 2**31 - 1]),
    "part_of": st.one_of(st.uuids().map(lambda one: str(one).upper()), st.sampled_from(["", "x", "\0"])),
    "trace_id": st.sampled_from(["", "0" * 32, "A" * 32, "a" * 31, "a" * 33, "a" * 31 + "\n", "\u0660" * 32]),
    "outcome": st.sampled_from(["", "Completed", "completed\n", "completed|aborted"]),
    "request_id": st.one_of(
        st.uuids().map(lambda one: str(one).upper()),
        st.uuids().map(lambda one: one.hex),
        st.uuids().map(lambda one: f"{one}\n"),
        st.uuids().map(lambda one: f"{str(one)[:-1]}\u0660"),
        st.sampled_from(["", "null", "{01234567-89ab-cdef-0123-456789abcdef}"]),
    ),
}


@st.composite
def events(draw: st.DrawFn) -> MeteringEvent:
    """Events of which most are good but for a field or two at the edge of its rule or beyond."""
    seconds, nanos = st.integers(946_684_800, 4_102_444_799), st.integers(-1, 1_000_000_000)
    fields: dict[str, object] = {
        "request_id": str(draw(st.uuids())),
        "outcome": draw(st.sampled_from(OUTCOMES)),
        "event_time": Timestamp(seconds=draw(seconds), nanos=draw(nanos)),
        **draw(st.fixed_dictionaries({}, optional=GOOD)),
    }
    if draw(st.booleans()):
        counts: dict[str, st.SearchStrategy[object]] = {field: st.integers(0, 2000) for field in COUNTS}
        reported = draw(st.sampled_from(["prompt_tokens", "completion_tokens"]))
        fields |= {"usage_found": True, reported: 0, **draw(st.fixed_dictionaries({}, optional=counts))}
    for field in draw(st.lists(st.sampled_from(sorted(ODD)), max_size=2)):
        fields[field] = draw(ODD[field])
    fields.pop(draw(st.sampled_from(["", "", "", "event_time", "request_id", "outcome"])), None)
    return MeteringEvent(**fields)  # type: ignore[arg-type] # the names are the contract's


def is_uuid(text: str) -> bool:
    groups = text.split("-")
    return [len(group) for group in groups] == [*HEX_GROUPS] and set("".join(groups)) <= set(
        "0123456789abcdefABCDEF"
    )


def keeps_all_rules(event: MeteringEvent) -> bool:
    """The rules once more, in the plainest words."""
    kept = [is_uuid(event.request_id), event.outcome in OUTCOMES]
    if event.part_of:
        is_other = event.part_of.lower() != event.request_id.lower()
        kept.append(is_uuid(event.part_of) and is_other and not event.part_count)
    kept += [0 <= event.part_count <= 32, event.usage_found or not event.usage_partial]
    kept += [0 <= number <= 2**53 for number in (event.producer_seq, event.answer_bytes)]
    kept.append(not event.HasField("status_code") or 100 <= event.status_code <= 599)
    for field, length_max in TEXT_LENGTH_MAX.items():
        text = getattr(event, field)
        kept.append(len(text) <= length_max and "\0" not in text)
        kept.append(field not in IDS or (all(" " <= one <= "~" for one in text) and is_tidy(text)))
    kept.append(len(event.usage_raw.encode()) <= 16384 and "\0" not in event.usage_raw)
    kept.append(
        not event.trace_id
        or (len(event.trace_id) == 32 and {"0"} != {*event.trace_id} <= {*"0123456789abcdef"})
    )
    reported = {field for field in COUNTS if event.HasField(field)}
    kept += [0 <= getattr(event, field) <= 2**53 for field in reported]
    kept.append(
        bool(reported & {"prompt_tokens", "completion_tokens"}) if event.usage_found else not reported
    )
    for field in TIMES:
        wire = getattr(event, field)
        plausible = 946_684_800 <= wire.seconds < 4_102_444_800 and 0 <= wire.nanos < 10**9
        kept.append(plausible if event.HasField(field) else field != "event_time")
    return all(kept)


def is_tidy(text: str) -> bool:
    return not text.startswith(" ") and not text.endswith(" ") and "," not in text


def value_of(event: MeteringEvent, field: str) -> object:
    """What a row has for a field."""
    value = getattr(event, field)
    if field in {"request_id", "part_of"}:
        return UUID(value) if value else None
    if field == "trace_id":
        return bytes.fromhex(value) or None
    present = {descriptor.name for descriptor, _ in event.ListFields()}
    if MeteringEvent.DESCRIPTOR.fields_by_name[field].has_presence and field not in present:
        return None
    if isinstance(value, Timestamp):
        whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value.seconds)
        return whole + timedelta(microseconds=value.nanos // 1000)
    return None if value == "" or (field == "producer_seq" and not value) else value


@settings(max_examples=500)
@given(events())
@example(
    MeteringEvent(
        request_id="01234567-89ab-cdef-0123-456789abcdef",
        outcome="aborted",
        event_time=Timestamp(seconds=1_700_000_000),
        usage_raw="\u00e9" * 8193,
    )
)
def test_an_event_is_a_row_with_its_values_exactly_if_it_keeps_all_rules(event: MeteringEvent) -> None:
    checked = validate(event)
    assert isinstance(checked, EventRow) == keeps_all_rules(event), checked
    if isinstance(checked, EventRow):
        assert checked._asdict() == {field: value_of(event, field) for field in EventRow._fields}
    else:
        assert isinstance(checked, InvalidEvent)
        assert checked.reason


@settings(max_examples=300)
@given(st.lists(events(), min_size=1, max_size=5))
def test_events_are_columns_exactly_if_each_is_a_row_and_hold_the_same(sent: list[MeteringEvent]) -> None:
    rows = [row for event in sent if isinstance(row := validate(event), EventRow)]
    columns = read_columns(sent)
    assert (columns is not None) == (len(rows) == len(sent))
    if columns is not None:
        assert as_lists(columns) == as_lists(columns_of(rows))


@settings(max_examples=50)
@given(st.lists(st.tuples(events(), st.integers(1, 20)), max_size=8))
def test_a_batch_is_checked_as_its_events_are_one_by_one(runs: list[tuple[MeteringEvent, int]]) -> None:
    sent = [event for event, count in runs for _ in range(count)]
    checked = [validate(event) for event in sent]
    columns, invalid = check(sent)
    assert invalid == {place: one for place, one in enumerate(checked) if isinstance(one, InvalidEvent)}
    assert as_lists(columns) == as_lists(columns_of([one for one in checked if isinstance(one, EventRow)]))


def varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def on_wire(number: int, value: int | bytes) -> bytes:
    """A field as protobuf writes it: a number, or bytes with their length before them."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


VALUES = st.one_of(
    st.integers(0, 300),
    st.lists(st.integers(0, 300), max_size=3).map(lambda some: b"".join(map(varint, some))),
)
# Fields of an event, of a time in it, and of a version to come; each as number or as bytes, whatever it is.
FORMS = st.one_of(
    st.builds(on_wire, st.sampled_from([*range(1, 38), 200]), VALUES),
    st.builds(
        on_wire,
        st.sampled_from([24, 25, 26]),
        st.builds(on_wire, st.sampled_from([1, 2, 3]), VALUES),
    ),
)


@st.composite
def events_of_other_senders(draw: st.DrawFn) -> MeteringEvent:
    """Events with fields that are said twice, in another form, or that nobody knows."""
    event = MeteringEvent(
        request_id=str(draw(st.uuids())),
        outcome="completed",
        event_time=Timestamp(seconds=1_700_000_000, nanos=draw(st.sampled_from([0, 1]))),
        part_count=draw(st.sampled_from([0, 1])),
        prompt_tokens=draw(st.sampled_from([None, 0])),
    )
    event.usage_found = event.HasField("prompt_tokens")
    return read_event(event.SerializeToString() + b"".join(draw(st.lists(FORMS, max_size=3))))


def read_event(written: bytes) -> MeteringEvent:
    try:
        return MeteringEvent.FromString(written)
    except DecodeError:
        reject()


def written_event(prompt_tokens: bytes) -> MeteringEvent:
    event = MeteringEvent(
        request_id="01234567-89ab-cdef-0123-456789abcdef",
        outcome="completed",
        event_time=Timestamp(seconds=1_700_000_000),
        usage_found=True,
        completion_tokens=1,
    )
    return MeteringEvent.FromString(event.SerializeToString() + prompt_tokens)


@settings(max_examples=300)
@given(st.lists(events_of_other_senders(), min_size=1, max_size=4))
# To a list of numbers this is two of them; an event has none then.
@example([written_event(on_wire(14, b"\5\7")), written_event(b"")])
@example([written_event(on_wire(14, 5) + on_wire(14, 7)), written_event(b"")])
@example([written_event(on_wire(25, on_wire(1, varint(1_700_000_000) * 2))), written_event(b"")])
def test_however_a_field_was_sent_columns_have_what_each_event_has(sent: list[MeteringEvent]) -> None:
    checked = [validate(event) for event in sent]
    columns, invalid = check(sent)
    assert invalid == {place: one for place, one in enumerate(checked) if isinstance(one, InvalidEvent)}
    assert as_lists(columns) == as_lists(columns_of([one for one in checked if isinstance(one, EventRow)]))


def as_lists(columns: EventColumns) -> dict[str, list[object]]:
    assert {len(column) for column in columns.by_name.values()} == {columns.count}
    return {name: list(column) for name, column in columns.by_name.items()}
