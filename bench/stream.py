"""Streamed chat requests, many at once: CPU for each chunk, and how long chunks are on their way.

Once as most engines stream, with the usage in a chunk at the end; once with the usage so far in every chunk,
which Phoebe asks engines for that it knows, and takes out of every chunk again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bench.contest import Contest, Measured
from bench.engine import CHUNKS_AROUND, STEP_S
from bench.errors import BenchError
from bench.load import Work
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage

NAMES = ("proxy_stream_cpu", "proxy_chunk_delay")
RUNNING_NAMES = ("proxy_stream_running_cpu",)
WORK = Work(connections=100, tokens=128, seconds=None)
REFERENCE = "mitmdump -q, reverse mode, connection_strategy=lazy, stream_large_bodies=1"
CHUNKS = WORK.connections * (WORK.tokens + CHUNKS_AROUND)
"""What the engine sends in a round, to either side."""


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures both from the same rounds."""
    measured = await _run(WORK, {}, stage, rounds)
    return [result_of(NAMES[0], measured), delay_of(NAMES[1], measured)]


async def run_with_running_usage(stage: Stage, rounds: int) -> list[Result]:
    """Measures CPU per chunk where every chunk has the usage so far."""
    measured = await _run(replace(WORK, running=True), {"phoebe_engine": "vllm"}, stage, rounds)
    return [result_of(RUNNING_NAMES[0], measured)]


async def _run(work: Work, options: Mapping[str, str], stage: Stage, rounds: int) -> Sequence[Pair[Measured]]:
    async with stage.proxies({"stream_large_bodies": "1"}, options) as sides:
        contest = Contest(stage, sides)
        measured = await contest.run("running" if work.running else "stream ", work, rounds)
        await contest.check()
    return measured


def result_of(name: str, measured: Sequence[Pair[Measured]]) -> Result:
    """The result of the rounds. BenchError if a side's clients did not get every chunk that is theirs."""
    for pair in measured:
        # The clients do not ask for usage: Phoebe takes its chunk out, the reference does not.
        _check_events("Phoebe", pair.phoebe, CHUNKS - WORK.connections)
        _check_events("the reference", pair.reference, CHUNKS)
    cpu_us = [Pair(_cpu_us(pair.phoebe), _cpu_us(pair.reference)) for pair in measured]
    note = (
        f"lower is better; {len(measured)} rounds of {WORK.connections} concurrent streams of "
        f"{WORK.tokens + CHUNKS_AROUND} chunks, one in each every {STEP_S * 1000:.0f} ms, their requests "
        "and ends included; no chunks are read together: events per read of a client are "
        f"{_per_read([pair.phoebe for pair in measured]):.2f} (Phoebe) and "
        f"{_per_read([pair.reference for pair in measured]):.2f} (reference)"
    )
    return Result(name, ratio_of(cpu_us), REFERENCE, "us CPU/chunk", note)


def delay_of(name: str, measured: Sequence[Pair[Measured]]) -> Result:
    """The result of the rounds for how long chunks are on their way."""
    chunks_us = [Pair(pair.phoebe.seen.chunk_s * 1e6, pair.reference.seen.chunk_s * 1e6) for pair in measured]
    note = (
        f"lower is better; {len(measured)} rounds; what 99 of 100 chunks stay below, from the engine's write "
        f"to the client's read, when {WORK.connections} streams get a chunk each at the same time"
    )
    return Result(name, ratio_of(chunks_us), REFERENCE, "us", note)


def _check_events(name: str, measured: Measured, expected: int) -> None:
    if measured.seen.events != expected:
        raise BenchError(f"{name}'s clients got {measured.seen.events} events, should be {expected}")


def _cpu_us(measured: Measured) -> float:
    return measured.cpu_s / CHUNKS * 1e6


def _per_read(measured: Sequence[Measured]) -> float:
    return sum(one.seen.events for one in measured) / sum(one.seen.reads for one in measured)
