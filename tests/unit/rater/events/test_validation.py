"""The rules of an event's fields, each with the reason it gives."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.events.columns import columns_of, read_columns
from rater_service.events.validation import IDS, EventRow, InvalidEvent, validate
from rater_service.wire_time import to_timestamp
from tests.harness.identity_examples import EXAMPLES
from tests.harness.ledger import HOUR, make_event

PARTS = (
    "cached_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
)
COUNTS = ("prompt_tokens", "completion_tokens", *PARTS)


def reasons(**fields: object) -> list[str]:
    """What is wrong with an event, one text per fault."""
    checked = checked_twice(make_event(**fields))
    return checked.reason.split("; ") if isinstance(checked, InvalidEvent) else []


def row(**fields: object) -> EventRow:
    checked = checked_twice(make_event(**fields))
    assert isinstance(checked, EventRow), checked
    return checked


def checked_twice(event: MeteringEvent) -> EventRow | InvalidEvent:
    """An event that is looked at alone, and in columns, which have to agree."""
    checked = validate(event)
    columns = read_columns([event])
    assert (columns is not None) == isinstance(checked, EventRow)
    if columns is not None and isinstance(checked, EventRow):
        assert {name: [*column] for name, column in columns.by_name.items()} == columns_of([checked]).by_name
    return checked


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        *(("request_id", value, "must be a UUID in its 36-character form") for value in (
            None, "null", "chatcmpl-213", "0" * 32, "{01234567-89ab-cdef-0123-456789abcdef}",
            "01234567-89ab-cdef-0123-456789abcdeg", "01234567-89ab-cdef-0123-456789abcdef\n",
        )),
        ("producer_id", "x" * 65, "must be at most 64 characters"),
        ("producer_seq", -1, "must be 1 to 2^53, or 0 for none"),
        *((name, "x" * 257, "must be at most 256 characters") for name in (
            "client_request_id", "user_id", "group_id", "resource_type", "base_model", "model_id",
            "requested_model",
        )),
        *((name, "x" * 65, "must be at most 64 characters") for name in (
            "auth_id", "resource_id", "api", "finish_reason",
        )),
        *((name, "a\0b", "must not contain the character NUL") for name in (
            "user_id", "model_id", "usage_raw", "api",
        )),
        ("auth_id", "é", "must be printable ASCII"),
        ("resource_id", "a\tb", "must be printable ASCII"),
        ("auth_id", " ", "must not be blank"),
        ("resource_id", " a", "must not begin or end with a blank"),
        ("auth_id", "a,b", "must not have a comma, as if two ids had been joined"),
        ("usage_raw", "é" * 8193, "must be at most 16384 bytes"),
        ("outcome", None, "must be one of completed, aborted, upstream_error, proxy_error"),
        ("outcome", "Completed", "must be one of completed, aborted, upstream_error, proxy_error"),
        *(("status_code", value, "must be 100 to 599") for value in (0, 99, 600, -1)),
        *((name, value, "must be 0 to 2^53")
          for value in (-1, 2**53 + 1) for name in (*COUNTS, "answer_bytes")),
        *(("trace_id", value, "must be 32 lower-case hexadecimal digits, not all zero") for value in (
            "0" * 32, "a" * 31, "a" * 33, "a" * 31 + "\n", "A" * 32, "\u0660" * 32,
        )),
        ("event_time", None, "is required"),
        *((name, value, "must be within the years 2000 to 2099, with nanos 0 to 999,999,999")
          for name in ("event_time", "start_time", "first_byte_time")
          for value in (
              Timestamp(), Timestamp(seconds=946684799), Timestamp(seconds=4102444800),
              Timestamp(seconds=2**63 - 1), Timestamp(seconds=-(2**63)),
              Timestamp(seconds=1700000000, nanos=-1),
              Timestamp(seconds=1700000000, nanos=1_000_000_000),
          )),
    ],
)  # fmt: skip
def test_a_field_that_breaks_its_rule_is_named(field: str, value: object, fault: str) -> None:
    assert reasons(**{field: value}) == [f"{field}: {fault}"]


@pytest.mark.parametrize("field", COUNTS)
def test_counts_without_usage_are_refused(field: str) -> None:
    assert reasons(usage_found=False, **{field: 0}) == [f"usage_found: is false, but {field} is given"]


@pytest.mark.parametrize("others", [{}, dict.fromkeys(PARTS, 1)])
def test_usage_needs_a_prompt_or_a_completion_count(others: dict[str, object]) -> None:
    given = {"prompt_tokens": None, "completion_tokens": None, "cached_tokens": None} | others
    assert reasons(**given) == [
        "usage_found: is true, but neither prompt_tokens nor completion_tokens is given"
    ]


def test_every_bad_field_is_named_at_once() -> None:
    api = "x" * 65
    faults = reasons(request_id="x", producer_seq=-1, api=api, outcome="?", prompt_tokens=-1, event_time=None)
    assert [fault.partition(":")[0] for fault in faults] == [
        "request_id",
        "producer_seq",
        "outcome",
        "api",
        "prompt_tokens",
        "event_time",
    ]


def test_an_empty_message_is_refused_with_all_that_is_missing() -> None:
    checked = checked_twice(MeteringEvent())
    assert isinstance(checked, InvalidEvent)
    assert [fault.partition(":")[0] for fault in checked.reason.split("; ")] == [
        "request_id",
        "outcome",
        "event_time",
    ]


def test_an_event_needs_no_more_than_an_id_an_outcome_and_a_time() -> None:
    least = MeteringEvent(request_id=str(UUID(int=1)), outcome="aborted", event_time=to_timestamp(HOUR))
    checked = checked_twice(least)
    assert isinstance(checked, EventRow)
    assert [name for name, value in checked._asdict().items() if value is not None] == [
        "request_id",
        "usage_found",
        "outcome",
        "streamed",
        "event_time",
        "model_untrusted",
        "part_count",
        "usage_partial",
        "model_echoed",
    ]


def test_a_row_has_every_field_of_the_event() -> None:
    assert sorted(EventRow._fields) == sorted(MeteringEvent.DESCRIPTOR.fields_by_name)


@pytest.mark.parametrize("marked", [False, True])
def test_whether_the_model_can_be_trusted_is_carried_as_it_is(marked: bool) -> None:
    assert row(model_untrusted=marked).model_untrusted is marked
    assert row(model_untrusted=marked, usage_found=False).model_untrusted is marked


@pytest.mark.parametrize("field", COUNTS)
@pytest.mark.parametrize("count", [0, 2**53])
def test_the_bounds_of_counts_are_valid_and_zero_is_not_none(field: str, count: int) -> None:
    assert getattr(row(**{field: count}), field) == count


@pytest.mark.parametrize("passed_on", [0, 2**53])
def test_the_bytes_of_an_answer_need_no_usage_and_zero_is_not_none(passed_on: int) -> None:
    without_usage = dict.fromkeys(COUNTS)
    assert row(answer_bytes=passed_on, usage_found=False, **without_usage).answer_bytes == passed_on
    assert row(answer_bytes=None).answer_bytes is None


@pytest.mark.parametrize("part", ["cached_tokens", "cache_write_tokens", "prompt_audio_tokens"])
def test_more_of_a_part_than_prompt_tokens_is_kept_as_reported(part: str) -> None:
    assert getattr(row(prompt_tokens=1, **{part: 2}), part) == 2


def test_what_is_not_known_is_none() -> None:
    empty = row(
        auth_id="",
        resource_id=None,
        model_id="",
        cached_tokens=None,
        status_code=None,
        usage_raw="",
        user_id="",
    )
    assert (empty.auth_id, empty.resource_id, empty.model_id, empty.user_id, empty.usage_raw) == (None,) * 5
    assert (empty.cached_tokens, empty.status_code, empty.first_byte_time) == (None,) * 3
    assert (empty.reasoning_tokens, empty.cache_write_tokens) == (None,) * 2
    assert (empty.prompt_audio_tokens, empty.completion_audio_tokens) == (None,) * 2


def test_an_id_in_capitals_is_the_same_id() -> None:
    assert row(request_id="01234567-89AB-CDEF-0123-456789ABCDEF").request_id == UUID(
        "01234567-89ab-cdef-0123-456789abcdef"
    )


def test_a_time_is_cut_to_microseconds_and_stays_in_its_hour() -> None:
    last = Timestamp(seconds=1_700_002_799, nanos=999_999_999)
    assert row(event_time=last).event_time == datetime(2023, 11, 14, 22, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(("written", "known_as"), EXAMPLES)
@pytest.mark.parametrize("field", IDS)
def test_what_is_an_id_is_what_it_is_for_the_gate(field: str, written: str, known_as: str | None) -> None:
    row = validate(make_event(**{field: written}))
    if written == known_as:
        assert isinstance(row, EventRow)
        assert getattr(row, field) == written
    else:
        assert isinstance(row, InvalidEvent)
        assert f"{field}: must " in row.reason


@pytest.mark.parametrize("field", IDS)
def test_an_id_that_is_not_there_makes_an_event_that_nobody_pays(field: str) -> None:
    row = validate(make_event(**{field: ""}))
    assert isinstance(row, EventRow)
    assert getattr(row, field) is None
