"""Rates a window: its events become rollups, in one transaction that counts every event once."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import cast

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.database.clock import skew_between
from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import fetch_one, fetch_value, run
from rater_service.events.clocks import Skew
from rater_service.events.producers import incomplete_producers
from rater_service.hours import utc_text
from rater_service.money import decimal_text
from rater_service.rating.computation import Computation, compute
from rater_service.rating.counts import Counts
from rater_service.rating.findings import (
    Surroundings,
    add_up_changes,
    find_anomalies,
    find_unbilled_output,
    read_clocks,
)
from rater_service.rating.late_usage import LateHour, oldest_taken, windows_of
from rater_service.rating.other_models import sum_priced_by_name
from rater_service.rating.outside import Outside, find_outside
from rater_service.rating.run import (
    WHAT_TO_DO_ABOUT_UNBILLED_OUTPUT,
    Mode,
    RateRequest,
    RateResult,
    refuse_invalid,
)
from rater_service.rating.turn import rating_turn, require_turn
from rater_service.rating.unchanged import Window
from rater_service.rollup import KEY

logger = logging.getLogger(__name__)

# Runs follow each other, so only somebody who changes the tables by hand can get in the way of one.
ATTEMPTS_MAX = 3


async def rate_window(pool: Pool, request: RateRequest, now: datetime) -> RateResult:
    """Recompute every rollup in the window and make `rated_usage` agree.

    `now` (UTC-aware) decides which hour is running. A routine run that changes bills also rates other hours
    whose usage is newer than their last run, each in a run of its own. Raises InvalidWindow, before anything
    is touched, and NoPriceBookError. Concurrent runs take turns.
    """
    refuse_invalid(request, now)
    async with rating_turn(pool) as connection:
        result, taken = await _rate_with_patience(connection, request, now)
        _log(result)
        late_runs = [await _rate_late(connection, request, window, now) for window in windows_of(taken)]
    return replace(result, late_runs=tuple(late_runs))


async def _rate_late(
    connection: Connection, request: RateRequest, window: tuple[datetime, datetime], now: datetime
) -> RateResult:
    # Other prices for what was billed are for the window that was asked for.
    part = replace(request, window_start=window[0], window_end=window[1], reprice=False, names_outside=False)
    result, _ = await _rate_with_patience(connection, part, now)
    logger.info(
        "run %d took late usage along, %s to %s: %s in all, bills changed by %s USD",
        result.run_id,
        *map(utc_text, window),
        counted(result.events_in_window, "event"),
        decimal_text(result.changes.total.difference),
    )
    _log(result)
    return result


def _log(result: RateResult) -> None:
    for anomaly in result.anomalies:
        logger.error(
            "run %d, %s to %s: %s",
            result.run_id,
            utc_text(result.window_start),
            utc_text(result.window_end),
            anomaly.in_words(),
        )
    if result.unbilled_output_by_auth:
        worst = result.unbilled_output_by_auth[0]
        logger.warning(
            "run %d, %s to %s: not billed: %s of %s without usage, given to %s; most of it: %s, %s. %s",
            result.run_id,
            utc_text(result.window_start),
            utc_text(result.window_end),
            counted(result.unbilled_output_bytes, "byte"),
            counted(result.unbilled_output_events, "answer"),
            counted(result.unbilled_output_auth_count, "customer"),
            worst.auth_id,
            counted(worst.answer_bytes, "byte"),
            WHAT_TO_DO_ABOUT_UNBILLED_OUTPUT,
        )


async def _rate_with_patience(
    connection: Connection, request: RateRequest, now: datetime
) -> tuple[RateResult, Sequence[LateHour]]:
    """Give also the late hours that are to be rated as well."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        try:
            await sum_priced_by_name(connection, request.window_start, request.window_end)
            async with connection.transaction(isolation="repeatable_read"):
                await require_turn(connection)
                return await _rate(connection, request, now)
        except asyncpg.TransactionRollbackError:
            if attempt == ATTEMPTS_MAX:
                raise
            logger.warning("someone else changed what a run was about to change: it starts over")
    raise AssertionError("the last attempt returns or raises")


def _taken_along(request: RateRequest, late: Sequence[LateHour], now: datetime) -> Sequence[LateHour]:
    """Say which late hours a run rates as well: not those of which events are gone, which would be on no bill
    any more.
    """
    if request.mode is not Mode.ROUTINE or request.dry_run:
        return ()
    oldest = oldest_taken(now, request.late_max)
    return [one for one in late if one.hour >= oldest and not one.events_gone]


async def _rate(
    connection: Connection, request: RateRequest, now: datetime
) -> tuple[RateResult, Sequence[LateHour]]:
    asked_at = datetime.now(UTC)
    begun = await fetch_one(connection, "rating/begin")
    answered_at = datetime.now(UTC)
    window = _window(request)
    outside, clocks = Outside(), tuple[Skew, ...]()
    if request.names_outside:
        outside = await find_outside(connection, now, outside=(request.window_start, request.window_end))
        own_skew = skew_between(begun["knowledge_at"], asked_at, answered_at)
        clocks = await read_clocks(connection, own_skew)
    taken = _taken_along(request, outside.late, now)
    computed = await compute(connection, request)
    counts = computed.counts
    incomplete = await incomplete_producers(connection, **window, now=now)
    named = replace(outside, late=tuple(one for one in outside.late if one not in taken))
    around = Surroundings(incomplete, named, clocks)
    anomalies = await find_anomalies(connection, request, computed, around)
    changes = await add_up_changes(connection, request, computed)
    unbilled = await find_unbilled_output(connection) if counts.unbilled_output_events else ()
    if not request.dry_run:
        await _write(connection, request, computed, begun, now)
    window_open = request.window_end > now
    kept = await fetch_one(
        connection,
        "rating/store_run",
        id=begun["id"],
        mode=request.mode,
        **window,
        window_open=window_open,
        dry_run=request.dry_run,
        reprice=request.reprice,
        requested_by=request.requested_by,
        knowledge_at=begun["knowledge_at"],
        started_at=now,
        **counts.by_name(),
        anomalies=json.dumps([asdict(anomaly) for anomaly in anomalies], default=_json_value),
        incomplete_producer_count=incomplete.count,
        incomplete_producers=json.dumps(
            [asdict(producer) for producer in incomplete.first], default=_json_value
        ),
        unbilled_output_by_auth=json.dumps([asdict(customer) for customer in unbilled]),
    )
    _require_kept(counts, kept)
    result = RateResult(
        run_id=begun["id"],
        window_start=request.window_start,
        window_end=request.window_end,
        window_open=window_open,
        requested_by=request.requested_by,
        knowledge_at=begun["knowledge_at"],
        finished_at=kept["finished_at"],
        anomalies=anomalies,
        incomplete_producer_count=incomplete.count,
        incomplete_producers=incomplete.first,
        changes=changes,
        unbilled_output_by_auth=unbilled,
        **counts.by_name() | {"price_books": tuple(counts.price_books)},
    )
    return result, taken


def _json_value(value: object) -> str:
    return utc_text(value) if isinstance(value, datetime) else decimal_text(cast("Decimal", value))


def _window(request: RateRequest) -> dict[str, datetime]:
    return {"window_start": request.window_start, "window_end": request.window_end}


def _require_kept(counts: Counts, kept: asyncpg.Record) -> None:
    """Raise RuntimeError if the ledger, which is for ever, would say something else than the answer."""
    wrong = {name: kept[name] for name, count in counts.by_name().items() if kept[name] != count}
    if wrong:
        raise RuntimeError(f"the run would be kept with {wrong} instead of {counts}")


async def _write(
    connection: Connection, request: RateRequest, computed: Computation, begun: asyncpg.Record, now: datetime
) -> None:
    """Write what was computed, and keep what the run saw of each hour."""
    if computed.part and computed.counts.changes_bills:
        await _apply(connection, begun["id"], now)
        await _require_standing(connection, computed.part)
    used = [held for held in computed.hours if held.events]
    await run(
        connection,
        "rating/keep_hours",
        run=begun["id"],
        knowledge_at=begun["knowledge_at"],
        **_window(request),
        window_starts=[held.hour for held in used],
        event_counts=[held.events for held in used],
        tokens=[held.tokens for held in used],
    )


async def _require_standing(connection: Connection, part: Window) -> None:
    """Raise RuntimeError, which undoes the run, if the table says something else than the answer would."""
    wrong = await fetch_value(connection, "rating/standing", window_start=part[0], window_end=part[1])
    if wrong:
        raise RuntimeError(f"rollups that would not stand in the table as the run answers them: {wrong}")


async def _apply(connection: Connection, run_id: int, now: datetime) -> None:
    """Make rated_usage what it must be, and keep what was changed for ever."""
    # Here the planner is to know how few the changes are among the rollups of all the years.
    await connection.execute(f"ANALYZE rating_change (kind, rollup, {', '.join(KEY)})")
    await connection.execute("SET LOCAL enable_nestloop = on; SET LOCAL enable_mergejoin = on")
    await run(connection, "rating/delete")
    await run(connection, "rating/update", run=run_id, rated_at=now)
    await run(connection, "rating/insert", run=run_id, rated_at=now)
    await run(connection, "rating/record", run=run_id)
