"""Computes what a run is to write, and counts it, from one snapshot; changes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from rater_service.database.database import Connection
from rater_service.database.long_statements import STATEMENT_TIMEOUT_S, fetch_one, run
from rater_service.errors import NoPriceBookError
from rater_service.prices.history import PriceHistory
from rater_service.prices.store import load_history
from rater_service.rating.categories import over_categories
from rater_service.rating.counts import Counts
from rater_service.rating.pricing import read_prices
from rater_service.rating.run import RateRequest
from rater_service.rating.unchanged import HourHeld, Window, outside, part_to_compute, read_hours
from rater_service.statements import source, statement


@dataclass(frozen=True, slots=True)
class Computation:
    """What came of it: the numbers of the window, and what its hours hold.

    part: what the working tables are of; None: there are none, because all hours are left as they are.
    """

    counts: Counts
    hours: Sequence[HourHeld]
    part: Window | None


async def compute(connection: Connection, request: RateRequest) -> Computation:
    """Compute the rollups that must be, from the snapshot of a transaction that is open.

    What differs from those there are, and what is to be said of them, stands in the working tables. Raises
    NoPriceBookError.
    """
    history = await load_history(connection, request.window_start)
    if not history:
        raise NoPriceBookError
    # The working tables have no statistics: the planner takes them for tiny, and would compare every row with
    # every row, or sort what is wide. Gathering statistics takes a third of a run.
    await connection.execute("SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off")
    window = (request.window_start, request.window_end)
    hours = await read_hours(connection, window)
    # Where rates are found anew, whatever was billed may change.
    part = window if request.reprice else part_to_compute(hours)
    counts = Counts()
    if part:
        await fill(connection, history, part, keeps_rates=not request.reprice)
        counts = Counts(
            **await fetch_one(connection, "rating/counts", window_start=part[0], window_end=part[1])
        )
    return Computation(counts.plus(outside(hours, part)), hours, part)


async def fill(connection: Connection, history: PriceHistory, part: Window, *, keeps_rates: bool) -> None:
    """Fill the working tables with a part of a window.

    keeps_rates: whether rollups that were rated before stay at the rates they were rated at.
    """
    window = {"window_start": part[0], "window_end": part[1]}
    await run(connection, "rating/tables")
    prices = await read_prices(connection, history, **window)
    await run(connection, "rating/recorded", **window)
    buckets = over_categories("rating/buckets", **window, **prices, keeps_rates=keeps_rates)
    await connection.execute(*buckets, timeout=STATEMENT_TIMEOUT_S)
    changes = statement("rating/changes", rated=source("rating/rollups"))
    await connection.execute(*changes.bind(window), timeout=STATEMENT_TIMEOUT_S)
    await run(connection, "rating/gone")
