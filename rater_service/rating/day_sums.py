"""The sums of bills by the day: compared with the rollups, and made again where they differ.

The database keeps them with every change of a rollup. They differ only where something other than Phoebe
wrote to the tables, or data was put back while triggers were off.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from rater_service.database.database import Connection, Pool
from rater_service.database.long_statements import fetch, fetch_one, run
from rater_service.hours import require_window, utc_text
from rater_service.rating.turn import rating_turn

DAY = timedelta(days=1)
DIFFERENCES_MAX = 100

type OnProgress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DaySumDifference:
    """A sum that is not that of its rollups; UTC-aware, USD. None: there is no sum, or no rollup."""

    day: datetime
    auth_id: str
    resource_id: str
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
    rows = await fetch(
        connection, "rating/day_sums_differences", first_day=first_day, end_day=end_day, limit=limit
    )
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
            on_progress(f"comparing {utc_text(day)}, {rebuilt.days_differing} days differ so far")
            count, first = await compare_days(connection, day, day + DAY, DIFFERENCES_MAX)
            if count and not dry_run:
                count, first = await _rebuild_day(pool, day)
            rebuilt.days += 1
            rebuilt.days_differing += count > 0
            rebuilt.difference_count += count
            rebuilt.differences += first[: DIFFERENCES_MAX - len(rebuilt.differences)]
            day += DAY
    return rebuilt


async def _rebuild_day(pool: Pool, day: datetime) -> tuple[int, list[DaySumDifference]]:
    """Give what differed, which may be other than before."""
    async with rating_turn(pool) as connection, connection.transaction():
        found = await compare_days(connection, day, day + DAY, DIFFERENCES_MAX)
        # Sums that come from elsewhere are left out, as those of a dump.
        await connection.execute("SET LOCAL phoebe.makes_day_sums = 'on'")
        await run(connection, "rating/day_sums_delete", day=day)
        await run(connection, "rating/day_sums_insert", day=day)
    return found
