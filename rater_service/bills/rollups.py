"""Rollups as they are, or as they stood at a moment of the past."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime

from rater_service.bills.explanation import RunStamp
from rater_service.database.database import Connection, Pool
from rater_service.errors import OperatorError
from rater_service.hours import utc_text
from rater_service.statements import Bound, bound, source, statement


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rollups: of the hours [window_start, window_end), UTC-aware; None: no such condition."""

    window_start: datetime
    window_end: datetime
    auth_id: str | None = None
    resource_id: str | None = None
    model_id: str | None = None


@dataclass(frozen=True, slots=True)
class AsOf:
    """A moment of the past, and the last run that had finished by then; None: there was none."""

    moment: datetime
    run: RunStamp | None

    @property
    def run_id(self) -> int:
        """The number of the run; before the first run 0, which no run has."""
        return 0 if self.run is None else self.run.id


@asynccontextmanager
async def reading(pool: Pool) -> AsyncIterator[Connection]:
    """Open one snapshot in which several statements about rollups agree with each other."""
    async with pool.snapshot() as connection:
        # A plan for any values could not use an index for conditions that may be absent.
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        yield connection


async def find_as_of(connection: Connection, moment: datetime, now: datetime) -> AsOf:
    """Find the run that had the last word at a moment (UTC-aware).

    now: UTC-aware; of a standby the moment until which it has everything. Raises OperatorError for a moment
    that is not past.
    """
    row = await connection.fetchrow("SELECT clock_timestamp() AS now, pg_is_in_recovery() AS is_standby")
    assert row is not None
    if row["is_standby"] and moment > now:
        raise OperatorError(
            f"{utc_text(moment)} is later than what the standby has: it is as of {utc_text(now)}"
        )
    if moment > row["now"]:
        raise OperatorError(f"{utc_text(moment)} is not past: nobody knows what the bills will say then")
    last = await connection.fetchrow(*bound("bills/as_of_run", moment=moment))
    return AsOf(moment, None if last is None else RunStamp(**dict(last)))


def over_rollups(name: str, selection: Selection, as_of: AsOf | None, /, **arguments: object) -> Bound:
    """Give a statement over the rollups selected, as they are or as they were; arguments: its own."""
    over = statement(name, rollups=source("bills/rollups"))
    run = None if as_of is None else as_of.run_id
    return over.bind({**asdict(selection), "run": run, **arguments})


async def find_names(connection: Connection, since: datetime, text: str, limit: int) -> list[tuple[str, str]]:
    """Find customers, resources and models with a text in their names, billed since a month.

    since: its beginning, UTC-aware. Gives kind and name, at most `limit` of a kind. The case of letters does
    not matter.
    """
    rows = await connection.fetch(*bound("bills/find_names", since=since, text=text.lower(), limit=limit))
    return [(row["kind"], row["name"]) for row in rows]
