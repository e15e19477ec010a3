"""Rates a window: its events become rollups, in one transaction that counts every event once."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from itertools import groupby

import asyncpg

from rater_service.database import Connection, Pool
from rater_service.errors import NoPriceBookError
from rater_service.money import decimal_text
from rater_service.price_history import PriceHistory, Quote
from rater_service.price_store import load_history
from rater_service.producers import IncompleteProducer, IncompleteProducers, incomplete_producers
from rater_service.resolution import NoPrice
from rater_service.statements import statement

logger = logging.getLogger(__name__)

HOUR = timedelta(hours=1)
WINDOW_MAX = timedelta(days=31)
# A run over a long window reads many events, and waits for its turn after other runs.
STATEMENT_TIMEOUT_S = 3600
# Before every time there is: a book that is in force from the beginning comes first.
BEGINNING = datetime.min.replace(tzinfo=UTC)
# The anomaly of a window for which a producer may still have events.
INCOMPLETE_HOURS = "INCOMPLETE_HOURS"


class Mode(StrEnum):
    """Why a run was started."""

    ROUTINE = "ROUTINE"
    """The scheduler's run over recent hours."""
    BACKFILL = "BACKFILL"
    """An operator chose the window."""


@dataclass(frozen=True, slots=True)
class RateRequest:
    """The window to rate, [window_start, window_end), UTC-aware, and how.

    dry_run: compute everything, change no rollup. reprice: give rollups that were rated before the prices in
    force now; without it they keep theirs.
    """

    window_start: datetime
    window_end: datetime
    mode: Mode = Mode.ROUTINE
    dry_run: bool = False
    reprice: bool = False


class InvalidWindow(ValueError):  # noqa: N818 - the name says it
    """The window breaks a rule; `field` names the bound that has to change."""

    def __init__(self, field: str, fault: str) -> None:
        super().__init__(f"{field} {fault}")
        self.field = field


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
    """Events that were not billed although they may be owed, or bills taken back; money in USD, if known."""

    reason: str
    events: int
    tokens: int
    money_at_risk: Decimal | None
    offenders: tuple[Offender, ...]


@dataclass(frozen=True, slots=True)
class RateResult:
    """What a run found and did.

    events_in_window is the sum of the six counts of events after it. With dry_run the rollup counts and the
    total say what would be. total_cost is in USD. incomplete_producers: the first of those that may still
    have events for the window's complete hours.
    """

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
    incomplete_producer_count: int
    incomplete_producers: tuple[IncompleteProducer, ...]


async def rate_window(pool: Pool, request: RateRequest, now: datetime) -> RateResult:
    """Recompute every rollup in the window and make `rated_usage` agree.

    `now` (UTC-aware) decides which hour is running. Raises InvalidWindow, before anything is touched, and
    NoPriceBookError. Concurrent runs take turns.
    """
    _refuse_invalid(request, now)
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read"):
        # Locking is the one thing a transaction can do before its snapshot is taken, so the snapshot holds
        # all that the run before this one wrote.
        await connection.execute(
            "LOCK TABLE rated_usage IN SHARE ROW EXCLUSIVE MODE", timeout=STATEMENT_TIMEOUT_S
        )
        result = await _rate(connection, request, now)
    for anomaly in result.anomalies:
        logger.error(
            "run %d, %s to %s: %s: %d events, %d tokens, money at risk %s",
            result.run_id,
            request.window_start.isoformat(),
            request.window_end.isoformat(),
            anomaly.reason,
            anomaly.events,
            anomaly.tokens,
            "unknown" if anomaly.money_at_risk is None else f"{decimal_text(anomaly.money_at_risk)} USD",
        )
    return result


def _refuse_invalid(request: RateRequest, now: datetime) -> None:
    for field, bound in (("window_start", request.window_start), ("window_end", request.window_end)):
        utc = bound.astimezone(UTC)
        if (utc.minute, utc.second, utc.microsecond) != (0, 0, 0):
            raise InvalidWindow(field, "must be a whole UTC hour")
    if request.window_start >= request.window_end:
        raise InvalidWindow("window_end", "must be after window_start")
    if request.window_end - request.window_start > WINDOW_MAX:
        raise InvalidWindow("window_end", f"must be at most {WINDOW_MAX.days} days after window_start")
    if request.window_end > now + HOUR:
        raise InvalidWindow("window_end", "must not be after the end of the running hour")


async def _rate(connection: Connection, request: RateRequest, now: datetime) -> RateResult:
    history = await load_history(connection)
    if not history:
        raise NoPriceBookError
    window = (request.window_start, request.window_end)
    await connection.execute(statement("rating_tables"))
    await _run(connection, "rating_buckets", *window)
    await _price_buckets(connection, history)
    if not request.reprice:
        await _run(connection, "rating_keep_rates", *window)
    await _run(connection, "rating_rollups")
    await _run(connection, "rating_changes", *window)
    result = await _store_run(connection, request, now)
    if not request.dry_run:
        await _run(connection, "rating_delete")
        await _run(connection, "rating_update", result.run_id, now)
        await _run(connection, "rating_insert", result.run_id, now)
    return result


async def _run(connection: Connection, name: str, *arguments: object) -> None:
    await connection.execute(statement(name), *arguments, timeout=STATEMENT_TIMEOUT_S)


async def _price_buckets(connection: Connection, history: PriceHistory) -> None:
    keys = await connection.fetch(statement("rating_price_keys"), timeout=STATEMENT_TIMEOUT_S)
    await connection.copy_records_to_table("rating_price", records=list(_prices(history, keys)))
    # Without statistics the planner takes fresh tables for tiny ones, and compares every row with every row.
    await connection.execute("ANALYZE rating_bucket, rating_price")
    await _run(connection, "rating_apply_prices")


def _prices(history: PriceHistory, keys: Sequence[asyncpg.Record]) -> Iterator[tuple[object, ...]]:
    """Yield the rows of rating_price; the keys come with the hours of a model following each other."""
    for (model_id, base_model), hours in groupby(keys, key=lambda key: (key["model_id"], key["base_model"])):
        found: Quote | NoPrice | None = None
        for key in hours:
            hour: datetime = key["window_start"]
            if not _still_holds(found, hour):
                found = history.resolve(model_id, base_model, hour)
            yield (model_id, base_model, hour, *_price_columns(found))


def _still_holds(found: Quote | NoPrice | None, hour: datetime) -> bool:
    if not isinstance(found, Quote):
        return False
    begun = found.effective_from is None or found.effective_from <= hour
    return begun and (found.effective_until is None or hour < found.effective_until)


def _price_columns(found: Quote | NoPrice | None) -> tuple[object, ...]:
    if isinstance(found, Quote):
        rates = found.price.billed
        book = found.book.content_hash
        return rates.prompt, rates.cached, rates.completion, book, found.effective_from or BEGINNING, None
    assert found is not None
    return None, None, None, None, None, found.reason


async def _store_run(connection: Connection, request: RateRequest, now: datetime) -> RateResult:
    counts = await connection.fetchrow(
        statement("rating_counts"), request.window_start, request.window_end, timeout=STATEMENT_TIMEOUT_S
    )
    assert counts is not None
    incomplete = await incomplete_producers(connection, request.window_start, request.window_end, now)
    anomalies = await _anomalies(connection, request, incomplete)
    window_open = request.window_end > now
    run_id = await connection.fetchval(
        statement("rating_store_run"),
        request.mode,
        request.window_start,
        request.window_end,
        window_open,
        request.dry_run,
        request.reprice,
        *counts.values(),
        json.dumps([asdict(anomaly) for anomaly in anomalies], default=decimal_text),
        now,
        incomplete.count,
        json.dumps([asdict(producer) for producer in incomplete.first], default=datetime.isoformat),
    )
    numbers = dict(counts)
    return RateResult(
        run_id=run_id,
        window_start=request.window_start,
        window_end=request.window_end,
        window_open=window_open,
        anomalies=anomalies,
        price_books=tuple(numbers.pop("price_books")),
        incomplete_producer_count=incomplete.count,
        incomplete_producers=incomplete.first,
        **numbers,
    )


async def _anomalies(
    connection: Connection, request: RateRequest, incomplete: IncompleteProducers
) -> tuple[Anomaly, ...]:
    records = await connection.fetch(
        statement("rating_anomalies"), request.mode is Mode.ROUTINE, timeout=STATEMENT_TIMEOUT_S
    )
    anomalies = [
        _anomaly(reason, list(rows)) for reason, rows in groupby(records, key=lambda record: record["reason"])
    ]
    if incomplete.count:
        anomalies.append(Anomaly(INCOMPLETE_HOURS, incomplete.events, 0, None, ()))
    return tuple(sorted(anomalies, key=lambda anomaly: (-anomaly.events, anomaly.reason)))


def _anomaly(reason: str, rows: Sequence[asyncpg.Record]) -> Anomaly:
    return Anomaly(
        reason=reason,
        events=rows[0]["reason_events"],
        tokens=rows[0]["reason_tokens"],
        money_at_risk=rows[0]["reason_money_at_risk"],
        offenders=tuple(
            Offender(
                auth_id=row["auth_id"],
                resource_id=row["resource_id"],
                model_id=row["model_id"],
                base_model=row["base_model"],
                events=row["events"],
                tokens=row["tokens"],
                money_at_risk=row["money_at_risk"],
                detail=row["detail"],
            )
            for row in rows
        ),
    )
