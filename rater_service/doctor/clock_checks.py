"""The check of clocks: the database's, this machine's, the rater's and those of proxies."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from rater_service.database.clock import SKEW_WARNED, read_clock
from rater_service.doctor.access import Access
from rater_service.doctor.findings import Finding, failed, ok, warning
from rater_service.doctor.pages import read_samples
from rater_service.events.clocks import SKEW_NAMED, Skew, skewed_producers

_NTP = "set it right, by NTP: usage is billed in the hour that a proxy's clock says"
_RATER_CLOCK = "phoebe_rater_clock_skew_seconds"


async def check_clocks(access: Access) -> Sequence[Finding]:
    """Say whose clock is wrong."""
    async with access.database.acquire() as connection:
        here = (await read_clock(connection)).ahead
        producers = [] if access.schema_trouble else await skewed_producers(connection, datetime.now(UTC))
    skews = [Skew("the clock of this machine", here, "the database's"), *producers]
    if access.targets.rater_metrics:
        samples = await read_samples(access, access.targets.rater_metrics)
        skews += [
            Skew("the clock of the rater's machine", timedelta(seconds=sample.value), "the database's")
            for sample in samples.of(_RATER_CLOCK)
        ]
    wrong = [each for each in skews if abs(each.skew) > SKEW_WARNED]
    return [_judged(each) for each in wrong] or [
        ok("the clocks of the database, of this machine and of the proxies heard of today agree")
    ]


def _judged(skew: Skew) -> Finding:
    say = failed if abs(skew.skew) > SKEW_NAMED else warning
    return say(skew.in_words(), _NTP)
