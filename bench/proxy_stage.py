"""The proxies of the benchmarks: mitmdump with the addon and without, workers, and what stands beside."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.conservation import Account
from bench.cpu import CpuSplit, pinned_to
from bench.errors import BenchError
from bench.ratio import Pair
from demo.bill import Rater
from rig.ports import reserve_port
from rig.processes import Processes, Running
from rig.programs import ADDON, LISTENING, PRICES, mitmdump, module, phoebe, serve

# Of a collector of OpenTelemetry; its answer may be empty.
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_TOLD_AGAIN_S = 1.0
_TOLD_TO_END_MAX = 10
WORKERS_SERVE = r"workers that serve: (\d+) of"
# The same for both sides: no engine is connected to before it is asked, nothing is printed about flows.
_COMMON_OPTIONS = {"connection_strategy": "lazy", "flow_detail": "0"}


@dataclass(frozen=True, slots=True)
class Side:
    """A running mitmdump. metrics_port: of the addon; None: it has no addon."""

    port: int
    pid: int
    metrics_port: int | None = None


class ProxyStage:
    """Starts the proxies of one run in its own folder, and the rater that they deliver to, when first needed.

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
