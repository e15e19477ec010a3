"""A database to read from: the primary, or a standby, which is behind."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rater_service.database.database import Pool
from rater_service.database.freshness import Freshness
from rater_service.database.standby_conflicts import read_again


@dataclass(frozen=True, slots=True)
class Source:
    """A database to read from. freshness: how current it is, if it is a standby or was named for reading."""

    pool: Pool
    freshness: Freshness | None = None

    @property
    def is_standby(self) -> bool:
        """Whether it may be behind."""
        return self.freshness is not None and self.freshness.is_standby

    @property
    def now(self) -> datetime:
        """Give the moment to judge by, UTC-aware: what a standby does not have yet is not missing."""
        return self.at(datetime.now(UTC))

    def at(self, present: datetime) -> datetime:
        """Give the same of a present, UTC-aware."""
        if self.freshness is None or not self.freshness.is_standby:
            return present
        return self.freshness.as_of

    async def read[Result](self, read: Callable[[], Awaitable[Result]]) -> Result:
        """Read, and again what a standby cancels; see `read_again`."""
        return await (read_again(read) if self.is_standby else read())
