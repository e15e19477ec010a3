"""Memory: whether it grows with the requests that were served, what a stream and an idle connection take."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

import psutil

from bench.conservation import check_metrics, read_metrics_when_spool_is_empty
from bench.contest import Contest
from bench.cpu import cpu_time_s
from bench.errors import BenchError
from bench.holder import TOKENS
from bench.load import Work
from bench.proxy_stage import Side
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from phoebe_addon.proxy.open_files import allow_open_files

NAMES = ("proxy_memory",)
HELD_NAMES = ("proxy_stream_memory", "proxy_idle_memory")
FIRST_REQUESTS = 10_000
LAST_REQUESTS = 100_000
WORK = Work(connections=16, tokens=180, seconds=10.0)
STREAMS = 1000
IDLE = 10_000
# Of a proxy besides what its connections take, and exchanges under way.
_OTHER_FILES = 1200
_EXCHANGES = 1000
_IDLE_CPU_S = 5.0
_BARE = "mitmdump -q, reverse mode, connection_strategy=lazy"
_MIB, _KIB = 2**20, 2**10


@dataclass(slots=True)
class Growth:
    """The memory of a proxy, bytes, once it has served the first requests and the last. answers: so far."""

    answers: int = 0
    first_bytes: int = 0
    last_bytes: int = 0

    def note(self, answers: int, resident_bytes: int) -> None:
        """Takes note of further answers, and of the memory after them."""
        self.answers += answers
        if not self.first_bytes and self.answers >= FIRST_REQUESTS:
            self.first_bytes = resident_bytes
        if not self.last_bytes and self.answers >= LAST_REQUESTS:
            self.last_bytes = resident_bytes


async def run(stage: Stage, _rounds: int) -> list[Result]:
    """Sends plain requests until both sides have served the last of them. Once, as it takes minutes."""
    grown = Pair(Growth(), Growth())
    async with stage.proxies({}) as sides:
        contest = Contest(stage, sides)
        while not (grown.phoebe.last_bytes and grown.reference.last_bytes):
            (measured,) = await contest.run(f"memory  {grown.phoebe.answers:,} requests,", WORK, 1)
            grown.phoebe.note(measured.phoebe.seen.answers, resident_bytes(sides.phoebe.pid))
            grown.reference.note(measured.reference.seen.answers, resident_bytes(sides.reference.pid))
        await contest.check()
    return [growth_result(grown)]


def growth_result(grown: Pair[Growth]) -> Result:
    """What a proxy takes after the last requests, against the same proxy after the first."""
    bare = grown.reference.last_bytes / grown.reference.first_bytes
    note = (
        f"lower is better; resident memory of Phoebe's mitmdump after {LAST_REQUESTS:,} plain requests and "
        f"after {FIRST_REQUESTS:,}; bare mitmdump's in the same run: {bare:.3f}, "
        f"{grown.reference.first_bytes / _MIB:.0f} to {grown.reference.last_bytes / _MIB:.0f} MiB"
    )
    ratio = ratio_of([Pair(grown.phoebe.last_bytes / _MIB, grown.phoebe.first_bytes / _MIB)])
    return Result(NAMES[0], ratio, f"itself after {FIRST_REQUESTS:,} requests", "MiB", note)


async def run_held(stage: Stage, rounds: int) -> list[Result]:
    """Holds streams, and then idle connections, before both proxies, which are new ones in every round."""
    idle = min(IDLE, (allow_open_files(2 * IDLE + _OTHER_FILES) - _OTHER_FILES) // 2)
    streams: list[Pair[float]] = []
    idles: list[Pair[float]] = []
    cpu: list[Pair[float]] = []
    for number in range(rounds):
        stage.say(f"held    round {number + 1} of {rounds}: {STREAMS} streams, {idle} idle connections")
        async with stage.proxies({"stream_large_bodies": "1"}) as sides:
            streams.append(
                Pair(*[(await _hold(stage, side, STREAMS, streamed=True))[0] for side in _each(sides)])
            )
        own = {"phoebe_connections_max": str(idle), "phoebe_exchanges_max": str(_EXCHANGES)}
        async with stage.proxies({}, {**own, "phoebe_exchanges_per_auth_max": str(_EXCHANGES - 1)}) as sides:
            held = [await _hold(stage, side, idle, streamed=False) for side in _each(sides)]
        idles.append(Pair(held[0][0], held[1][0]))
        cpu.append(Pair(held[0][1], held[1][1]))
    if problems := await (await stage.account()).rate():
        raise BenchError("metering was not complete: " + "; ".join(problems))
    asleep = ", ".join(
        f"{100 * max(getattr(pair, side) for pair in cpu):.1f} %" for side in ("phoebe", "reference")
    )
    of_streams = (
        f"lower is better; {rounds} rounds; resident memory for each of {STREAMS} streams in their middle"
    )
    of_idle = (
        f"lower is better; {rounds} rounds; resident memory for each of {idle} keep-alive connections that "
        "have had an answer, with the one to the engine; "
        f"all of them together took at most {asleep} of a CPU (Phoebe, bare)"
    )
    streaming = f"{_BARE}, stream_large_bodies=1"
    return [
        Result(HELD_NAMES[0], ratio_of(streams), streaming, "KiB/stream", of_streams),
        Result(HELD_NAMES[1], ratio_of(idles), _BARE, "KiB/connection", of_idle),
    ]


def _each(sides: Pair[Side]) -> Sequence[Side]:
    return sides.phoebe, sides.reference


async def _hold(stage: Stage, side: Side, count: int, *, streamed: bool) -> tuple[float, float]:
    """Holds connections. Gives how many KiB each takes, and how much of a CPU all take when they are idle."""
    work = replace(WORK, seconds=None if streamed else 0.5, tokens=TOKENS)
    (warm_up,) = await stage.run_traffic(work, [side])
    before = resident_bytes(side.pid)
    async with stage.held(side, count, streamed=streamed) as held:
        each = (resident_bytes(side.pid) - before) / count / _KIB
        cpu = 0.0 if streamed else await _share_of_cpu(side)
    if side.metrics_port is not None:
        account = await stage.account()
        answers = warm_up.answers + held.seen.answers
        account.events += answers
        account.completion_tokens += answers * TOKENS
        await account.until_stored()
        if problems := check_metrics(await read_metrics_when_spool_is_empty(side.metrics_port), answers):
            raise BenchError("metering was not complete: " + "; ".join(problems))
    return each, cpu


async def _share_of_cpu(side: Side) -> float:
    before_s = cpu_time_s(side.pid)
    await asyncio.sleep(_IDLE_CPU_S)
    return (cpu_time_s(side.pid) - before_s) / _IDLE_CPU_S


def resident_bytes(pid: int) -> int:
    """The memory of a process that is there. BenchError if it has ended."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        raise BenchError(f"process {pid} has ended while it was measured") from None
