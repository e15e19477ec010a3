"""Real PostgreSQL servers for tests, and databases on them."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import tenacity

from rater_service.database import embedded
from rater_service.database.database import open_pool
from rater_service.database.schema import migrate
from rater_service.distributed.distribute import distribute
from rig.postgres import Cluster, execute, system_version

# Several processes of pytest may be on one server that was given.
TEMPLATE = f"phoebe_template_{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"
DROP_TEMPLATE = f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)"
MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 2 * 1024**3


class NoSystemPostgres(Exception):  # noqa: N818 - the name says it
    """This machine has no PostgreSQL server of its own of version 15 or newer."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server with a migrated template database.

    others: the other servers of its cluster, over which its databases are distributed.
    """

    url: str
    others: tuple[str, ...] = ()

    def url_of(self, database: str) -> str:
        return self.url.replace("/postgres?", f"/{database}?")

    async def execute_everywhere(self, command: str) -> None:
        """Send a command to all servers of the cluster at once."""
        await asyncio.gather(*(execute(url, command) for url in (self.url, *self.others)))


async def prepare(server: PostgresServer, *, is_own: bool = True) -> None:
    """Make the migrated template. is_own: the server is that of these tests, whose settings may change."""
    if is_own:
        # Nothing here has to survive the machine.
        await execute(server.url, "ALTER SYSTEM SET fsync = off")
        await execute(server.url, "SELECT pg_reload_conf()")
    else:
        await server.execute_everywhere(DROP_TEMPLATE)  # of tests that were broken off
    await server.execute_everywhere(f"CREATE DATABASE {TEMPLATE}")
    await migrate(server.url_of(TEMPLATE))
    if server.others:
        await make_cluster(server, TEMPLATE)
        async with open_pool(server.url_of(TEMPLATE)) as pool:
            await distribute(pool, lambda _: None)
        # A process of Citus is connected with each of its databases, and nobody may be while one is copied.
        await server.execute_everywhere(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")
        await server.execute_everywhere(
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{TEMPLATE}'"
        )


async def cluster_at(url: str) -> PostgresServer:
    """The server at a URL, with the workers that its Citus knows of in the database postgres, if any."""
    connection = await asyncpg.connect(url)
    try:
        has_citus = await connection.fetchval("SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL")
        workers = await connection.fetch(_WORKERS) if has_citus else []
    finally:
        await connection.close()
    return PostgresServer(url, tuple(_at(url, row["nodename"], row["nodeport"]) for row in workers))


_WORKERS = "SELECT nodename, nodeport FROM pg_dist_node WHERE shouldhaveshards AND isactive ORDER BY nodeid"


def _at(url: str, host: str, port: int) -> str:
    parts = urlsplit(url)
    user, _, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}@{host}:{port}" if user else f"{host}:{port}"))


async def make_cluster(server: PostgresServer, database: str) -> None:
    """Make a database that is there on all servers one of a Citus cluster."""
    for url in (server.url, *server.others):
        await execute(url.replace("/postgres?", f"/{database}?"), "CREATE EXTENSION citus")
    coordinator = urlsplit(server.url)
    nodes = [urlsplit(url) for url in server.others]
    # To add a node alters the role there, which is that of all databases: of two at once one fails.
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute("SELECT pg_advisory_lock(hashtext('citus_add_node'))")
        await execute(
            server.url_of(database),
            f"SELECT citus_set_coordinator_host('{coordinator.hostname}', {coordinator.port})",
            *(f"SELECT citus_add_node('{node.hostname}', {node.port})" for node in nodes),
        )
    finally:
        await connection.close()


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


async def _drop(server: PostgresServer, name: str) -> None:
    # A process of Citus may come back to the database just then.
    async for attempt in tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(asyncpg.ObjectInUseError),
        stop=tenacity.stop_after_attempt(5),
        reraise=True,
    ):
        with attempt:
            await server.execute_everywhere(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@asynccontextmanager
async def database(server: PostgresServer, template: str) -> AsyncIterator[str]:
    """A database of its own, made from a template, as long as the context lasts; gives its URL."""
    name = f"test_{uuid4().hex}"
    # By copying files: a template is small, and to log each of its pages takes longer.
    await server.execute_everywhere(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield server.url_of(name)
    finally:
        await _drop(server, name)
