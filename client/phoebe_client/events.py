"""What the calls give about single events; see `results`."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from phoebe_client.results import PriceSource, Word


class EventStanding(Word):
    """What became of an event."""

    UNKNOWN = 0
    BILLED = 1
    NOT_RATED = 2
    NOT_BILLED = 3
    FREE = 4


@dataclass(frozen=True, slots=True)
class Event:
    """An event, as its producer sent it: one exchange, or a part of one (part_of)."""

    request_id: str
    client_request_id: str | None
    producer_id: str | None
    producer_seq: int
    auth_id: str | None
    user_id: str | None
    group_id: str | None
    resource_id: str | None
    resource_type: str | None
    base_model: str | None
    model_id: str | None
    model_untrusted: bool
    model_echoed: bool
    requested_model: str | None
    api: str | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    reasoning_tokens: int | None
    cache_write_tokens: int | None
    prompt_audio_tokens: int | None
    completion_audio_tokens: int | None
    usage_found: bool
    usage_raw: str | None
    outcome: str
    status_code: int | None
    part_of: str | None
    part_count: int
    usage_partial: bool
    finish_reason: str | None
    streamed: bool
    answer_bytes: int | None
    trace_id: str | None
    event_time: datetime
    start_time: datetime | None
    first_byte_time: datetime | None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event, and when the rater stored it."""

    event: Event
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Charge:
    """What the tokens of one kind cost: amount = tokens * rate."""

    kind: str
    tokens: int
    rate: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class PriceLine:
    """A line of a price file."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class EventPrice:
    """A price, and where it stands."""

    price_book: str
    source: PriceSource
    derived_from: str | None
    premium: str | None
    lines: tuple[PriceLine, ...]
    loading: int
    file: str


@dataclass(frozen=True, slots=True)
class EventBill:
    """An event and its money. rollup, run: 0: there is none."""

    event: StoredEvent
    standing: EventStanding
    reason: str | None
    advice: str | None
    window_start: datetime
    amount: Decimal | None
    charges: tuple[Charge, ...]
    price: EventPrice | None
    rollup: int
    rollup_cost: Decimal | None
    run: int
    parts: tuple[str, ...]
