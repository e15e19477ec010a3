"""What keeps events from the rater, told in the log so that it is noticed and does not fill it."""

import logging
import time
from collections.abc import Callable
from datetime import timedelta

import grpc
import grpc.aio

from phoebe_runtime.durations import in_words

logger = logging.getLogger(__name__)

_WHAT_TO_DO = (
    "They wait in the spool. Set phoebe_rater to the rater of their installation, or phoebe_spool to another "
    "folder; docs/addon.md, Installations, says how to bring them elsewhere on purpose"
)
SAY_AGAIN_S = 60.0
"""While events can't be delivered, an error says so this often, as of a background task that is down."""

_REFUSALS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


class DeliveryError(Exception):
    """The rater gave an answer that does not fit what it was sent."""


class WrongInstallationError(DeliveryError):
    """The rater is of another installation than the spool, or does not say of which; no event was sent."""


class DeliveryTrouble:
    """The trouble of one delivery to the rater at `target`.

    What only a human can mend is an error at once; what passes by itself is a warning at first, and an error
    once it has lasted for `SAY_AGAIN_S` seconds. Errors are said again as often, for as long as it lasts; and
    so is, once, that it is over.
    clock: seconds, of which only differences count.
    """

    def __init__(self, target: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._target = target
        self._clock = clock
        self._since_s: float | None = None
        self._said_at_s = 0.0
        self._known = ""

    def met(self, error: BaseException | None) -> None:
        """Say what went wrong with an attempt."""
        now_s = self._clock()
        is_new = self._since_s is None
        if self._since_s is None:
            self._since_s = self._said_at_s = now_s
        is_due = now_s - self._said_at_s >= SAY_AGAIN_S
        level = self._level_of(error, is_new=is_new, is_due=is_due)
        if level == logging.ERROR:
            self._said_at_s = now_s
        rater = f"the rater at {self._target}"
        what = f"{rater} lets no event in" if _is_for_humans(error) else f"events wait in the spool: {rater}"
        lasting = f", for {in_words(timedelta(seconds=now_s - self._since_s))} now" if is_due else ""
        logger.log(level, "phoebe: %s%s: %s", what, lasting, explain(error))

    def _level_of(self, error: BaseException | None, *, is_new: bool, is_due: bool) -> int:
        if not _is_for_humans(error):
            if not _ended_while_written(error):
                self._known = ""
            if is_due:
                return logging.ERROR
            return logging.WARNING if is_new else logging.DEBUG
        is_known, self._known = explain(error) == self._known, explain(error)
        return logging.DEBUG if is_known and not is_due else logging.ERROR

    def over(self) -> None:
        """Say so, if there was any."""
        if self._since_s is not None:
            lasted = in_words(timedelta(seconds=self._clock() - self._since_s))
            logger.warning("phoebe: the rater at %s takes events again, after %s", self._target, lasted)
        self._since_s, self._known = None, ""


def _is_for_humans(error: BaseException | None) -> bool:
    """Whether it stays as it is until somebody mends it."""
    return isinstance(error, WrongInstallationError) or (
        isinstance(error, grpc.aio.AioRpcError) and error.code() in _REFUSALS
    )


def _ended_while_written(error: BaseException | None) -> bool:
    """Whether a stream ended while it was written to: gRPC then says INTERNAL, whatever the cause."""
    return isinstance(error, grpc.aio.AioRpcError) and error.code() is grpc.StatusCode.INTERNAL


def explain(error: BaseException | None) -> str:
    """Say what keeps events from the rater."""
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    if isinstance(error, WrongInstallationError):
        return f"{error}. {_WHAT_TO_DO}"
    return str(error) or repr(error)
