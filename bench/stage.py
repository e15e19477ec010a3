"""The real parts of the benchmarks: the proxies, raters, and what calls them."""

import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.asker import Asked
from bench.cpu import pinned_to
from bench.errors import BenchError
from bench.feeder import Fed
from bench.load import Seen, Work
from bench.proxy_stage import ProxyStage, Side
from bench.traffic import arguments_of
from rater_service.database import embedded
from rig.errors import RigError
from rig.orphans import stop_orphaned_database
from rig.programs import LISTENING, PRICES, module, phoebe, serve

LOG_LINES = 15


@dataclass(slots=True)
class Held:
    """Connections that are held open. seen: known once they were let go."""

    seen: Seen


class Stage(ProxyStage):
    """Starts all parts of one run in its own folder, each when it is first needed."""

    @asynccontextmanager
    async def held(self, side: Side, count: int, *, streamed: bool) -> AsyncIterator[Held]:
        """So many connections before a proxy, as long as the context lasts. RigError if they can't be had.

        streamed: in the middle of a stream; else idle, after an answer each.
        """
        arguments = [
            f"--engine-port={self.engine_port}",
            f"--proxy-port={side.port}",
            f"--connections={count}",
        ]
        command = module("bench.holder", *arguments, *(["--streams"] if streamed else []))
        holder = self._processes.start("holder", command)
        await holder.until_says(f"(holding {count})")
        held = Held(Seen(0, 0, 0, 0.0, 0.0, 0.0))
        yield held
        holder.process.send_signal(signal.SIGUSR1)
        status = await holder.ended()
        self._processes.running.remove(holder)
        if status:
            raise BenchError(holder.last_lines(1)[0])
        held.seen = Seen(**json.loads(holder.last_lines(1)[0]))

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The PostgreSQL server of this run, as long as the context lasts; gives a URL."""
        async with embedded.server(self._folder / "data") as server:
            yield server.url

    async def migrate(self, database_url: str, *, phase: str = "all", distributed: bool = False) -> None:
        """Makes the tables in a database. phase, distributed: as `phoebe migrate` takes it, the second as
        `--citus`. RigError if it fails.
        """
        command = phoebe("migrate", *(["--citus"] if distributed else ["--phase", phase]))
        await self._processes.run("migration", command, {"DATABASE_URL": database_url})

    async def start_rater(self, name: str, database_url: str) -> str:
        """Starts a rater on a migrated database, on any CPU; gives its address. RigError if it can't."""
        command = serve("--prices", str(PRICES))
        with pinned_to(self._split.all if self._split else None):
            rater = self._processes.start(name, command, {"DATABASE_URL": database_url})
        return f"127.0.0.1:{await rater.until_says(LISTENING)}"

    def pid(self, name: str) -> int:
        """The process of the part that was started under this name. StopIteration if there is none."""
        return next(part.process.pid for part in self._processes.running if part.name == name)

    async def run_feeder(self, *arguments: str) -> list[Fed]:
        """Has a process of its own, on any CPU, feed events to both sides. BenchError if it fails."""
        with pinned_to(self._split.all if self._split else None):
            lines = await self._run_module("feeder", arguments)
        return [Fed(**json.loads(line)) for line in lines]

    async def start_echo(self, answer_bytes: int) -> str:
        """Starts what quotes are compared with, on any CPU; gives its address. RigError if it can't."""
        command = module("bench.echo", f"--answer-bytes={answer_bytes}")
        with pinned_to(self._split.all if self._split else None):
            echo = self._processes.start("echo", command)
        return f"127.0.0.1:{await echo.until_says(LISTENING)}"

    async def run_asker(self, *arguments: str) -> list[Asked]:
        """Has a process of its own, on any CPU, ask both sides for quotes. BenchError if it fails."""
        with pinned_to(self._split.all if self._split else None):
            lines = await self._run_module("asker", arguments)
        return [Asked(**json.loads(line)) for line in lines]

    async def run_traffic(self, work: Work, sides: Sequence[Side]) -> list[Seen]:
        """Has a process of its own send a piece of work through each side. BenchError if it fails.

        The side that is named first goes first.
        """
        arguments = arguments_of(work, self.engine_port, [side.port for side in sides])
        return [Seen(**json.loads(line)) for line in await self._run_module("traffic", arguments)]

    async def run_traffic_to_engine(self, work: Work) -> Seen:
        """Has a process of its own send a piece of work straight to the engine. BenchError if it fails."""
        (line,) = await self._run_module("traffic", arguments_of(work, self.engine_port, [self.engine_port]))
        return Seen(**json.loads(line))

    async def stop(self) -> list[str]:
        """Stops every part, the proxies first. Gives what went wrong, in words."""
        if self._rater:
            await self._rater.close()
        problems = await self._processes.stop()
        orphan = await stop_orphaned_database(self._folder)
        return problems if orphan is None else [*problems, orphan]

    def show_logs(self) -> None:
        """Shows the last lines that each part wrote."""
        for running in self._processes.running:
            self.say(f"\nlast lines of the {running.name}:")
            for line in running.last_lines(LOG_LINES):
                self.say(f"  {line}")

    async def _run_module(self, name: str, arguments: Sequence[str]) -> list[str]:
        log = self._folder / f"{name}.log"
        try:
            await self._processes.run(name, module(f"bench.{name}", *arguments), {})
        except RigError as error:
            said = log.read_text(errors="replace").splitlines()
            raise BenchError(said[-1] if said else str(error)) from error
        return log.read_text().splitlines()
