"""What keeps events from the rater, told in the log so that it is noticed and does not fill it."""

import logging

import grpc
import grpc.aio

logger = logging.getLogger(__name__)

_WHAT_TO_DO = (
    "They wait in the spool. Set phoebe_rater to the rater of their installation, or phoebe_spool to another "
    "folder; docs/addon.md, Installations, says how to bring them elsewhere on purpose"
)
_REFUSALS = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


class DeliveryError(Exception):
    """The rater gave an answer that does not fit what it was sent."""


class WrongInstallationError(DeliveryError):
    """The rater is of another installation than the spool, or does not say of which; no event was sent."""


class DeliveryTrouble:
    """The trouble of one delivery to the rater at `target`.

    What only a human can mend is logged as an error, once until something changes. What passes by itself is
    logged as a warning each time.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._known = ""

    def met(self, error: BaseException | None) -> None:
        """Say what went wrong with an attempt."""
        text = explain(error)
        if not _is_for_humans(error):
            if not _ended_while_written(error):
                self._known = ""
            logger.warning("phoebe: events wait in the spool: the rater at %s: %s", self._target, text)
            return
        level = logging.DEBUG if text == self._known else logging.ERROR
        self._known = text
        logger.log(level, "phoebe: the rater at %s lets no event in: %s", self._target, text)

    def over(self) -> None:
        """Say so, if an error was said before."""
        if self._known:
            logger.warning("phoebe: the rater at %s takes events again", self._target)
        self._known = ""


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
