"""The sums of bills by the day: compared with the rollups, and made again where they differ.

The database keeps them with every change of a rollup, and coarser ones with every change of these: by the
month, and by the day of each model alone. They differ only where something other than Phoebe wrote to the
tables, or data was put back while triggers were off.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg

from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import fetch, fetch_one, run
from rater_service.hours import require_window, utc_text
from rater_service.rating.turn import rating_turn

DAY = timedelta(days=1)
DIFFERENCES_MAX = 100

type OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DaySumDifference:
    """A sum that is not that of its rollups; UTC-aware, USD. None: there is no sum, or no rollup.

    sum: "day" or "month" for those of a customer, resource and model; "model day" for those of a model, which
    name nothing else. day: when it begins.
    """

    sum: str
    day: datetime
    auth_id: str | None
    resource_id: str | None
    model_id: str
    summed_rollups: int | None
    summed_cost: Decimal | None
    rollups: int | None
    cost: Decimal | None


@dataclass(slots=True)
class RebuiltDays:
    """What a rebuild found. differences: the first; difference_count: of all sums that differed."""

    days: int = 0
    days_differing: int = 0
    difference_count: int = 0
    differences: list[DaySumDifference] = field(default_factory=list)


def day_of(moment: datetime) -> datetime:
    """Return the beginning of the day of UTC that an aware moment is in."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


async def compare_days(
    connection: Connection, first_day: datetime, end_day: datetime, limit: int
) -> tuple[int, list[DaySumDifference]]:
    """Compare sums with rollups; give how many sums differ, and the first. Both bounds begin days of UTC."""
    return _differences(
        await fetch(
            connection, "rating/day_sums_differences", first_day=first_day, end_day=end_day, limit=limit
        )
    )


async def compare_coarser(
    connection: Connection, first_day: datetime, end_day: datetime, limit: int
) -> tuple[int, list[DaySumDifference]]:
    """Compare the sums that are coarser with those by the day, of all months that the days are of."""
    return _differences(
        await fetch(
            connection,
            "rating/coarser_sums_differences",
            first_month=month_of(first_day),
            end_month=next_month(month_of(end_day - DAY)),
            limit=limit,
        )
    )


def month_of(moment: datetime) -> datetime:
    """Return the beginning of the month of UTC that an aware moment is in."""
    return day_of(moment).replace(day=1)


def next_month(month: datetime) -> datetime:
    """Return the beginning of the month after one that is given by its own."""
    return (month + 31 * DAY).replace(day=1)


def _differences(rows: Sequence[asyncpg.Record]) -> tuple[int, list[DaySumDifference]]:
    count = rows[0]["differences"] if rows else 0
    return count, [
        DaySumDifference(**{name: value for name, value in row.items() if name != "differences"})
        for row in rows
    ]


async def rebuild_days(
    pool: Pool,
    since: datetime | None,
    until: datetime | None,
    *,
    dry_run: bool = False,
    on_progress: OnProgress = lambda _: None,
) -> RebuiltDays:
    """Make the sums of all days that [since, until) touches agree with the rollups; None: of all days.

    Each day is compared, and made again in a transaction of its own if it differs, between runs. dry_run:
    compare only. Raises InvalidWindow.
    """
    require_window(since, until)
    rebuilt = RebuiltDays()
    async with pool.acquire() as connection:
        extent = await fetch_one(connection, "rating/day_sums_extent")
        if extent["first_day"] is None:
            return rebuilt
        day = max(day_of(since or extent["first_day"]), extent["first_day"])
        while day <= extent["last_day"] and (until is None or day < until):
            on_progress(f"comparing {utc_text(day)}, days that differ so far: {rebuilt.days_differing}")
            count, first = await compare_days(connection, day, day + DAY, DIFFERENCES_MAX)
            if count and not dry_run:
                count, first = await _rebuild_day(pool, day)
            rebuilt.days += 1
            rebuilt.days_differing += count > 0
            rebuilt.difference_count += count
            rebuilt.differences += first[: DIFFERENCES_MAX - len(rebuilt.differences)]
            day += DAY
        if rebuilt.days:
            on_progress("comparing the coarser sums with those by the day")
            await _rebuild_coarser(
                pool, connection, (day - rebuilt.days * DAY, day), rebuilt, dry_run=dry_run
            )
    return rebuilt


async def _rebuild_coarser(
    pool: Pool,
    connection: Connection,
    days: tuple[datetime, datetime],
    rebuilt: RebuiltDays,
    *,
    dry_run: bool,
) -> None:
    count, first = await compare_coarser(connection, *days, DIFFERENCES_MAX)
    if count and not dry_run:
        async with rating_turn(pool) as writing, writing.transaction():
            count, first = await compare_coarser(writing, *days, DIFFERENCES_MAX)
            span = {"first_month": month_of(days[0]), "end_month": next_month(month_of(days[1] - DAY))}
            await writing.execute("SET LOCAL phoebe.makes_day_sums = 'on'")
            await run(writing, "rating/month_sums_delete", **span)
            await run(writing, "rating/month_sums_insert", **span)
            await run(writing, "rating/model_day_sums_delete", **span)
            await run(writing, "rating/model_day_sums_insert", **span)
    rebuilt.difference_count += count
    rebuilt.differences += first[: DIFFERENCES_MAX - len(rebuilt.differences)]


async def _rebuild_day(pool: Pool, day: datetime) -> tuple[int, list[DaySumDifference]]:
    """Give what differed, which may be other than before."""
    async with rating_turn(pool) as connection, connection.transaction():
        found = await compare_days(connection, day, day + DAY, DIFFERENCES_MAX)
        # Sums that come from elsewhere are left out, as those of a dump.
        await connection.execute("SET LOCAL phoebe.makes_day_sums = 'on'")
        await run(connection, "rating/day_sums_delete", day=day)
        await run(connection, "rating/day_sums_insert", day=day)
    return found
