"""Real PostgreSQL servers for tests, and databases on them."""

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from rater_service.database import embedded
from rater_service.database.schema import migrate
from rig.postgres import Cluster, execute, system_version

TEMPLATE = "phoebe_template"
DROP_TEMPLATE = f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)"
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 2 * 1024**3


class NoSystemPostgres(Exception):  # noqa: N818 - the name says it
    """This machine has no PostgreSQL server of its own of version 15 or newer."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server with a migrated template database."""

    url: str

    def url_of(self, database: str) -> str:
        return self.url.replace("/postgres?", f"/{database}?")


async def prepare(server: PostgresServer, *, is_own: bool = True) -> None:
    """Make the migrated template. is_own: the server is that of these tests, whose settings may change."""
    if is_own:
        # Nothing here has to survive the machine.
        await execute(server.url, "ALTER SYSTEM SET fsync = off")
        await execute(server.url, "SELECT pg_reload_conf()")
    else:
        await execute(server.url, DROP_TEMPLATE)  # of tests that were broken off
    await execute(server.url, f"CREATE DATABASE {TEMPLATE}")
    await migrate(server.url_of(TEMPLATE))


def _memory() -> Path | None:
    """A folder in memory, if there is one with room; None: the usual one.

    A test with a database of its own copies and deletes some hundred files, which takes several times as long
    on a disk.
    """
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN
    return MEMORY if has_room and os.access(MEMORY, os.W_OK) else None


@contextmanager
def embedded_server() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="phoebe-pg-", dir=_memory()) as folder:
        server = embedded.start(Path(folder))
        try:
            yield server.url
        finally:
            embedded.stop(server)


@contextmanager
def system_server() -> Iterator[str]:
    """The machine's own PostgreSQL, as long as the context lasts. RigError if it does not start."""
    programs = system_version()
    if programs is None:
        raise NoSystemPostgres
    with tempfile.TemporaryDirectory(prefix="phoebe-pg-", dir=_memory()) as folder:
        cluster = Cluster(programs, Path(folder))
        making = cluster.make()
        making.wait_until(lambda: making.process.poll() == 0, "end with status 0")
        server = cluster.serve({"lc_messages": "C"})
        try:
            server.wait_until_says("(ready to accept connections)")
            yield cluster.url()
        finally:
            server.process.send_signal(signal.SIGQUIT)
            server.process.wait()


@asynccontextmanager
async def database(server: PostgresServer, template: str) -> AsyncIterator[str]:
    """A database of its own, made from a template, as long as the context lasts; gives its URL."""
    name = f"test_{uuid4().hex}"
    # By copying files: a template is small, and to log each of its pages takes longer.
    await execute(server.url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield server.url_of(name)
    finally:
        await execute(server.url, f"DROP DATABASE {name} WITH (FORCE)")
