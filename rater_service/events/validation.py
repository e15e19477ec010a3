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
# Numbers begin with 1 and have no gaps: none gets near it, and sums of numbers stay within 64 bits.
PRODUCER_SEQ_MAX = 2**53
# Like tokens: sums of it stay exact, and no answer is near it.
ANSWER_BYTES_MAX = 2**53
PART_COUNT_MAX = 32
STATUS_CODES = range(100, 600)
OUTCOMES = ("completed", "aborted", "upstream_error", "proxy_error")
UUID_FORM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)

# As W3C Trace Context has them; zeros stand for none there.
TRACE_ID_FORM = re.compile(r"(?!0{32})[0-9a-f]{32}")

type Count = Literal[
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
]
type Time = Literal["event_time", "start_time", "first_byte_time"]

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
# Who pays and for what: texts that the gate would let through as they are. A blank or a comma more would be
# another payer, and hard to see.
IDS: tuple[str, ...] = ("auth_id", "resource_id")
ID_FORM = re.compile(r"(?:[!-+\--~](?:[ -+\--~]{0,62}[!-+\--~])?)?")
COUNTS: tuple[Count, ...] = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cache_write_tokens",
    "prompt_audio_tokens",
    "completion_audio_tokens",
)
TIMES: tuple[Time, ...] = ("event_time", "start_time", "first_byte_time")


class EventRow(NamedTuple):
    """A valid event: the columns of `billing_event`, without stored_at.

    Not known is None; times are UTC with microseconds; counts are tokens, but for answer_bytes; trace_id has
    16 bytes.
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
    answer_bytes: int | None
    part_of: UUID | None
    part_count: int
    usage_partial: bool
    model_echoed: bool
    trace_id: bytes | None

    def stored(self, at: datetime) -> dict[str, object]:
        """Return the whole row of `billing_event`, stored at this moment (UTC-aware)."""
        return {**self._asdict(), "stored_at": at}


@dataclass(frozen=True, slots=True)
class InvalidEvent:
    """Why an event can't be stored: every field that breaks a rule, and which rule."""

    reason: str


def validate(event: MeteringEvent) -> EventRow | InvalidEvent:
    """Check all rules of the event's fields and convert it; never raises."""
    faults = [
        *_identity_faults(event),
        *_part_faults(event),
        *_text_faults(event),
        *_usage_faults(event),
        *_time_faults(event),
    ]
    return InvalidEvent("; ".join(faults)) if faults else row_of(event)


def row_of(event: MeteringEvent) -> EventRow:
    """Convert an event that is known to keep all rules."""
    has = event.HasField
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
        prompt_tokens=event.prompt_tokens if has("prompt_tokens") else None,
        cached_tokens=event.cached_tokens if has("cached_tokens") else None,
        completion_tokens=event.completion_tokens if has("completion_tokens") else None,
        reasoning_tokens=event.reasoning_tokens if has("reasoning_tokens") else None,
        usage_found=event.usage_found,
        usage_raw=event.usage_raw or None,
        outcome=event.outcome,
        status_code=event.status_code if has("status_code") else None,
        finish_reason=event.finish_reason or None,
        streamed=event.streamed,
        event_time=_time(event.event_time),
        start_time=_time(event.start_time) if has("start_time") else None,
        first_byte_time=_time(event.first_byte_time) if has("first_byte_time") else None,
        cache_write_tokens=event.cache_write_tokens if has("cache_write_tokens") else None,
        prompt_audio_tokens=event.prompt_audio_tokens if has("prompt_audio_tokens") else None,
        completion_audio_tokens=event.completion_audio_tokens if has("completion_audio_tokens") else None,
        model_untrusted=event.model_untrusted,
        answer_bytes=event.answer_bytes if has("answer_bytes") else None,
        part_of=UUID(event.part_of) if event.part_of else None,
        part_count=event.part_count,
        usage_partial=event.usage_partial,
        model_echoed=event.model_echoed,
        trace_id=bytes.fromhex(event.trace_id) or None,
    )


def _time(wire: Timestamp) -> datetime:
    moment = to_datetime(wire)
    if not TIME_MIN <= moment < TIME_END:
        raise ValueError("the time is not plausible")
    return moment


def _identity_faults(event: MeteringEvent) -> Iterator[str]:
    if not UUID_FORM.fullmatch(event.request_id):
        yield "request_id: must be a UUID in its 36-character form"
    if not 0 <= event.producer_seq <= PRODUCER_SEQ_MAX:
        yield "producer_seq: must be 1 to 2^53, or 0 for none"
    if event.outcome not in OUTCOMES:
        yield f"outcome: must be one of {', '.join(OUTCOMES)}"
    if event.HasField("status_code") and event.status_code not in STATUS_CODES:
        yield "status_code: must be 100 to 599"
    if not 0 <= event.answer_bytes <= ANSWER_BYTES_MAX:
        yield "answer_bytes: must be 0 to 2^53"
    if event.trace_id and not TRACE_ID_FORM.fullmatch(event.trace_id):
        yield "trace_id: must be 32 lower-case hexadecimal digits, not all zero"


def _part_faults(event: MeteringEvent) -> Iterator[str]:
    if event.part_of and UUID_FORM.fullmatch(event.part_of) is None:
        yield "part_of: must be a UUID in its 36-character form"
    if event.part_of and event.part_of.lower() == event.request_id.lower():
        yield "part_of: must not be the event's own request_id"
    if not 0 <= event.part_count <= PART_COUNT_MAX:
        yield f"part_count: must be 0 to {PART_COUNT_MAX}"
    if event.part_of and event.part_count:
        yield "part_count: is given, but a part has no parts"


def _text_faults(event: MeteringEvent) -> Iterator[str]:
    for field, length_max in TEXT_LENGTH_MAX.items():
        text: str = getattr(event, field)
        if len(text) > length_max:
            yield f"{field}: must be at most {length_max} characters"
        if "\0" in text:
            yield f"{field}: must not contain the character NUL"
        if field in IDS:
            yield from _id_faults(field, text)
    if len(event.usage_raw.encode()) > USAGE_RAW_BYTES_MAX:
        yield f"usage_raw: must be at most {USAGE_RAW_BYTES_MAX} bytes"
    if "\0" in event.usage_raw:
        yield "usage_raw: must not contain the character NUL"


def _id_faults(field: str, text: str) -> Iterator[str]:
    if not (text.isascii() and text.isprintable()):
        yield f"{field}: must be printable ASCII"
    if text and not text.strip(" "):
        yield f"{field}: must not be blank"
    elif text != text.strip(" "):
        yield f"{field}: must not begin or end with a blank"
    if "," in text:  # so HTTP joins two headers of one name
        yield f"{field}: must not have a comma, as if two ids had been joined"


def _usage_faults(event: MeteringEvent) -> Iterator[str]:
    reported = [field for field in COUNTS if event.HasField(field)]
    for field in reported:
        if not 0 <= getattr(event, field) <= TOKENS_MAX:
            yield f"{field}: must be 0 to 2^53"
    if event.usage_found and not {"prompt_tokens", "completion_tokens"} & set(reported):
        yield "usage_found: is true, but neither prompt_tokens nor completion_tokens is given"
    if event.usage_partial and not event.usage_found:
        yield "usage_partial: is true, but usage_found is false"
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
        _time(wire)
    except ValueError:
        return False
    return True
