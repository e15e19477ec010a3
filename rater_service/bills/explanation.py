"""An explained rollup: its arithmetic, the origin of its rates, what it was before, whether all agrees."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from phoebe_runtime.counts import counted
from rater_service.money import Rates, decimal_text
from rater_service.prices.history import Quote
from rater_service.prices.lines import PriceLine
from rater_service.prices.loadings import Loading
from rater_service.prices.pricebook import FINE_TUNE_PREFIX
from rater_service.prices.resolution import Price
from rater_service.rollup import RollupKey, Version


@dataclass(frozen=True, slots=True)
class RunStamp:
    """Which run wrote something. Times are UTC-aware.

    requested_by: who asked for it. knowledge_at: what was committed later is not in it.
    """

    id: int
    mode: str
    requested_by: str
    started_at: datetime
    finished_at: datetime
    knowledge_at: datetime


@dataclass(frozen=True, slots=True)
class RollupChange:
    """What a run did to the rollup. old: None where it inserted it; new: None where it deleted it."""

    run: RunStamp
    rollup: int
    old: Version | None
    new: Version | None


@dataclass(frozen=True, slots=True)
class RateOrigin:
    """Where the applied rates come from.

    loading: the one by which they were applied. prices_hours: whether any hour is priced by it as things are;
    not if it was replaced or withdrawn since. in_force_until None: no later loading is known. price: what its
    book says of the model; None: it does not price it. base: the rates of the base model that a derived price
    was made from. current: the price that a run with reprice would apply now, in whichever book it stands;
    None: no book has one. lines: where the price file says it.
    """

    loading: Loading
    prices_hours: bool
    in_force_until: datetime | None
    price: Price | None
    base: Rates | None
    current: Quote | None
    lines: tuple[PriceLine, ...] = ()

    @property
    def is_frozen(self) -> bool:
        """Whether rating this hour anew would take another book."""
        return self.current is None or self.current.book.content_hash != self.loading.content_hash


@dataclass(frozen=True, slots=True)
class EventSums:
    """What the events of the key and hour add up to that can be billed, and how many others there are.

    pruned_at: since when not all the events are kept; the sums are from the hourly sums then. Otherwise None.
    came_late: events may have come after the last run over the hour; the next one will bill them.
    """

    events: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    billable_prompt_tokens: int
    without_usage: int
    untrusted: int
    pruned_at: datetime | None
    came_late: bool

    def counts(self) -> tuple[int, ...]:
        """Return what must agree with a rollup."""
        return (
            self.events,
            self.prompt_tokens,
            self.cached_tokens,
            self.completion_tokens,
            self.billable_prompt_tokens,
        )


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything there is to say of one rollup. now, run, origin: None if it was deleted."""

    key: RollupKey
    id: int
    now: Version | None
    run: RunStamp | None
    origin: RateOrigin | None
    changes: tuple[RollupChange, ...]
    events: EventSums

    @property
    def disagreements(self) -> tuple[str, ...]:
        """In which points the rollup does not agree with its rates, its ledger or its events."""
        return tuple(_disagreements(self))


def found_changed(changes: Sequence[RollupChange]) -> tuple[RollupChange, ...]:
    """Name the changes of runs that found something else than the run before them had left."""
    return tuple(later for earlier, later in pairwise(changes) if later.old != earlier.new)


def _disagreements(told: Explanation) -> Iterator[str]:
    last = told.changes[-1] if told.changes else None
    if last is None:
        yield "no run says that it wrote this rollup"
    elif last.new != told.now:
        yield f"run {last.run.id} left something else: it was changed since, by none of the runs"
    if told.now is None:
        return
    if last is not None and told.run is not None and told.run.id != last.run.id:
        yield f"it names run {told.run.id}, and run {last.run.id} wrote it"
    if told.now.cost != (explained := told.now.explained_cost()):
        cost = decimal_text(told.now.cost)
        yield f"its cost is {cost} USD, its tokens and rates make {decimal_text(explained)} USD"
    price = None if told.origin is None else told.origin.price
    if price is None:
        yield "its price book does not price the model"
    elif price.billed != told.now.rates:
        yield "its rates are not those of its price book"
    yield from _events_disagree(told.key, told.now, told.events)


def _events_disagree(key: RollupKey, now: Version, events: EventSums) -> Iterator[str]:
    billed = (
        now.event_count,
        now.prompt_tokens,
        now.cached_tokens,
        now.completion_tokens,
        now.billable_prompt_tokens,
    )
    surplus = any(mine > theirs for mine, theirs in zip(billed, events.counts(), strict=True))
    # Of a fine-tune, events that stated another base model, or none, may have no price.
    may_lack = events.came_late or key.model_id.startswith(FINE_TUNE_PREFIX)
    if surplus or (billed != events.counts() and not may_lack):
        yield (
            f"it sums {_counted(*billed)}; its events make {_counted(*events.counts())}: "
            "`phoebe rate --dry-run` over the hour shows what would change"
        )


def _counted(events: int, prompt: int, cached: int, completion: int, billable: int) -> str:
    return (
        f"{counted(events, 'event')}, {prompt} prompt, {cached} cached, {completion} completion, "
        f"{billable} billable prompt tokens"
    )
