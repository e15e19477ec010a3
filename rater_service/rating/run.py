"""What is asked of a rating run and what it answers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from phoebe_runtime.counts import counted
from rater_service.events.producers import IncompleteProducer
from rater_service.hours import HOUR, LATE_MAX, InvalidWindow, require_window, utc_text
from rater_service.money import decimal_text

WINDOW_MAX = timedelta(days=31)
# A run takes its snapshot after it started, and a batch may be stored some time after it came, perhaps by
# another rater with another clock: what came this shortly before a run started is not sure to be in it.
RUN_OVERLAP = timedelta(minutes=2)
# The anomaly of a window for which a producer may still have events.
INCOMPLETE_HOURS = "INCOMPLETE_HOURS"
# The anomaly of hours outside of the window whose usage is newer than their last run.
LATE_USAGE = "LATE_USAGE"
# The anomaly of events whose times can't be right.
OUT_OF_TIME = "OUT_OF_TIME"
# The anomaly of clocks that are more than a minute apart.
CLOCK_SKEW = "CLOCK_SKEW"
# As many as the answer can hold.
TOKENS_MAX = 2**63 - 1
REQUESTED_BY_LENGTH_MAX = 200
WHAT_TO_DO_ABOUT_UNBILLED_OUTPUT = (
    "These clients left, or the answer broke off, before the model server said what it used. A few hundred "
    "bytes for each answer are rightly free: it had just begun. For more, declare the model server, so that "
    "it is asked for usage on every chunk, or set phoebe_abort=drain"
)


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
    keep theirs. late_max: a routine run also rates hours outside of the window whose usage is newer than
    their last run, if they are no older than this. names_outside: whether to name what is not rated outside
    of the window; of runs that belong together one does. ahead: rate hours that have not come.
    """

    window_start: datetime
    window_end: datetime
    requested_by: str
    mode: Mode = Mode.ROUTINE
    dry_run: bool = False
    reprice: bool = False
    late_max: timedelta = LATE_MAX
    names_outside: bool = True
    ahead: bool = False


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

    def in_words(self) -> str:
        """Name what is known of it, and how many events it has."""
        names = {
            "auth_id": self.auth_id,
            "resource_id": self.resource_id,
            "model_id": self.model_id,
            "base_model": self.base_model,
        }
        said = ", ".join(f"{name} {value!r}" for name, value in names.items() if value is not None)
        detail = "" if self.detail is None else f" ({self.detail})"
        return f"{said or 'nameless'}{detail}: {counted(self.events, 'event')}"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """What needs a human: usage that may be owed and is not billed, or a bill that is not as it was.

    Money in USD, where it is known. hours: how many it concerns, from first_hour to last_hour (UTC-aware).
    advice: what to do about it, with the command to run next.
    """

    reason: str
    events: int
    tokens: int
    money_at_risk: Decimal | None
    offenders: tuple[Offender, ...]
    hours: int
    first_hour: datetime
    last_hour: datetime
    advice: str

    def in_words(self) -> str:
        """Say it in one line: how much, whose most of all, in which hours, and what to do."""
        money = "" if self.money_at_risk is None else f", {decimal_text(self.money_at_risk)} USD at risk"
        most = f"; most of all {self.offenders[0].in_words()}" if self.offenders else ""
        return (
            f"{self.reason}: {counted(self.events, 'event')}, {counted(self.tokens, 'token')}{money}{most}; "
            f"{self.when()}; next: {self.advice}"
        )

    def when(self) -> str:
        """Say in which hours."""
        if self.hours == 1:
            return f"in the hour {utc_text(self.first_hour)}"
        return f"in {self.hours} hours, {utc_text(self.first_hour)} to {utc_text(self.last_hour)}"


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
class UnbilledOutput:
    """What a customer was given of answers that were not completed and have no usage.

    resource_id: the deployment that most of the bytes came from; None where events name none.
    """

    auth_id: str | None
    events: int
    answer_bytes: int
    resource_id: str | None


@dataclass(frozen=True, slots=True)
class RateResult:
    """What a run found and did.

    events_in_window is the sum of the six counts of events after it. With dry_run the rollup counts, the
    total and the changes say what would be. total_cost is in USD. incomplete_producers: the first of those
    that may still have events for the window's complete hours. knowledge_at: what was committed later is not
    in the run; like finished_at by the database's clock. late_runs: the runs over hours outside of the
    window that a routine run took along, because their usage was newer than their last run.
    unbilled_output_by_auth: those who were given most, of unbilled_output_auth_count.
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
    unbilled_output_events: int
    unbilled_output_bytes: int
    unbilled_output_auth_count: int
    unbilled_output_by_auth: tuple[UnbilledOutput, ...]
    late_runs: "tuple[RateResult, ...]" = ()

    def all_runs(self) -> "tuple[RateResult, ...]":
        """Return this run and those it took along."""
        return (self, *self.late_runs)


def refuse_invalid(request: RateRequest, now: datetime) -> None:
    """Raise InvalidWindow for a window that can't be rated at `now`, ValueError for a nameless requester."""
    require_window(request.window_start, request.window_end)
    if request.window_end - request.window_start > WINDOW_MAX:
        raise InvalidWindow("window_end", f"must be at most {WINDOW_MAX.days} days after window_start")
    if request.window_end > now + HOUR and not request.ahead:
        raise InvalidWindow("window_end", "must not be after the end of the running hour")
    if not is_requester(request.requested_by):
        raise ValueError(f"requested_by must be 1 to {REQUESTED_BY_LENGTH_MAX} printable characters")


def is_requester(name: str) -> bool:
    """Tell whether a run can be kept under this name."""
    return 0 < len(name) <= REQUESTED_BY_LENGTH_MAX and name.isprintable() and not name.isspace()
