"""Whose events are taken: a spool belongs to one installation, and no other gets its events."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import grpc

from rater_service.service.rpc_errors import RpcError, invalid

logger = logging.getLogger(__name__)

# An addon that is turned away tries again every ten seconds for as long as nobody mends it.
SAY_EVERY_S = 300.0
# More spools of other installations than this at one time are said more often than that.
_REMEMBERED_MAX = 1000


class TurnedAway:
    """Who was turned away, so that the log says it and is not filled with it. count: called for each."""

    def __init__(self, count: Callable[[], None]) -> None:
        self._count = count
        self._said_s: dict[UUID, float] = {}

    def note(self, theirs: UUID, ours: UUID, peer: str) -> None:
        """Note that a sender was turned away."""
        self._count()
        now_s = time.monotonic()
        if now_s < self._said_s.get(theirs, -SAY_EVERY_S) + SAY_EVERY_S:
            return
        if len(self._said_s) >= _REMEMBERED_MAX:
            self._said_s.clear()
        self._said_s[theirs] = now_s
        logger.error(
            "turned away a spool of the installation %s, from %s: this database is the installation %s, and "
            "nothing was stored. Set phoebe_rater of that proxy to the rater of its installation; if this "
            "database continues that one, run `phoebe installation set %s`",
            *(theirs, peer, ours, theirs),
        )


@dataclass(frozen=True, slots=True)
class Door:
    """The door of one stream. installation: which one the service is."""

    installation: UUID
    peer: str
    turned_away: TurnedAway

    def admit(self, installation_id: str) -> None:
        """Raise RpcError for a sender whose events belong to another installation; empty: to none yet."""
        if not installation_id or installation_id == str(self.installation):
            return
        try:
            theirs = UUID(installation_id)
        except ValueError:
            raise invalid("installation_id", "must be a UUID, or empty") from None
        if theirs == self.installation:
            return
        self.turned_away.note(theirs, self.installation, self.peer)
        raise RpcError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "WRONG_INSTALLATION",
            f"the events belong to the installation {theirs}, and this is {self.installation}",
            metadata={"installation_id": str(self.installation)},
        )
