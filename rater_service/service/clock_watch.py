"""Tells, once for each stream, that a producer's clock is wrong."""

import logging

from rater_service.database.clock import SKEW_WARNED
from rater_service.events.clocks import Skew
from rater_service.events.producer_status import StatusRow
from rater_service.events.proxy_names import proxy_in_words

logger = logging.getLogger(__name__)

# An addon reports for its own spool, and once for each that was damaged.
_PRODUCERS_MAX = 100


class ClockWatch:
    """What was said of clocks on one stream: each producer is named once, and again when it gets worse."""

    def __init__(self) -> None:
        self._said: dict[str, int] = {}

    def note(self, status: StatusRow) -> None:
        """Look at what a producer's clock said."""
        if status.clock_skew is None or abs(status.clock_skew) <= SKEW_WARNED:
            return
        skew = Skew(
            f"the clock of {proxy_in_words(repr(status.producer_id), status.name)}", status.clock_skew
        )
        level = logging.ERROR if skew.is_named else logging.WARNING
        if self._said.get(status.producer_id, 0) >= level or len(self._said) >= _PRODUCERS_MAX:
            return
        self._said[status.producer_id] = level
        logger.log(
            level,
            "%s: set it right, by NTP; its events are billed in the hours that its clock says",
            skew.in_words(),
        )
