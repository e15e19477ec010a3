"""What is asked of a rating run and what it answers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from rater_service.events.producers import IncompleteProducer
from rater_service.hours import HOUR, InvalidWindow, require_window

WINDOW_MAX = timedelta(days=31)
# A run takes its snapshot after it started, and a batch may be stored some time after it came, perhaps by
# another rater with another clock: what came this shortly before a run started is not sure to be in it.
RUN_OVERLAP = timedelta(minutes=2)
# The anomaly of a window for which a producer may still have events.
INCOMPLETE_HOURS = "INCOMPLETE_HOURS"
REQUESTED_BY_LENGTH_MAX = 200


class Mode(StrEnum):
    """Why a run was started."""

    ROUTINE = "ROUTINE"
    """The scheduler's run over recent hours."""
    BACKFILL = "BACKFILL"
    """An operator chose the window."""


@dataclass(frozen=True, slots=True)
class RateRequest:
    """The window to rate, [window_start, window_end), UTC-aware, and how.

    requested_by: who wants it, 1 to 200 printable characters, for the record. dry_run: compute everything,
    change no rollup. reprice: give rollups that were rated before the prices in force now; without it they
    keep theirs.
    """

    window_start: datetime
    window_end: datetime
    requested_by: str
    mode: Mode = Mode.ROUTINE
    dry_run: bool = False
    reprice: bool = False


@dataclass(frozen=True, slots=True)
class Offender:
    """One combination of names behind an anomaly; None where the events have none. Money in USD."""

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
    """What needs a human: usage that may be owed and is not billed, or a bill that is not as it was.

    Money in USD, where it is known.
    """

    reason: str
    events: int
    tokens: int
    money_at_risk: Decimal | None
    offenders: tuple[Offender, ...]


@dataclass(frozen=True, slots=True)
class BillChange:
    """What a run changes, of one auth_id or (None) of all: how many rollups, and the window's bill in USD.

    The bill is that of all rollups of the window, changed or not. difference: by how much it grows; negative
    when it shrinks.
    """

    auth_id: str | None
    rollups_inserted: int
    rollups_updated: int
    rollups_deleted: int
    cost_before: Decimal
    cost_after: Decimal
    difference: Decimal


@dataclass(frozen=True, slots=True)
class BillChanges:
    """The changes of a run: all together, and of those auth_ids whose bills change most, which come first.

    auth_ids: how many a change concerns, listed or not.
    """

    total: BillChange
    by_auth: tuple[BillChange, ...]
    auth_ids: int


@dataclass(frozen=True, slots=True)
class RateResult:
    """What a run found and did.

    events_in_window is the sum of the six counts of events after it. With dry_run the rollup counts, the
    total and the changes say what would be. total_cost is in USD. incomplete_producers: the first of those
    that may still have events for the window's complete hours. knowledge_at: what was committed later is not
    in the run; like finished_at by the database's clock.
    """

    run_id: int
    window_start: datetime
    window_end: datetime
    window_open: bool
    requested_by: str
    knowledge_at: datetime
    finished_at: datetime
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
    incomplete_producer_count: int
    incomplete_producers: tuple[IncompleteProducer, ...]
    changes: BillChanges


def refuse_invalid(request: RateRequest, now: datetime) -> None:
    """Raise InvalidWindow for a window that can't be rated at `now`, ValueError for a nameless requester."""
    require_window(request.window_start, request.window_end)
    if request.window_end - request.window_start > WINDOW_MAX:
        raise InvalidWindow("window_end", f"must be at most {WINDOW_MAX.days} days after window_start")
    if request.window_end > now + HOUR:
        raise InvalidWindow("window_end", "must not be after the end of the running hour")
    if not is_requester(request.requested_by):
        raise ValueError(f"requested_by must be 1 to {REQUESTED_BY_LENGTH_MAX} printable characters")


def is_requester(name: str) -> bool:
    """Tell whether a run can be kept under this name."""
    return 0 < len(name) <= REQUESTED_BY_LENGTH_MAX and name.isprintable() and not name.isspace()
