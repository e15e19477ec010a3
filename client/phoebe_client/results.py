"""What the calls give. Each class has the fields of a message in phoebe/v1/rating.proto, which says what they
mean; its types are Python's own.

Money and rates are Decimal in USD, times aware UTC datetimes (cut off to whole microseconds). What the proto
calls empty or absent is None.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Self


class Word(IntEnum):
    """A word of the contract. What a service says that is newer than this client becomes UNKNOWN."""

    @classmethod
    def _missing_(cls, value: object) -> Self:
        return cls(0)


class RateMode(Word):
    """Why a run was started; ROUTINE: over recent hours, as a scheduler does."""

    UNKNOWN = 0
    ROUTINE = 1
    BACKFILL = 2


class PriceSource(Word):
    """Where a price comes from."""

    UNKNOWN = 0
    BASE_MODEL = 1
    OWN_RATE = 2
    DERIVED = 3


@dataclass(frozen=True, slots=True)
class Offender:
    """One combination of names behind an anomaly."""

    auth_id: str | None
    resource_id: str | None
    model_id: str | None
    base_model: str | None
    events: int
    tokens: int
    money_at_risk: Decimal | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Events that were not billed although they may be owed, or a bill that is not as it was."""

    reason: str
    events: int
    tokens: int
    money_at_risk: Decimal | None
    offenders: tuple[Offender, ...]
    hours: int
    first_hour: datetime | None
    last_hour: datetime | None
    advice: str | None


@dataclass(frozen=True, slots=True)
class IncompleteProducer:
    """A producer that may still have events for the window."""

    producer_id: str
    complete_until: datetime | None
    spooled_events: int
    open_exchanges: int
    last_seen: datetime | None
    name: str | None


@dataclass(frozen=True, slots=True)
class BillChange:
    """What a run changed of a bill. auth_id: None: of all bills together."""

    auth_id: str | None
    rollups_inserted: int
    rollups_updated: int
    rollups_deleted: int
    cost_before: Decimal
    cost_after: Decimal
    difference: Decimal


@dataclass(frozen=True, slots=True)
class UnbilledOutput:
    """What a customer was given of answers that have no usage."""

    auth_id: str | None
    events: int
    answer_bytes: int
    resource_id: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """What a run found and did."""

    run_id: int
    window_start: datetime
    window_end: datetime
    window_open: bool
    events_in_window: int
    events_rated: int
    unpriced_events: int
    unattributable_events: int
    ambiguous_base_events: int
    missing_usage_events: int
    zero_charge_events: int
    rollups_written: int
    rollups_unchanged: int
    reconciled_deletions: int
    total_cost: Decimal
    anomalies: tuple[Anomaly, ...]
    price_books: tuple[str, ...]
    incomplete_producers: tuple[IncompleteProducer, ...]
    incomplete_producer_count: int
    change: BillChange | None
    changes_by_auth: tuple[BillChange, ...]
    changed_auth_count: int
    requested_by: str | None
    knowledge_at: datetime | None
    finished_at: datetime | None
    late_runs: "tuple[Run, ...]"
    unbilled_output_events: int
    unbilled_output_bytes: int
    unbilled_output_by_auth: tuple[UnbilledOutput, ...]
    unbilled_output_auth_count: int


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A run as it is kept: what it was asked, and what it answered but for what is not kept there."""

    mode: RateMode
    dry_run: bool
    reprice: bool
    started_at: datetime
    answer: Run


@dataclass(frozen=True, slots=True)
class Price:
    """A price, where it comes from and how long it is known to stay."""

    prompt_rate: Decimal
    cached_rate: Decimal
    completion_rate: Decimal
    source: PriceSource
    derived_from: str | None
    price_book: str
    effective_from: datetime | None
    effective_until: datetime | None
    cost: Decimal | None
    exact_prompt_rate: Decimal
    exact_cached_rate: Decimal
    exact_completion_rate: Decimal
    premium: str | None


@dataclass(frozen=True, slots=True)
class RatedUsage:
    """A rollup: what one auth_id owes for one model on one resource in one hour."""

    id: int
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
    run: int
    rated_at: datetime


@dataclass(frozen=True, slots=True)
class AuditedProducer:
    """The numbers of one producer that belong to the window."""

    producer_id: str
    first_seq: int
    last_seq: int
    stored: int
    rejected: int
    spooled: int
    lost: int
    repeated: int
    open_exchanges: int
    lost_rows: int
    complete_until: datetime | None
    last_seen: datetime | None
    stopped: bool
    retired: bool
    pruned: int
    name: str | None
    version: str | None


@dataclass(frozen=True, slots=True)
class AuditDifference:
    """Something that was found wrong."""

    kind: str
    subject: str
    detail: str
    advice: str | None


@dataclass(frozen=True, slots=True)
class AuditDifferenceCount:
    """How many differences of a kind there are."""

    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class Audit:
    """What was checked and what was found."""

    proven: bool
    audited_at: datetime
    window_start: datetime | None
    window_end: datetime | None
    events: int
    unnumbered_events: int
    rollups: int
    billed_events: int
    total_cost: Decimal
    runs: int
    late_events: int
    unrated_hours: int
    producers: tuple[AuditedProducer, ...]
    producer_count: int
    differences: tuple[AuditDifference, ...]
    difference_counts: tuple[AuditDifferenceCount, ...]
    pruned_events: int
    part_events: int
    archived_events: int
