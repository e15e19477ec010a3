"""The spools of a folder: which of them a process may have, and to which installation they belong."""

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from phoebe_addon.spool.file import SpoolBusyError, SpoolError, UnknownFormatError
from phoebe_addon.spool.folder import Claim, free, take
from phoebe_addon.spool.seat import Seat
from phoebe_addon.spool.spool import Spool
from phoebe_runtime.counts import counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Belonging:
    """To which installation spools belong that are opened.

    installation: the one that events are for; a spool of none yet is its own from then on. None: the first
    rater that is met decides. moved_from: installations whose spools are given to it.
    """

    installation: str | None = None
    moved_from: frozenset[str] = frozenset()

    def settle(self, spool: Spool) -> bool:
        """Let a spool belong to the installation, if it may. Returns whether it does. Raises SpoolError."""
        if self.installation is None or spool.installation == self.installation:
            return True
        if spool.installation is None:
            spool.bind_now(self.installation)
        elif spool.installation in self.moved_from:
            logger.warning(
                "phoebe: moved from the installation %s to the installation %s: %s of the producer %s; tell "
                "the former with `phoebe producers retire`",
                *(spool.installation, self.installation, counted(spool.depth(), "event"), spool.producer_id),
            )
            spool.move_now(self.installation)
        else:
            return False
        return True


ANY_INSTALLATION = Belonging()


def open_own(
    folder: Path,
    bytes_max: int,
    belonging: Belonging = ANY_INSTALLATION,
    *,
    trust_group: bool = False,
    seat: Seat | None = None,
) -> Spool:
    """Open a spool for this process to write to: one in the folder that nobody has, or a new one.

    trust_group: whether members of the folder's group are trusted like this user. seat: of the process, if it
    is a worker: its spools are those of its number. Raises SpoolError, also for a folder to which others may
    write.
    """
    for claim in take(folder, trust_group=trust_group, seat=seat):
        try:
            spool = Spool(claim, bytes_max)
        except SpoolBusyError:
            continue  # whoever looks into it with SQLite's own tools makes no claim
        except UnknownFormatError as error:
            logger.error("phoebe: %s", error)
            continue
        with ExitStack() as unless_settled:
            unless_settled.callback(spool.close)
            if not belonging.settle(spool):
                continue
            unless_settled.pop_all()
        spool.note_stopped(stopped=False)
        return spool
    raise AssertionError("a new spool is nobody else's")


def adopt(
    folder: Path,
    bytes_max: int,
    belonging: Belonging = ANY_INSTALLATION,
    without: Callable[[Path], bool] = lambda _: False,
    *,
    trust_group: bool = False,
) -> Spool | None:
    """Open a spool in the folder that nobody has and that holds something.

    One that can't be had is named, and the next one is tried. without: asked of each file that nobody has,
    whether to leave it alone. trust_group: see `open_own`. Raises SpoolError when the folder can't be used.
    """
    for claim in free(folder, trust_group=trust_group):
        if without(claim.path):
            claim.release()
            continue
        try:
            spool = _open_telling(claim, bytes_max, belonging)
        except SpoolBusyError:
            continue
        except SpoolError as error:
            logger.error("phoebe: the spool %s can't be adopted now: %s", claim.path, error)
            continue
        if spool:
            return spool
    return None


def _open_telling(claim: Claim, bytes_max: int, belonging: Belonging) -> Spool | None:
    """Open a spool that was left, and settle whose it is; None if it holds nothing. Raises SpoolError."""
    spool = Spool(claim, bytes_max)
    with ExitStack() as unless_wanted:
        unless_wanted.callback(spool.close)
        if not spool.has_something_to_tell():
            return None
        belonging.settle(spool)  # whoever delivers it names one that belongs to another
        unless_wanted.pop_all()
    return spool
