"""How far clocks are apart: those of producers from the rater's."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from rater_service.database.clock import SKEW_WARNED
from rater_service.database.database import Connection
from rater_service.events.proxy_names import proxy_in_words
from rater_service.statements import bound

# Events get into the wrong hour, and hours look incomplete.
SKEW_NAMED = timedelta(seconds=60)
# Producers report every ten seconds; one that has not for a day says nothing of its clock.
_HEARD_WITHIN = timedelta(days=1)
_LISTED_MAX = 10


@dataclass(frozen=True, slots=True)
class Skew:
    """How a clock stood against another when it was measured: ahead (positive) or behind (negative).

    whose: which clock, in words; against: which other.
    """

    whose: str
    skew: timedelta
    against: str = "the rater's"

    @property
    def is_named(self) -> bool:
        """Whether it needs a human."""
        return abs(self.skew) > SKEW_NAMED

    def in_words(self) -> str:
        """Say it."""
        how = "ahead of" if self.skew > timedelta(0) else "behind"
        return f"{self.whose} is {abs(self.skew.total_seconds()):.1f} s {how} {self.against}"


async def skewed_producers(connection: Connection, now: datetime) -> list[Skew]:
    """Read the producers whose clocks are too far from the rater's, the worst first."""
    rows = await connection.fetch(
        *bound(
            "events/skewed_producers",
            heard_from=now - _HEARD_WITHIN,
            skew_min=SKEW_WARNED,
            limit=_LISTED_MAX,
        )
    )
    return [
        Skew(f"the clock of {proxy_in_words(row['producer_id'], row['name'])}", row["clock_skew"])
        for row in rows
    ]
