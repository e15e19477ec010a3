"""For `mitmdump -s`, before the addon: brings the faults that FAULTS names into it.

bug     a task of the background crashes, again and again
clock   the proxy's clock is 90 seconds ahead
"""

import os
from datetime import datetime, timedelta, tzinfo
from typing import NoReturn, Self, override

from phoebe_addon.delivery import adoption, delivery

AHEAD = timedelta(seconds=90)


class ClockAhead(datetime):
    """A clock that is not right."""

    @classmethod
    @override
    def now(cls, tz: tzinfo | None = None) -> Self:
        return super().now(tz) + AHEAD


async def crash(_: object) -> NoReturn:
    """Do what a bug does."""
    raise RuntimeError("a drill")


FAULTS = os.environ["FAULTS"].split()
if "bug" in FAULTS:
    adoption.Adoption.run = crash  # type: ignore[method-assign, assignment]
if "clock" in FAULTS:
    vars(delivery)["datetime"] = ClockAhead
