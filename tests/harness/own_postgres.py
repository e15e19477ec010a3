"""A PostgreSQL server of a test's own, to be killed and started again, and a line to it that can be cut."""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

import asyncpg

from rig.postgres import Cluster, answers, socket_url
from rig.processes import Running

SOCKET = ".s.PGSQL.5432"
# How the client says it, and what the server answers.
COMMIT = b"COMMIT;\0"
COMMITTED = b"COMMIT\0"


class OwnPostgres:
    """A server on data of its own, from the programs in a folder; its socket is in `folder`, or at a port.

    settings: what else it runs with. primary: another server, of which it is a standby at first.
    """

    def __init__(
        self,
        programs: Path,
        folder: Path,
        port: int | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
        primary: "OwnPostgres | None" = None,
    ) -> None:
        self.folder = folder
        self._cluster = Cluster(programs, folder)
        at_port = {} if port is None else {"listen_addresses": "127.0.0.1", "port": str(port)}
        self._settings = {**at_port, **settings}
        self._running: Running | None = None
        self.url = self._cluster.url() if port is None else f"postgresql://postgres@127.0.0.1:{port}/postgres"
        making = self._cluster.make() if primary is None else self._cluster.copy(primary.folder)
        assert making.process.wait() == 0, self._cluster.log.read_text()

    def start(self) -> None:
        """Start it. After a kill it takes a moment: processes of the killed server must be gone first."""
        deadline = time.monotonic() + 30
        while not asyncio.run(answers(self.url)):
            assert time.monotonic() < deadline, f"PostgreSQL does not start: {self._cluster.log.read_text()}"
            if self._running is None or self._running.process.poll() is not None:
                self._running = self._cluster.serve(self._settings)
            time.sleep(0.02)  # between two looks at a process that is starting

    def kill(self) -> None:
        """Kill -9."""
        assert self._running is not None
        self._running.kill()

    def shut_down(self) -> None:
        """End it cleanly: what it wrote is with its standbys then."""
        assert self._running is not None
        self._running.process.send_signal(signal.SIGINT)
        self._running.process.wait()

    def follow(self, primary: "OwnPostgres") -> None:
        """Make it a standby of another from its next start on."""
        (self.folder / "data" / "standby.signal").touch()
        with (self.folder / "data" / "postgresql.auto.conf").open("a") as file:
            file.write(f"primary_conninfo = 'host={primary.folder} user=postgres'\n")

    def stop(self) -> None:
        if self._running is not None:
            self._running.process.send_signal(signal.SIGQUIT)
            self._running.process.wait()


def binaries_of(url: str) -> Path:
    """Ask a server where its programs are. Not for use in an event loop."""

    async def ask() -> Path:
        connection = await asyncpg.connect(url)
        try:
            return Path(await connection.fetchval("SELECT setting FROM pg_config WHERE name = 'BINDIR'"))
        finally:
            await connection.close()

    return asyncio.run(ask())


@contextmanager
def own_postgres(
    binaries: Path,
    folder: Path,
    port: int | None = None,
    *,
    settings: Mapping[str, str] = MappingProxyType({}),
    primary: OwnPostgres | None = None,
) -> Iterator[OwnPostgres]:
    server = OwnPostgres(binaries, folder, port, settings, primary)
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Line:
    """A socket in front of another. Once told to, it cuts all connections around the next commit.

    cut_before: what to do instead of passing the COMMIT on; cut_after: what to do with the server's answer to
    it, which the client never sees. Each is called once, and then nothing is cut any more.
    """

    def __init__(self, behind: Path, folder: Path) -> None:
        self._behind = behind
        self.url = socket_url(folder)
        self._socket = folder / SOCKET
        self.cut_before: Callable[[], None] | None = None
        self.cut_after: Callable[[], None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "Line":
        self._server = await asyncio.start_unix_server(self._connect, self._socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            server, to_server = await asyncio.open_unix_connection(self._behind / SOCKET)
        except OSError:
            to_client.close()
            return
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pass(client, to_server, COMMIT, "cut_before", to_client))
            both.create_task(self._pass(server, to_client, COMMITTED, "cut_after", to_server))

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        word: bytes,
        cut: str,
        other: asyncio.StreamWriter,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                do = getattr(self, cut)
                if do is not None and word in data:
                    setattr(self, cut, None)
                    do()
                    break
                writer.write(data)
                await writer.drain()
        writer.close()
        other.close()
