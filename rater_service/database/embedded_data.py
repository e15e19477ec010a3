"""The data of the embedded PostgreSQL: its folder, who uses it, and which server notes that it runs on it."""

import fcntl
import os
import shutil
import socket
import stat
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rater_service.database.embedded_programs import Programs, may_reach
from rater_service.errors import OperatorError

SOCKET = ".s.PGSQL.5432"
_FLAGS = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
# Lines of postmaster.pid, from 0, as PostgreSQL's pidfile.h has them.
_PID, _SOCKETS, _STATUS = 0, 4, 7


@dataclass(frozen=True, slots=True)
class NotedServer:
    """What the data's postmaster.pid says. It may be of a server that is no more."""

    pid: int
    sockets: Path
    is_ready: bool


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The folder of the data. user_id: whose it is."""

    path: Path
    user_id: int

    @classmethod
    def make(cls, data_dir: Path, programs: Programs) -> "DataFolder":
        """Make the folder below `data_dir`, for the server's user alone, if it is not there.

        Raises OSError, and OperatorError for a `data_dir` that others may write to.
        """
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if data_dir.stat().st_mode & stat.S_IWOTH:
            raise OperatorError(f"every user of this machine may write to {data_dir}: chmod o-w {data_dir}")
        folder = cls((data_dir / "postgresql").resolve(), programs.user_id)
        if not folder.path.exists():
            folder._make(programs)
        if not folder.owns(folder.path):
            raise OperatorError(
                f"{folder.path} belongs to another user, or others may enter it: only the user "
                f"{folder.user_id} may (chown, chmod 700)"
            )
        return folder

    @classmethod
    def make_empty(cls, path: Path, programs: Programs) -> "DataFolder":
        """Make a folder anew, for the server's user alone. Raises OSError."""
        folder = cls(path, programs.user_id)
        if path.exists():
            shutil.rmtree(path)
        folder._make(programs)
        return folder

    def _make(self, programs: Programs) -> None:
        self.path.mkdir(mode=0o700)
        if programs.user:
            os.chown(self.path, programs.user.pw_uid, programs.user.pw_gid)

    @property
    def log(self) -> Path:
        """Where the server writes its log."""
        return self.path.with_name("postgresql.log")

    def owns(self, folder: Path) -> bool:
        """Tell whether a folder is the server's user's alone."""
        try:
            status = folder.lstat()
        except OSError:
            return False
        return stat.S_ISDIR(status.st_mode) and status.st_uid == self.user_id and not status.st_mode & 0o077

    def open_log(self) -> BinaryIO:
        """Open the log to write at its end."""
        return os.fdopen(os.open(self.log, _FLAGS | os.O_WRONLY | os.O_APPEND, 0o600), "ab")

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only one who starts or stops a server on the data."""
        descriptor = os.open(self.path.with_name("postgresql.lock"), _FLAGS | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def join(self) -> int:
        """Become one of those who use the server. Returns what to close to leave; the kernel does it for the
        killed.
        """
        descriptor = os.open(self._users, _FLAGS | os.O_RDWR, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return descriptor

    def is_used(self) -> bool:
        """Tell whether anybody uses the server. Needs the turn."""
        descriptor = os.open(self._users, _FLAGS | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    @property
    def _users(self) -> Path:
        return self.path.with_name("postgresql.users")

    def fill(self, programs: Programs) -> None:
        """Make the database's files, if there are none. Raises OperatorError."""
        noted = self.path / "PG_VERSION"
        if noted.exists():
            version, own = noted.read_text().strip(), programs.version.partition(".")[0]
            if version != own:
                raise OperatorError(
                    f"the data in {self.path} is of PostgreSQL {version}, and the embedded one is {own}: use "
                    "the version of Phoebe that made it to dump it (docs/embedded-postgresql.md)"
                )
            return
        fresh = DataFolder.make_empty(self.path.with_name("postgresql.new"), programs)
        with self.open_log() as log, fresh.reachable(programs) as (path, keep_open):
            done = subprocess.run(  # noqa: S603 - the program is the wheel's, its words are ours
                [
                    *(programs.folder / "initdb", "-D", path, "--username=postgres", "--auth=peer"),
                    # No library of the machine decides the order of text, so that no update of it changes it.
                    *(
                        "--encoding=UTF8",
                        "--locale=C",
                        "--locale-provider=builtin",
                        "--builtin-locale=C.UTF-8",
                    ),
                ],
                check=False,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=keep_open,
                **programs.run_as(),
            )
        if done.returncode:
            raise OperatorError(f"the embedded PostgreSQL can't make its files: see {self.log}")
        fresh.path.rename(self.path)  # whole, or not at all

    @contextmanager
    def reachable(self, programs: Programs) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Give a path by which the server reaches the data, and what must be kept open for it.

        If its user may not pass the folders above, they stay as they are: the kernel has a way to a folder
        that was opened before.
        """
        if programs.user is None or may_reach(programs.user, self.path):
            yield str(self.path), ()
            return
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if not Path(f"/proc/self/fd/{descriptor}").exists():
                raise OperatorError(
                    f"the user {programs.user.pw_name}, as whom PostgreSQL runs, can't reach {self.path}: "
                    "give --data another folder, or run as an ordinary user"
                )
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)

    def noted_server(self) -> NotedServer | None:
        """Read which server noted that it runs on the data; None: none."""
        try:
            lines = (self.path / "postmaster.pid").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return None
        try:
            pid = int(lines[_PID])
        except (IndexError, ValueError):
            return NotedServer(0, Path(), is_ready=False)  # half written, or damaged
        sockets = Path(lines[_SOCKETS]) if len(lines) > _SOCKETS else Path()
        return NotedServer(pid, sockets, is_ready=len(lines) > _STATUS and lines[_STATUS].strip() == "ready")

    def forget_server(self) -> None:
        """Remove what a server noted that is no more."""
        (self.path / "postmaster.pid").unlink(missing_ok=True)

    def is_worked_in_by(self, pid: int) -> bool:
        """Tell whether a process works in the folder, as a server on the data does. Where that can't be told:
        whether there is such a process.
        """
        if pid <= 0:
            return False
        if Path("/proc/self/cwd").exists():
            with suppress(OSError):  # it is gone, or another user's
                return Path(f"/proc/{pid}/cwd").samefile(self.path)
            return False
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def listening_pid(sockets: Path) -> int | None:
    """Return which process listens on the socket in a folder, as the kernel says; None: none."""
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(sockets / SOCKET))
            if hasattr(socket, "SO_PEERCRED"):
                return int(struct.unpack("3i", line.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
            # SOL_LOCAL and LOCAL_PEERPID of macOS.
            return int(struct.unpack("i", line.getsockopt(0, 2, 4))[0])
        except OSError:
            return None
