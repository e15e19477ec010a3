"""Real PostgreSQL servers for tests, and databases on them."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg

from rater_service.database import embedded
from rater_service.database.schema import migrate

TEMPLATE = "phoebe_template"


class NoSystemPostgres(Exception):  # noqa: N818 - the name says it
    """This machine has no PostgreSQL server of its own of version 15 or newer."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server with a migrated template database."""

    url: str

    def url_of(self, database: str) -> str:
        return self.url.replace("/postgres?", f"/{database}?")


async def prepare(server: PostgresServer) -> None:
    """Make the migrated template."""
    # Nothing here has to survive the machine.
    await _execute(server, "ALTER SYSTEM SET fsync = off")
    await _execute(server, "SELECT pg_reload_conf()")
    await _execute(server, f"CREATE DATABASE {TEMPLATE}")
    await migrate(server.url_of(TEMPLATE))


@contextmanager
def embedded_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="phoebe-pg-") as folder:
        server = embedded.start(Path(folder))
        try:
            yield server.get_uri()
        finally:
            embedded.stop(server)


@contextmanager
def system_server() -> Iterator[str]:
    binaries = _system_binaries()
    if binaries is None:
        raise NoSystemPostgres
    user = server_user()
    with tempfile.TemporaryDirectory(prefix="phoebe-pg-") as name:
        folder = Path(name)
        os.chown(folder, user.pw_uid, user.pw_gid)
        data = folder / "data"

        def call(program: str, *arguments: str) -> None:
            subprocess.run(
                [binaries / program, "-D", data, *arguments],
                check=True,
                cwd=folder,
                stdout=subprocess.DEVNULL,
                user=user.pw_uid if os.geteuid() == 0 else None,
                group=user.pw_gid if os.geteuid() == 0 else None,
                extra_groups=[] if os.geteuid() == 0 else None,
            )

        call("initdb", "--auth=trust", "--encoding=UTF8", "--username=postgres", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}'"
        call("pg_ctl", "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            call("pg_ctl", "-w", "-m", "immediate", "stop")


def _system_binaries() -> Path | None:
    folders = list(Path("/usr/lib/postgresql").glob("*/bin"))
    if shutil.which("pg_config"):
        named = subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True)
        folders.append(Path(named.stdout.strip()))
    found = {_version(folder): folder for folder in folders if (folder / "postgres").exists()}
    newest = max(found, default=0)
    return found[newest] if newest >= 15 else None


def _version(folder: Path) -> int:
    said = subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, text=True)
    return int(said.stdout.split()[2].split(".")[0])


def server_user() -> pwd.struct_passwd:
    """Whose process a server is: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    names = {user.pw_name for user in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


@asynccontextmanager
async def database(server: PostgresServer, template: str) -> AsyncIterator[str]:
    """A database of its own, made from a template, as long as the context lasts; gives its URL."""
    name = f"test_{uuid4().hex}"
    # By copying files: a template is small, and to log each of its pages takes longer.
    await _execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield server.url_of(name)
    finally:
        await _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(server: PostgresServer, command: str) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()
