"""Whether a spool folder and the files in it are this user's alone.

Whoever can write into the folder can plant a spool file with events that never were, a link that leads
elsewhere or a pipe that is waited for for ever. So nobody else may write to the folder, which is checked at
every look; and then what a name is can't change between a check and its use.
"""

import os
import pwd
import stat
from functools import cache
from pathlib import Path

from phoebe_addon.spool.file import SpoolError

_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a folder",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class UnsafeError(SpoolError):
    """Others may have put something into a spool folder or a file. The message says who and what to do."""


def make_folder(folder: Path) -> None:
    """Make a spool folder for this user alone, if it is not there. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def check_folder(folder: Path, *, trust_group: bool) -> None:
    """Raise UnsafeError for a folder that others may write to, or put another in the place of.

    trust_group: whether its group may write to it. Raises OSError if it can't be looked at.
    """
    status = folder.stat()
    _refuse_owner(f"the spool folder {folder}", status)
    _refuse_writers(f"the spool folder {folder}", status, trust_group=trust_group)
    for above in folder.resolve().parents:
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise UnsafeError(
                f"the spool folder {folder} can be replaced by every user of this machine, because all may "
                f"write to {above}: take that right away (chmod o-w {above}), or set phoebe_spool to another"
            )


def check_file(path: Path, *, trust_group: bool) -> None:
    """Raise UnsafeError for a file that another user may have made or changed, or that is no regular file.

    One that is not there is safe. One of this user's that others may read is taken from them. trust_group:
    whether the members of the folder's group may have made or changed it. Raises OSError.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise UnsafeError(f"{path} is {_KINDS.get(kind, 'no regular file')}")
    if status.st_nlink > 1:
        raise UnsafeError(f"{path} has {status.st_nlink} names (hard links)")
    if not trust_group:
        _refuse_owner(str(path), status)
    _refuse_writers(str(path), status, trust_group=trust_group)
    if not trust_group and status.st_mode & 0o077 and status.st_uid == os.geteuid():
        path.chmod(0o600)


def make_file(path: Path) -> None:
    """Make an empty file that only this user may read. Raises FileExistsError, or another OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))


def _refuse_owner(called: str, status: os.stat_result) -> None:
    # Root can write everywhere anyway, and makes the volumes of containers.
    if status.st_uid not in {os.geteuid(), 0}:
        raise UnsafeError(
            f"{called} belongs to the user {_name(status.st_uid)}, and this process is of "
            f"{_name(os.geteuid())}: give it to that one (chown), or set phoebe_spool to another folder"
        )


def _refuse_writers(called: str, status: os.stat_result, *, trust_group: bool) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & stat.S_IWOTH:
        raise UnsafeError(
            f"every user of this machine may write to {called} (mode {mode:04o}): chmod go-w, and see what "
            "is in it that is not yours"
        )
    if mode & stat.S_IWGRP and not trust_group:
        raise UnsafeError(
            f"the group {status.st_gid} may write to {called} (mode {mode:04o}): chmod g-w, or set "
            "phoebe_spool_trust_group=true if nobody but this proxy is in that group, as with fsGroup of "
            "Kubernetes"
        )


@cache
def _name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)  # in a container users often have no name
