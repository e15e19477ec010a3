"""Loads a price file: from then on, or from an hour to come, its prices are in force."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from rater_service.database.clock import Clock, ClockReading, read_clock
from rater_service.database.database import Connection
from rater_service.hours import utc_text
from rater_service.prices.faults import Fault, PriceFileError
from rater_service.prices.file import LoadedPriceFile
from rater_service.prices.guards import judge
from rater_service.prices.loadings import Loading, Plan, Timeline
from rater_service.prices.parsed_books import PARSED_BOOKS
from rater_service.prices.pricebook import NOTHING_ALLOWED, Allowed, PriceBook
from rater_service.prices.shared_history import OWN_CHANGES
from rater_service.prices.store import keep_others_from_loading, load_book, read_timeline
from rater_service.statements import bound

# The hour turns in none of them but the first, or in the second if an hour has gone by since.
ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of a price file that was to be loaded.

    loading: the latest there is, which is of this file. plan: what it did when it was made; None: it was
    there before, and nothing was loaded. timeline: all loadings there are now. clock: read after that.
    """

    loading: Loading
    plan: Plan | None
    timeline: Timeline
    warnings: tuple[Fault, ...]
    clock: ClockReading

    def told(self, source: str) -> Iterator[str]:
        """Say what was done, and what is in force and still to come."""
        what = f"price file {source}: {self.loading.describe()}"
        if self.plan is None:
            yield f"{what} was loaded last: nothing to load"
        else:
            yield f"{what} is loaded"
        yield from self.timeline.outlook(self.clock.now)

    def alarms(self, source: str) -> Iterator[str]:
        """Say what an operator has to know of it besides, and may not have wanted."""
        if (clocks := self.clock.warning) is not None:
            yield clocks
        for warning in self.warnings:
            yield f"price file {source}: {warning}"
        if self.loading.withdrawn_at is not None:
            yield (
                f"THE PRICE FILE {source} IS NOT IN FORCE: its {self.loading.describe()} was withdrawn "
                f"{utc_text(self.loading.withdrawn_at)} by {self.loading.withdrawn_by}; to load it all the "
                "same, change it: a comment will do"
            )
        yield from self._alarms_of_plan(source)

    def _alarms_of_plan(self, source: str) -> Iterator[str]:
        if self.plan is None:
            return
        for replaced in self.plan.replaces:
            yield (
                f"price file {source} replaces {replaced.describe()}, which was to come into force "
                f"{utc_text(replaced.start)} and now does not"
            )
        start = self.plan.in_force_from
        if self.plan.reaches_back:
            assert start is not None
            yield (
                f"price file {source} REACHES BACK to {utc_text(start)}: what was used since and is not "
                "billed yet is billed by it; what is billed keeps its rates until a run says --reprice"
            )
        elif start is not None and self.clock.now >= start:
            yield (
                f"price file {source} is in force from {utc_text(start)}, and was stored only at "
                f"{utc_text(self.clock.now)}: quotes and runs in between went by earlier prices"
            )


async def load_price_file(  # noqa: PLR0913, PLR0917 - what a loading is
    connection: Connection,
    content: bytes,
    source: str,
    by: str,
    allowed: Allowed = NOTHING_ALLOWED,
    clock: Clock = read_clock,
) -> Loaded:
    """Check a price file and load it, in a transaction of its own, unless it was loaded last.

    source: where the file is; by: who loads it ("serve:alice@host-1"), both for the record. allowed: prices
    that are meant although they look like mistakes, besides what the file itself allows. clock: by default
    the database's, so that no machine's own clock decides when prices come into force. Raises PriceFileError,
    with all faults, and changes nothing, if the file breaks a rule or its prices are probably mistakes.
    """
    file = _File(await PARSED_BOOKS.parse(content, source), source, by, allowed)
    for _ in range(ATTEMPTS_MAX):
        try:
            loading, plan, warnings = await _load(connection, file, clock)
            break
        except _HourTurnedError:
            continue
    else:
        raise AssertionError("an hour turns once in an hour")
    OWN_CHANGES.note()
    timeline = await read_timeline(connection)
    return Loaded(loading, plan, timeline, file.parsed.warnings + warnings, await clock(connection))


@dataclass(frozen=True, slots=True)
class _File:
    """A price file that is to be loaded, and who loads it."""

    parsed: LoadedPriceFile
    source: str
    by: str
    allowed: Allowed

    @property
    def book(self) -> PriceBook:
        return self.parsed.book


class _HourTurnedError(Exception):
    """The hour from which a loading was to be in force began before it was kept."""


async def _load(
    connection: Connection, file: _File, clock: Clock
) -> tuple[Loading, Plan | None, tuple[Fault, ...]]:
    async with connection.transaction():
        await keep_others_from_loading(connection)
        timeline = await read_timeline(connection)
        if timeline.latest is not None and timeline.latest.content_hash == file.book.content_hash:
            return timeline.latest, None, ()
        warnings = await _judge(connection, file, timeline, (await clock(connection)).now)
        # Only now, because to wait for others and to judge may have taken long.
        now = (await clock(connection)).now
        plan = timeline.plan(file.book.content_hash, file.book.effective_from, now)
        loading = await _keep(connection, file, timeline, now, plan)
        if await _has_turned(connection, plan, clock):
            raise _HourTurnedError
    return loading, plan, warnings


async def _judge(connection: Connection, file: _File, timeline: Timeline, now: datetime) -> tuple[Fault, ...]:
    """Raise PriceFileError for prices that are probably mistakes; return what is worth a warning."""
    prevailing = timeline.prevailing(now)
    in_force = None if prevailing is None else await load_book(connection, prevailing.content_hash)
    # Of hundred thousands of models it takes seconds.
    judged = await asyncio.to_thread(judge, file.book, in_force, file.allowed, file.parsed.lines)
    if judged.faults:
        raise PriceFileError(file.source, judged.faults)
    return judged.warnings


async def _keep(
    connection: Connection, file: _File, timeline: Timeline, now: datetime, plan: Plan
) -> Loading:
    book = file.book
    if all(loading.content_hash != book.content_hash for loading in timeline.loadings):
        await connection.execute(
            *bound(
                "prices/store_book",
                content_hash=book.content_hash,
                content=book.content,
                source=file.source,
                loaded_at=now,
                effective_from=book.effective_from,
                in_force_from=plan.in_force_from,
            )
        )
    kept = await connection.fetchrow(
        *bound(
            "prices/store_loading",
            content_hash=book.content_hash,
            source=file.source,
            loaded_at=now,
            loaded_by=file.by,
            in_force_from=plan.in_force_from,
        )
    )
    assert kept is not None
    numbers = [replaced.number for replaced in plan.replaces]
    await connection.execute(*bound("prices/replace_loadings", replaced_by=kept["number"], numbers=numbers))
    return Loading(
        kept["number"], book.content_hash, file.source, now, file.by, kept["db_role"], plan.in_force_from
    )


async def _has_turned(connection: Connection, plan: Plan, clock: Clock) -> bool:
    """Tell whether the hour has begun meanwhile: what is served in it was quoted by other prices."""
    if plan.reaches_back or plan.in_force_from is None:
        return False
    return (await clock(connection)).now >= plan.in_force_from
