"""The spool folder: several processes share it, each with a spool file of its own.

Whoever holds the lock of a file owns it; the kernel gives the lock back when its process is gone, however it
ended. So a file whose lock is free is nobody's, and a living process may take it: as its own when it starts,
or to bring what is in it to the rater. Only files that nobody else can have made or changed are taken.
"""

import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import uuid_utils

from phoebe_addon.spool.file import SpoolError, SpoolFile
from phoebe_addon.spool.opening import is_there, kept_beside, open_file, remove_file, set_aside
from phoebe_addon.spool.safety import UnsafeError, check_file, check_folder, make_folder
from phoebe_addon.spool.seat import Seat

logger = logging.getLogger(__name__)

PATTERN = "spool*.sqlite3"
"""What spool files are called."""
_LOCK = ".lock"


@dataclass(slots=True)
class Claim:
    """A spool file that is this process's alone until it is released."""

    path: Path
    _descriptor: int = field(repr=False)

    def open(self) -> SpoolFile:
        """Open the file. Gives up the claim and raises SpoolError if that can't be done."""
        try:
            return open_file(self.path)
        except BaseException:
            self.release()
            raise

    def release(self, *, remove: bool = False, keep: bool = False) -> None:
        """Give the claim up.

        remove: the file goes, or, with keep, stays under another name. Raises SpoolError if it can't be
        removed; the claim is given up all the same.
        """
        try:
            if keep:
                set_aside(self.path)
            if remove:
                remove_file(self.path)
                # Whoever has it open already finds out that it is the lock of nothing.
                _lock_path(self.path).unlink(missing_ok=True)
        except OSError as error:
            raise SpoolError(f"the spool file {self.path} can't be removed: {error}") from error
        finally:
            os.close(self._descriptor)


def take(folder: Path, *, trust_group: bool = False, seat: Seat | None = None) -> Iterator[Claim]:
    """Claim spool files for a process to have as its own, the oldest first, in the end a new one.

    The caller takes the first it can open. trust_group: see `free`. seat: of the process, if it is a worker:
    it takes files of its number only. Raises SpoolError when the folder can't be used.
    """
    yield from free(folder, trust_group=trust_group, wanted=seat.has if seat else _any)
    prefix = seat.prefix if seat else "spool-"
    claim = None
    try:
        # Whoever looks for spools at this moment may take the new lock for one that was left, and remove it.
        while claim is None:
            claim = _claim(folder / f"{prefix}{uuid_utils.uuid7()}.sqlite3")
    except OSError as error:
        raise SpoolError(f"the spool folder {folder} can't be used: {error}") from error
    yield claim


def _any(_: Path) -> bool:
    return True


def free(
    folder: Path, *, trust_group: bool = False, wanted: Callable[[Path], bool] = _any
) -> Iterator[Claim]:
    """Claim, one by one, the spool files that no process has.

    trust_group: whether members of the folder's group are trusted like this user. wanted: says of which files
    the claim is wanted; the others are not touched. Raises SpoolError, also for a folder to which others may
    write. A file that others may have made or changed is named and left alone.
    """
    try:
        make_folder(folder)
        check_folder(folder, trust_group=trust_group)
        # A file that was brought here by hand has no lock; of a damaged one nothing but its log may be left.
        names = {path.name.removesuffix(_LOCK) for path in folder.glob(f"{PATTERN}{_LOCK}")}
        for name in sorted(names | {path.name for path in folder.glob(PATTERN)}):
            if not wanted(folder / name):
                continue
            claim = _safe_claim(folder / name, trust_group=trust_group)
            if claim and is_there(claim.path):
                yield claim
            elif claim:
                claim.release(remove=True)
    except OSError as error:
        raise SpoolError(f"the spool folder {folder} can't be used: {error}") from error


def is_left(path: Path, *, trust_group: bool = False) -> bool:
    """Whether a spool file is there and no process has it. trust_group: see `free`. Raises SpoolError."""
    try:
        claim = _safe_claim(path, trust_group=trust_group)
        if claim is None:
            return False
        is_spool = is_there(path)
        claim.release(remove=not is_spool)
    except OSError as error:
        raise SpoolError(f"the spool folder {path.parent} can't be used: {error}") from error
    return is_spool


def _safe_claim(path: Path, *, trust_group: bool) -> Claim | None:
    """Lock a spool file that was found. Returns None if another process has it, or if it is not safe."""
    try:
        # Before anything is opened: opening what is no file could wait for ever, or make one elsewhere.
        for each in (_lock_path(path), path, *kept_beside(path)):
            check_file(each, trust_group=trust_group)
        return _claim(path)
    except (UnsafeError, PermissionError) as error:
        _name_once(path, str(error))
        return None


@lru_cache(maxsize=1000)
def _name_once(path: Path, fault: str) -> None:
    logger.error(
        "phoebe: the spool file %s is left alone, and nothing of it is delivered: %s. Remove it if it is not "
        "Phoebe's",
        *(path, fault),
    )


def _claim(path: Path) -> Claim | None:
    """Lock a spool file. Returns None if another process has it."""
    lock = _lock_path(path)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), lock.stat()):
            return Claim(path, descriptor)
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + _LOCK)
