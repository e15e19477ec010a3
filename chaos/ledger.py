"""The rows of the rater's database that the verdict is about.

Pure.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of billing_event."""

    request_id: str
    client_request_id: str | None
    auth_id: str | None
    resource_id: str | None
    model_id: str | None
    outcome: str
    usage_found: bool
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    part_of: str | None = None


@dataclass(frozen=True, slots=True)
class Rollup:
    """A row of rated_usage, but for what a run gives it."""

    auth_id: str
    resource_id: str
    model_id: str
    window_start: datetime
    window_end: datetime
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    billable_prompt_tokens: int
    cost: Decimal
    applied_prompt_rate: Decimal
    applied_cached_rate: Decimal
    applied_completion_rate: Decimal
    event_count: int
    base_model: str | None
    price_book: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a run gives a row of rated_usage."""

    id: int
    run: int
    rated_at: datetime


@dataclass(frozen=True, slots=True)
class Ledger:
    """All of a database. rollups: in the order of their keys."""

    events: tuple[StoredEvent, ...]
    rejected: tuple[str, ...]
    rollups: tuple[Rollup, ...]
    stamps: tuple[Stamp, ...]
