"""When a service rates by itself, and what."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rater_service.hours import HOUR

EVERY_MAX_MINUTES = 1440
# Addons send within seconds, and an hour that ended less than a minute ago is not held against them.
DELAY_DEFAULT_S = 120

_EPOCH = datetime.fromtimestamp(0, UTC)
_MINUTES = re.compile(r"([1-9][0-9]{0,3})m")


def parse_every(written: str) -> timedelta:
    """Read `hour` or `15m` (1 to 1440 minutes). Raises ValueError."""
    if written == "hour":
        return HOUR
    found = _MINUTES.fullmatch(written)
    if found is None or int(found[1]) > EVERY_MAX_MINUTES:
        raise ValueError(f"{written!r} is neither `hour` nor 1 to {EVERY_MAX_MINUTES} minutes, like `15m`")
    return timedelta(minutes=int(found[1]))


@dataclass(frozen=True, slots=True)
class RatingSchedule:
    """Slots that begin at whole multiples of `every` in UTC, each with a run that is due `delay` later."""

    every: timedelta
    delay: timedelta = timedelta(seconds=DELAY_DEFAULT_S)

    @property
    def words(self) -> str:
        """The interval as `parse_every` reads it."""
        return "hour" if self.every == HOUR else f"{self.every // timedelta(minutes=1)}m"

    def slot(self, now: datetime) -> datetime:
        """Return the beginning of the last slot whose run is due at `now`."""
        return _EPOCH + (now - self.delay - _EPOCH) // self.every * self.every

    def due(self, slot: datetime) -> datetime:
        """Return when the run of a slot is due."""
        return slot + self.delay

    def until_next(self, now: datetime) -> timedelta:
        """Return how long it is from `now` until the next run is due; more than nothing."""
        return self.due(self.slot(now) + self.every) - now
