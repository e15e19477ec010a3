"""Trouble that lasts, told in the log so that it is noticed and does not fill it.

One line when it begins, one for each other cause that is found, one a minute while it lasts, one when it
ends.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from phoebe_runtime.durations import in_words

SAY_AGAIN_S = 60.0
_CAUSES_MAX = 10


class Trouble:
    """One kind of trouble, which is there or not.

    logger: of whoever is in it. over: what is said at its end. clock: seconds, of which only differences
    count.
    """

    def __init__(
        self, logger: logging.Logger, over: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._over = over
        self._clock = clock
        self._since_s: float | None = None
        self._said_at_s = 0.0
        self._causes: set[str] = set()

    def met(self, words: str) -> None:
        """Say what is wrong, if that is new or was said a minute ago. May be called at every failure."""
        now_s = self._clock()
        if self._since_s is None:
            self._since_s = now_s
            self._causes.clear()
        if words not in self._causes and len(self._causes) < _CAUSES_MAX:
            self._causes.add(words)
            self._said_at_s = now_s
            self._logger.error("%s", words)
        elif now_s - self._said_at_s >= SAY_AGAIN_S:
            self._said_at_s = now_s
            self._logger.error("%s; for %s now", words, in_words(timedelta(seconds=now_s - self._since_s)))

    def is_over(self) -> None:
        """Say that it is over, if it was there. It may be called at every success."""
        if self._since_s is None:
            return
        lasted = timedelta(seconds=self._clock() - self._since_s)
        self._since_s = None
        self._logger.warning("%s, after %s", self._over, in_words(lasted))
