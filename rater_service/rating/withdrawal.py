"""Takes back a loading of a price file by which no hour was priced."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from phoebe_runtime.counts import counted
from rater_service.database.clock import Clock, read_clock
from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import fetch_one
from rater_service.errors import OperatorError
from rater_service.hours import utc_text
from rater_service.prices.loadings import Loading, Timeline
from rater_service.prices.shared_history import OWN_CHANGES
from rater_service.prices.store import keep_others_from_loading, read_timeline
from rater_service.rating.turn import rating_turn
from rater_service.statements import bound


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """A loading as it was when it was withdrawn.

    had_begun: whether its hour had come. outlook: what is in force now and to come, in sentences.
    """

    loading: Loading
    had_begun: bool
    outlook: tuple[str, ...]


async def withdraw_loading(pool: Pool, number: int | None, by: str, clock: Clock = read_clock) -> Withdrawal:
    """Withdraw a loading, by its number; None: the one that is to come.

    by: who does it, for the record. Waits for its turn among runs: one that is under way may price an hour by
    it. Raises OperatorError, in words, if there is no such loading or an hour was priced by it.
    """
    async with rating_turn(pool) as connection, connection.transaction():
        await keep_others_from_loading(connection)
        timeline = await read_timeline(connection)
        now = (await clock(connection)).now
        loading = _wanted(timeline, number) if number is not None else _to_come(timeline, now)
        _refuse_ended(loading)
        await _refuse_priced(connection, timeline, loading)
        await connection.execute(
            *bound("rating/withdraw_loading", number=loading.number, withdrawn_at=now, withdrawn_by=by)
        )
        outlook = (await read_timeline(connection)).outlook(now)
    OWN_CHANGES.note()
    return Withdrawal(loading, loading.start <= now, outlook)


def _wanted(timeline: Timeline, number: int) -> Loading:
    for loading in timeline.loadings:
        if loading.number == number:
            return loading
    raise OperatorError(f"there is no loading {number}; see `phoebe prices list`")


def _to_come(timeline: Timeline, now: datetime) -> Loading:
    to_come = timeline.to_come(now)
    if len(to_come) == 1:
        return to_come[0]
    outlook = "; ".join(timeline.outlook(now))
    raise OperatorError(f"name the loading to withdraw by its number: {outlook}")


def _refuse_ended(loading: Loading) -> None:
    if loading.withdrawn_at is not None:
        raise OperatorError(
            f"loading {loading.number} was withdrawn before, {utc_text(loading.withdrawn_at)} by "
            f"{loading.withdrawn_by}"
        )
    if loading.replaced_by is not None:
        raise OperatorError(
            f"loading {loading.number} prices no hour: loading {loading.replaced_by} took its place before "
            "its hour came"
        )


async def _refuse_priced(connection: Connection, timeline: Timeline, loading: Loading) -> None:
    earlier = (
        other
        for other in timeline.in_turn
        if other.content_hash == loading.content_hash and other.number < loading.number
    )
    priced = await fetch_one(
        connection,
        "rating/hours_priced",
        content_hash=loading.content_hash,
        since=loading.in_force_from,
        until=timeline.until(loading) if loading in timeline.in_turn else None,
        not_before=any(earlier),
        loaded_at=loading.loaded_at,
    )
    if priced["hours"]:
        raise OperatorError(_priced_text(loading, priced))


def _priced_text(loading: Loading, priced: asyncpg.Record) -> str:
    return (
        f"loading {loading.number} can't be withdrawn: it priced {counted(priced['hours'], 'hour')}, from "
        f"{utc_text(priced['first_hour'])} to {utc_text(priced['last_hour'])}, first by run "
        f"{priced['first_run']}. Load the file that shall hold instead: it is in force from the next hour, "
        "or from its effective_from. What is billed keeps its rates until `phoebe rate --reprice`"
    )
