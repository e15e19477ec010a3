"""The real parts of the benchmarks: raters, mitmdump with the addon and without, and what calls them."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.asker import Asked
from bench.conservation import Account
from bench.cpu import CpuSplit, pinned_to
from bench.errors import BenchError
from bench.feeder import Fed
from bench.load import Seen, Work
from bench.ratio import Pair
from bench.traffic import arguments_of
from demo.bill import Rater
from rater_service.database import embedded
from rig.errors import RigError
from rig.orphans import stop_orphaned_database
from rig.ports import reserve_port
from rig.processes import Processes, Running
from rig.programs import ADDON, LISTENING, PRICES, mitmdump, module, phoebe, serve

LOG_LINES = 15
# Of a collector of OpenTelemetry; its answer may be empty.
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_TOLD_AGAIN_S = 1.0
_TOLD_TO_END_MAX = 10
WORKERS_SERVE = r"(\d+) of \d+ workers serve"
# The same for both sides: no engine is connected to before it is asked, nothing is printed about flows.
_COMMON_OPTIONS = {"connection_strategy": "lazy", "flow_detail": "0"}


@dataclass(slots=True)
class Held:
    """Connections that are held open. seen: known once they were let go."""

    seen: Seen


@dataclass(frozen=True, slots=True)
class Side:
    """A running mitmdump. metrics_port: of the addon; None: it has no addon."""

    port: int
    pid: int
    metrics_port: int | None = None


class Stage:
    """Starts the parts of one run in its own folder, each when it is first needed.

    environment: of the parts. split: the CPUs of the proxies; None: they run on any.
    """

    def __init__(
        self, folder: Path, say: Callable[[str], None], environment: Mapping[str, str], split: CpuSplit | None
    ) -> None:
        self._folder = folder
        self._split = split
        self._processes = Processes(folder, environment)
        self._started = datetime.now(UTC)
        self._rater_address = ""
        self._rater: Rater | None = None
        self._account: Account | None = None
        self.engine_port = reserve_port()
        self._pairs = 0
        self.say = say

    @property
    def cpu_count(self) -> int:
        """On how many CPUs everything runs together."""
        return len(self._split.all) if self._split else 1

    async def account(self) -> Account:
        """What the rater must have got so far; starts the rater. RigError if it does not start."""
        if self._account is None:
            rater = self._processes.start(
                "rater", serve("--prices", str(PRICES)), {"PHOEBE_DATA": str(self._folder / "data")}
            )
            self.say(f"rater   starting on an embedded PostgreSQL (pid {rater.process.pid})")
            self._rater_address = f"127.0.0.1:{await rater.until_says(LISTENING)}"
            self._rater = Rater(self._rater_address, self._started)
            self._account = Account(self._rater)
        return self._account

    @asynccontextmanager
    async def proxies(
        self, reference_options: Mapping[str, str], own_options: Mapping[str, str] | None = None
    ) -> AsyncIterator[Pair[Side]]:
        """Both proxies, as long as the context lasts.

        reference_options: what the bare mitmdump is told besides. own_options: what Phoebe's is told besides.
        BenchError if one does not end well.
        """
        await self.account()
        self._pairs += 1
        phoebe, side = self._start_metered(f"phoebe-proxy-{self._pairs}", own_options or {})
        bare, bare_port = self._start_proxy(f"bare-proxy-{self._pairs}", (), reference_options)
        await _until_serves(phoebe, side)
        await bare.until_answers(bare_port)
        # After a failure they are left to `stop`, so that what they said can be shown.
        yield Pair(side, Side(bare_port, bare.process.pid))
        await self._stop_proxies(phoebe)
        await self._end_reference(bare)

    @asynccontextmanager
    async def traced(self, sampling: Mapping[str, str]) -> AsyncIterator[Pair[Side]]:
        """Two metered proxies, as long as the context lasts: one sends spans to a collector, one has none.

        sampling: OpenTelemetry's variables that say which traces are sent. BenchError if a proxy does not end
        well, RigError if no span came.
        """
        await self.account()
        self._pairs += 1
        export = module("bench.echo", "--answer-bytes=0", f"--method={EXPORT}")
        with pinned_to(self._split.all if self._split else None):
            collector = self._processes.start(f"collector-{self._pairs}", export)
        endpoint = f"http://127.0.0.1:{await collector.until_says(LISTENING)}"
        tracing = {"PHOEBE_TRACING": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, **sampling}
        traced, side = self._start_metered(f"traced-proxy-{self._pairs}", {}, tracing)
        untraced, other = self._start_metered(f"untraced-proxy-{self._pairs}", {})
        await _until_serves(traced, side)
        await _until_serves(untraced, other)
        yield Pair(side, other)
        await collector.until_says("(asked)")
        await self._stop_proxies(traced, untraced, collector)

    @asynccontextmanager
    async def started_proxy(self, *, metered: bool) -> AsyncIterator[Side]:
        """One proxy that was just started and perhaps does not listen yet, as long as the context lasts.

        metered: Phoebe's; else a bare one. BenchError if it does not end well.
        """
        await self.account()
        self._pairs += 1
        name = f"{'phoebe' if metered else 'bare'}-start-{self._pairs}"
        own = {"phoebe_rater": self._rater_address, "phoebe_spool": str(self._folder / "spool-of-starts")}
        script = ("-s", str(ADDON)) if metered else ()
        running, port = self._start_proxy(name, script, own if metered else {})
        yield Side(port, running.process.pid)
        await self._stop_proxies(running)

    @asynccontextmanager
    async def beside(
        self, command: Sequence[str], name: str, port: int, environment: Mapping[str, str]
    ) -> AsyncIterator[Side]:
        """Another proxy, on the same CPU, as long as the context lasts. RigError if it can't be had."""
        with pinned_to(self._split.proxy if self._split else None):
            running = self._processes.start(name, command, environment)
        await running.until_answers(port)
        yield Side(port, running.process.pid)
        await self._stop_proxies(running)

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
    async def workers(self, *counts: int) -> AsyncIterator[Pair[Side]]:
        """Two proxies by `phoebe proxy`, with so many workers each, on any CPU, as long as the context lasts.

        BenchError if one does not end well.
        """
        await self.account()
        started = [self._start_workers(count) for count in counts]
        for running, side in started:
            await running.until_says(WORKERS_SERVE)
            assert side.metrics_port
            await running.until_answers(side.metrics_port)
        (_, phoebe), (_, reference) = started
        yield Pair(phoebe, reference)
        await self._stop_proxies(*(running for running, _ in started))

    @asynccontextmanager
    async def database(self) -> AsyncIterator[str]:
        """The PostgreSQL server of this run, as long as the context lasts; gives a URL."""
        async with embedded.server(self._folder / "data") as server:
            yield server.url

    async def migrate(self, database_url: str, *, phase: str = "all") -> None:
        """Makes the tables in a database. phase: as `phoebe migrate` takes it. RigError if it fails."""
        command = phoebe("migrate", "--phase", phase)
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

    def _start_metered(
        self, name: str, own_options: Mapping[str, str], environment: Mapping[str, str] | None = None
    ) -> tuple[Running, Side]:
        metrics_port = reserve_port()
        options = {
            "phoebe_rater": self._rater_address,
            "phoebe_spool": str(self._folder / f"{name}-spool"),
            **own_options,
            "phoebe_metrics": f"127.0.0.1:{metrics_port}",
        }
        running, port = self._start_proxy(name, ("-s", str(ADDON)), options, environment)
        return running, Side(port, running.process.pid, metrics_port)

    def _start_proxy(
        self,
        name: str,
        script: tuple[str, ...],
        options: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
    ) -> tuple[Running, int]:
        port = reserve_port()
        mode = ("--mode", f"reverse:http://127.0.0.1:{self.engine_port}")
        confdir = {"confdir": str(self._folder / f"{name}-confdir")}
        command = mitmdump(port, {**confdir, **_COMMON_OPTIONS, **options}, "-q", *script, *mode)
        with pinned_to(self._split.proxy if self._split else None):
            return self._processes.start(name, command, environment), port

    def _start_workers(self, count: int) -> tuple[Running, Side]:
        name = f"phoebe-proxy-of-{count}"
        port, metrics_port = reserve_port(), reserve_port()
        options = {
            **_COMMON_OPTIONS,
            "confdir": str(self._folder / f"{name}-confdir"),
            "phoebe_rater": self._rater_address,
            "phoebe_spool": str(self._folder / f"{name}-spool"),
        }
        mode = ("--mode", f"reverse:http://127.0.0.1:{self.engine_port}")
        behind = mitmdump(port, options, "-q", *mode)[1:]
        metrics = f"127.0.0.1:{metrics_port}"
        command = phoebe("proxy", "--workers", str(count), "--metrics", metrics, "--", *behind)
        with pinned_to(self._split.all if self._split else None):
            running = self._processes.start(name, command)
        return running, Side(port, running.process.pid, metrics_port)

    async def _end_reference(self, bare: Running) -> None:
        """Stops a bare mitmdump, which has been measured by now. One that does not stop is said, and killed.

        It can miss a signal: Python tells of it by the pipe that wakes the loop, which can be full. So it is
        told again.
        """
        for _ in range(_TOLD_TO_END_MAX):
            if bare.process.poll() is not None:
                break
            bare.process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(_TOLD_AGAIN_S):
                    await bare.ended()
        problem = await bare.stop() if bare.process.poll() is None else None
        self._processes.running.remove(bare)
        if problem is not None:
            self.say(problem)

    async def _stop_proxies(self, *proxies: Running) -> None:
        problems = [problem for proxy in proxies if (problem := await proxy.stop()) is not None]
        for proxy in proxies:
            self._processes.running.remove(proxy)
        if problems:
            raise BenchError("; ".join(problems))


async def _until_serves(running: Running, side: Side) -> None:
    """Waits until a metered proxy and its port of metrics answer."""
    assert side.metrics_port is not None
    await running.until_answers(side.port)
    await running.until_answers(side.metrics_port)
