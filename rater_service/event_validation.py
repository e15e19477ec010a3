"""The rules of a metering event's fields: a message from the wire becomes a row, or a list of its faults."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, NamedTuple
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.money import TOKENS_MAX
from rater_service.wire_time import to_datetime

TIME_MIN = datetime(2000, 1, 1, tzinfo=UTC)
TIME_END = datetime(2100, 1, 1, tzinfo=UTC)
USAGE_RAW_BYTES_MAX = 16 * 1024
OUTCOMES = ("completed", "aborted", "upstream_error", "proxy_error")
UUID_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)

type _Count = Literal[
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
]
type _Time = Literal["event_time", "start_time", "first_byte_time"]

# Characters; usage_raw has its limit in bytes and outcome a list.
TEXT_LENGTH_MAX: dict[str, int] = {
    "client_request_id": 256,
    "producer_id": 64,
    "auth_id": 64,
    "user_id": 256,
    "group_id": 256,
    "resource_id": 64,
    "resource_type": 256,
    "base_model": 256,
    "model_id": 256,
    "requested_model": 256,
    "api": 64,
    "finish_reason": 64,
}
TEXTS_PRINTABLE_ASCII: tuple[str, ...] = ("auth_id", "resource_id")
COUNTS: tuple[_Count, ...] = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
)
TIMES: tuple[_Time, ...] = ("event_time", "start_time", "first_byte_time")


class EventRow(NamedTuple):
    """A valid event: the columns of `billing_event` in their order, without stored_at.

    Not known is None; times are UTC with microseconds; counts are tokens.
    """

    request_id: UUID
    client_request_id: str | None
    producer_id: str | None
    producer_seq: int | None
    auth_id: str | None
    user_id: str | None
    group_id: str | None
    resource_id: str | None
    resource_type: str | None
    base_model: str | None
    model_id: str | None
    requested_model: str | None
    api: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    usage_found: bool
    usage_raw: str | None
    outcome: str
    status_code: int | None
    finish_reason: str | None
    streamed: bool
    event_time: datetime
    start_time: datetime | None
    first_byte_time: datetime | None
    cache_write_tokens: int | None
    prompt_audio_tokens: int | None
    completion_audio_tokens: int | None
    model_untrusted: bool

    def stored(self, at: datetime) -> tuple[object, ...]:
        """Return the whole row of `billing_event`, stored at this moment (UTC-aware)."""
        return (*self[:_BEFORE_STORED_AT], at, *self[_BEFORE_STORED_AT:])


# A database adds columns only at the end: what events were given later comes after stored_at.
_BEFORE_STORED_AT = EventRow._fields.index("cache_write_tokens")


@dataclass(frozen=True, slots=True)
class InvalidEvent:
    """Why an event can't be stored: every field that breaks a rule, and which rule."""

    reason: str


def validate(event: MeteringEvent) -> EventRow | InvalidEvent:
    """Check all rules of the event's fields and convert it; never raises."""
    faults = [*_identity_faults(event), *_text_faults(event), *_usage_faults(event), *_time_faults(event)]
    if faults:
        return InvalidEvent("; ".join(faults))
    return EventRow(
        request_id=UUID(event.request_id),
        client_request_id=event.client_request_id or None,
        producer_id=event.producer_id or None,
        producer_seq=event.producer_seq or None,
        auth_id=event.auth_id or None,
        user_id=event.user_id or None,
        group_id=event.group_id or None,
        resource_id=event.resource_id or None,
        resource_type=event.resource_type or None,
        base_model=event.base_model or None,
        model_id=event.model_id or None,
        requested_model=event.requested_model or None,
        api=event.api or None,
        prompt_tokens=_count(event, "prompt_tokens"),
        cached_tokens=_count(event, "cached_tokens"),
        completion_tokens=_count(event, "completion_tokens"),
        reasoning_tokens=_count(event, "reasoning_tokens"),
        usage_found=event.usage_found,
        usage_raw=event.usage_raw or None,
        outcome=event.outcome,
        status_code=event.status_code if event.HasField("status_code") else None,
        finish_reason=event.finish_reason or None,
        streamed=event.streamed,
        event_time=to_datetime(event.event_time),
        start_time=_time(event, "start_time"),
        first_byte_time=_time(event, "first_byte_time"),
        cache_write_tokens=_count(event, "cache_write_tokens"),
        prompt_audio_tokens=_count(event, "prompt_audio_tokens"),
        completion_audio_tokens=_count(event, "completion_audio_tokens"),
        model_untrusted=event.model_untrusted,
    )


def _count(event: MeteringEvent, field: _Count) -> int | None:
    count: int = getattr(event, field)
    return count if event.HasField(field) else None


def _time(event: MeteringEvent, field: _Time) -> datetime | None:
    return to_datetime(getattr(event, field)) if event.HasField(field) else None


def _identity_faults(event: MeteringEvent) -> Iterator[str]:
    if not UUID_FORM.fullmatch(event.request_id):
        yield "request_id: must be a UUID in its 36-character form"
    if event.producer_seq < 0:
        yield "producer_seq: must be greater than 0"
    if event.outcome not in OUTCOMES:
        yield f"outcome: must be one of {', '.join(OUTCOMES)}"
    if event.HasField("status_code") and not 100 <= event.status_code <= 599:
        yield "status_code: must be 100 to 599"


def _text_faults(event: MeteringEvent) -> Iterator[str]:
    for field, length_max in TEXT_LENGTH_MAX.items():
        text: str = getattr(event, field)
        if len(text) > length_max:
            yield f"{field}: must be at most {length_max} characters"
        if "\0" in text:
            yield f"{field}: must not contain the character NUL"
        if field in TEXTS_PRINTABLE_ASCII and not (text.isascii() and text.isprintable()):
            yield f"{field}: must be printable ASCII"
    if len(event.usage_raw.encode()) > USAGE_RAW_BYTES_MAX:
        yield f"usage_raw: must be at most {USAGE_RAW_BYTES_MAX} bytes"
    if "\0" in event.usage_raw:
        yield "usage_raw: must not contain the character NUL"


def _usage_faults(event: MeteringEvent) -> Iterator[str]:
    reported = [field for field in COUNTS if event.HasField(field)]
    for field in reported:
        if not 0 <= getattr(event, field) <= TOKENS_MAX:
            yield f"{field}: must be 0 to 2^53"
    if event.usage_found and not {"prompt_tokens", "completion_tokens"} & set(reported):
        yield "usage_found: is true, but neither prompt_tokens nor completion_tokens is given"
    if reported and not event.usage_found:
        yield f"usage_found: is false, but {', '.join(reported)} is given"


def _time_faults(event: MeteringEvent) -> Iterator[str]:
    for field in TIMES:
        if event.HasField(field):
            if not _is_plausible(getattr(event, field)):
                yield f"{field}: must be within the years 2000 to 2099, with nanos 0 to 999,999,999"
        elif field == "event_time":
            yield f"{field}: is required"


def _is_plausible(wire: Timestamp) -> bool:
    try:
        return TIME_MIN <= to_datetime(wire) < TIME_END
    except ValueError:
        return False
