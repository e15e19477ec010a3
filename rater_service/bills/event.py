"""What became of one event: the rollup that has it, the price and its line in the price file, the amount."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import asyncpg

from rater_service.archive.reading import ArchivedSelection, EventRecord, find_archived, read_archived
from rater_service.bills.explanation import RunStamp
from rater_service.bills.rollups import reading
from rater_service.database.database import Connection, Pool
from rater_service.errors import OperatorError
from rater_service.events.validation import EventRow
from rater_service.hours import HOUR, hour_of
from rater_service.money import Rates, TokenCounts, exact_sum
from rater_service.other_models import OTHER_MODELS
from rater_service.prices.lines import PriceLine, lines_of
from rater_service.prices.loadings import BEGINNING, Loading
from rater_service.prices.resolution import NoPrice, Price, resolve
from rater_service.prices.store import load_history, load_kept_file, read_timeline
from rater_service.rating.advice import REASONS, advice
from rater_service.rating.categories import over_categories
from rater_service.rating.late_usage import find_late_hours
from rater_service.rollup import VALUES, Charge, RollupKey, Version
from rater_service.statements import Bound, bound, statement

_MICROSECOND = timedelta(microseconds=1)
EVENT_COLUMNS = ", ".join(EventRow._fields)


class NoSuchEventError(OperatorError):
    """No event with this id is stored."""


class Standing(StrEnum):
    """What became of an event."""

    BILLED = "BILLED"
    """It is a part of a rollup."""
    NOT_RATED = "NOT_RATED"
    """It can be priced, and no run has seen it yet: the amount is an estimate."""
    NOT_BILLED = "NOT_BILLED"
    """It is on no bill, for a reason that needs a human."""
    FREE = "FREE"
    """It was aborted or failed without usage: rightly free."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event as it is stored, and when that was, UTC-aware."""

    row: EventRow
    stored_at: datetime

    @property
    def hour(self) -> datetime:
        """The start of the hour that it is billed in."""
        return hour_of(self.row.event_time)

    @property
    def counts(self) -> TokenCounts:
        """Its tokens as they are billed: what is not reported counts as none."""
        row = self.row
        return TokenCounts(row.prompt_tokens or 0, row.cached_tokens or 0, row.completion_tokens or 0)

    def charges(self, rates: Rates) -> tuple[Charge, ...]:
        """Say what it costs at these rates, by kind of token."""
        counts = self.counts
        return (
            Charge("prompt", counts.billable_prompt, rates.prompt),
            Charge("cached", counts.billable_cached, rates.cached),
            Charge("completion", counts.completion, rates.completion),
        )


@dataclass(frozen=True, slots=True)
class RollupOfEvent:
    """The rollup of an event's key and hour; run: the one that wrote it."""

    id: int
    now: Version
    run: RunStamp


@dataclass(frozen=True, slots=True)
class PriceOfEvent:
    """By what an event is charged, or would be.

    loading: the one of its price book that priced the hour. price: what the book says. lines: where it says
    so.
    """

    loading: Loading
    price: Price
    lines: tuple[PriceLine, ...]

    @property
    def price_book(self) -> str:
        """The content hash of the book."""
        return self.loading.content_hash


@dataclass(frozen=True, slots=True)
class EventAccount:
    """An event and its money.

    key: None where it lacks a name, so that no rollup can have it. rollup: that of its key and hour, whether
    it has this event (BILLED) or not; None: there is none. reason: why it is not billed: one of the reasons
    of anomalies, or NOT_SUMMED, where the hourly sums lack it. advice: what to do. charges: what it is
    charged, or would be at the price in force for its hour; empty: there is no price. parts: further models
    that the exchange used, each an event of its own.
    """

    event: StoredEvent
    key: RollupKey | None
    standing: Standing
    reason: str | None
    advice: str | None
    rollup: RollupOfEvent | None
    price: PriceOfEvent | None
    charges: tuple[Charge, ...]
    parts: tuple[UUID, ...]

    @property
    def amount(self) -> Decimal | None:
        """What it is charged, or would be, USD, exactly; None: nobody knows. Only BILLED is on a bill."""
        if self.standing is Standing.FREE:
            return Decimal(0)
        return exact_sum(charge.amount for charge in self.charges) if self.charges else None


async def account_for(pool: Pool, request_id: UUID) -> EventAccount:
    """Say what became of an event, in one snapshot. Raises NoSuchEventError."""
    async with reading(pool) as connection:
        record = await _find(connection, request_id)
        return await _Accounting(connection, stored_event(record), record["summed_as_other"]).account()


async def read_event(pool: Pool, request_id: UUID) -> StoredEvent:
    """Read one event. Raises NoSuchEventError."""
    async with reading(pool) as connection:
        return stored_event(await _find(connection, request_id))


async def _find(connection: Connection, request_id: UUID) -> EventRecord:
    stored = await connection.fetchrow(*over_events("bills/event", request_id=request_id))
    record: EventRecord | None = dict(stored) if stored else await find_archived(connection, request_id)
    if record is None:
        raise NoSuchEventError(
            f"there is no event {request_id}: it was never stored, was pruned, or waits in the spool of "
            "a producer; see `phoebe producers list` and `phoebe rejected list`"
        )
    return record


def over_events(name: str, /, **arguments: object) -> Bound:
    """Give a statement that reads whole events; arguments: its own."""
    return statement(name, event=EVENT_COLUMNS).bind(arguments)


def stored_event(record: EventRecord) -> StoredEvent:
    """Read a row of `billing_event`, or of the archive."""
    return StoredEvent(EventRow(**{name: record[name] for name in EventRow._fields}), record["stored_at"])


@dataclass(frozen=True, slots=True)
class _Accounting:
    """Accounts for one event in a snapshot. summed_as_other: it is summed with others, under one name."""

    connection: Connection
    event: StoredEvent
    summed_as_other: bool

    async def account(self) -> EventAccount:
        key = self._key()
        record = None if key is None else await self._find_rollup(key)
        rollup = None if record is None else _rollup(record)
        category = await self._category()
        if category == "UNPRICED":
            standing, reason, price, rates = await self._with_price(rollup)
        else:
            free = category == "ZERO_CHARGE"
            standing, reason = (
                (Standing.FREE, None) if free else (Standing.NOT_BILLED, category or "NOT_SUMMED")
            )
            price = rates = None
        hour = self.event.hour
        return EventAccount(
            event=self.event,
            key=key,
            standing=standing,
            reason=reason,
            advice=advice(reason, hour, hour + HOUR) if reason in REASONS else None,
            rollup=rollup,
            price=price,
            charges=() if rates is None else self.event.charges(rates),
            parts=await self._parts(),
        )

    def _key(self) -> RollupKey | None:
        row = self.event.row
        if row.auth_id is None or row.resource_id is None or row.model_id is None:
            return None
        return RollupKey(self.event.hour, row.auth_id, row.resource_id, row.model_id)

    async def _find_rollup(self, key: RollupKey) -> asyncpg.Record | None:
        return await self.connection.fetchrow(*bound("bills/event_rollup", **asdict(key)))

    async def _parts(self) -> tuple[UUID, ...]:
        row = self.event.row
        if not row.part_count:
            return ()
        rows = await self.connection.fetch(
            *bound("bills/event_parts", part_of=row.request_id, event_time=row.event_time)
        )
        archived = await read_archived(
            self.connection,
            ArchivedSelection(
                row.event_time, row.event_time + _MICROSECOND, columns=("request_id", "part_of")
            ),
        )
        its = [part["request_id"] for part in archived if part["part_of"] == row.request_id]
        return tuple(sorted([*(part["request_id"] for part in rows), *its]))

    async def _category(self) -> str | None:
        """Say in which count of a run it is, by the rules of rating/categories.sql; None: it has no sums."""
        row = self.event.row
        if row.auth_id is None or row.resource_id is None or (row.usage_found and row.model_id is None):
            return "UNATTRIBUTABLE"
        if not row.usage_found:
            return "MISSING_USAGE" if row.outcome == "completed" else "ZERO_CHARGE"
        if row.model_untrusted:
            return "MODEL_UNTRUSTED"
        found: str | None = await self.connection.fetchval(
            *over_categories(
                "bills/event_category",
                window_start=self.event.hour,
                window_end=self.event.hour + HOUR,
                auth_id=row.auth_id,
                resource_id=row.resource_id,
                model_id=OTHER_MODELS if self.summed_as_other else row.model_id,
            )
        )
        return None if found is None else found.upper()

    async def _with_price(self, rollup: RollupOfEvent | None) -> "_Found":
        row, hour = self.event.row, self.event.hour
        assert row.model_id is not None
        seen = await self._was_seen()
        if rollup is not None and seen:
            priced = await self._priced_by(rollup.now.price_book, rollup.run.knowledge_at)
            if priced is not None:
                return Standing.BILLED, None, priced, rollup.now.rates
        history = await load_history(self.connection, hour)
        quote = history.resolve(row.model_id, row.base_model, hour)
        if isinstance(quote, NoPrice):
            reason = "TOO_MANY_MODELS" if self.summed_as_other else "UNPRICED"
            return Standing.NOT_BILLED, reason, None, None
        priced = await self._priced_by(quote.book.content_hash, BEGINNING)
        # A rollup that is there keeps its rates.
        rates = quote.price.billed if rollup is None else rollup.now.rates
        return Standing.NOT_RATED, "LATE_USAGE", priced, rates

    async def _priced_by(self, price_book: str, known_at: datetime) -> PriceOfEvent | None:
        """Say how a book prices it. known_at: when the run began that did so; for the book in force any."""
        row = self.event.row
        assert row.model_id is not None
        file = await load_kept_file(self.connection, price_book)
        price = resolve(file.book, row.model_id, row.base_model)
        if isinstance(price, NoPrice):
            return None
        timeline = await read_timeline(self.connection)
        loading = timeline.pricing(price_book, self.event.hour, known_at)
        return PriceOfEvent(loading, price, lines_of(file, row.model_id, price))

    async def _was_seen(self) -> bool:
        """Tell whether a run has seen it. What its hour has more than a run saw is what was stored last."""
        hour = self.event.hour
        late = await find_late_hours(self.connection, hour, hour + HOUR)
        if not late:
            return True
        if late[0].run is None:
            return False
        newer = await self.connection.fetchval(
            *bound(
                "bills/events_stored_later",
                window_start=hour,
                stored_at=self.event.stored_at,
                request_id=self.event.row.request_id,
                limit=late[0].events_unseen,
            )
        )
        return int(newer) + await self._archived_later() >= late[0].events_unseen

    async def _archived_later(self) -> int:
        """Count the archived events of the hour that were stored after this one."""
        archived = await read_archived(
            self.connection,
            ArchivedSelection(self.event.hour, self.event.hour + HOUR, columns=("request_id", "stored_at")),
        )
        this = (self.event.stored_at, self.event.row.request_id)
        return sum((row["stored_at"], row["request_id"]) > this for row in archived)


type _Found = tuple[Standing, str | None, PriceOfEvent | None, Rates | None]


def _rollup(record: asyncpg.Record) -> RollupOfEvent:
    stamp = ("mode", "requested_by", "started_at", "finished_at", "knowledge_at")
    return RollupOfEvent(
        record["id"],
        Version(**{name: record[name] for name in VALUES}),
        RunStamp(id=record["run"], **{name: record[name] for name in stamp}),
    )
