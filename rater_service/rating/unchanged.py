"""Which hours of a window are as a run would leave them, so that it need not compute them.

Nothing is taken on trust: of each hour the sums of its usage, what they cost, the rollups and the ledger are
read and compared. What such an hour is spared are the working tables, in which a run finds what differs and
what is to be said of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from rater_service.database.database import Connection
from rater_service.database.long_statements import fetch
from rater_service.hours import HOUR
from rater_service.prices.pricebook import FINE_TUNE_PREFIX

type Window = tuple[datetime, datetime]
"""[start, end): whole hours, UTC-aware."""


@dataclass(frozen=True, slots=True)
class HourHeld:
    """What an hour, UTC-aware, holds by its sums (events, and their prompt and completion tokens) and by its
    rollups (those, their events and their cost in USD).

    is_unchanged: a run that keeps rates would leave it as it is and has nothing to say of it. Its events then
    are either rated, rated_events of them, or zero_charge_events.
    """

    hour: datetime
    events: int
    tokens: Decimal
    zero_charge_events: int
    rollups: int
    rated_events: int
    cost: Decimal
    price_books: Sequence[str]
    is_unchanged: bool


async def read_hours(connection: Connection, window: Window) -> list[HourHeld]:
    """Read what the hours of a window hold, oldest first; those that hold nothing are left out."""
    rows = await fetch(
        connection,
        "rating/unchanged",
        window_start=window[0],
        window_end=window[1],
        fine_tune_prefix=FINE_TUNE_PREFIX,
    )
    return [HourHeld(**row) for row in rows]


def part_to_compute(hours: Sequence[HourHeld]) -> Window | None:
    """Return the shortest part of a window with all hours that are not unchanged; None: there are none."""
    rest = [held.hour for held in hours if not held.is_unchanged]
    return (rest[0], rest[-1] + HOUR) if rest else None


def outside(hours: Sequence[HourHeld], part: Window | None) -> list[HourHeld]:
    """Return the hours that are not in the part that is computed."""
    return [held for held in hours if part is None or not part[0] <= held.hour < part[1]]
