"""Streamed chat requests: how much later than without a proxy the first event of an answer comes."""

from collections.abc import Sequence

from bench.contest import Contest, Measured
from bench.engine import CHUNKS_AROUND, STEP_S
from bench.load import Work
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage
from bench.stream import REFERENCE

NAMES = ("proxy_ttft",)
WORK = Work(connections=16, tokens=2, seconds=None, streams=12)


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures the time to the first event."""
    async with stage.proxies({"stream_large_bodies": "1"}) as sides:
        contest = Contest(stage, sides)
        measured = await contest.run("first byte ", WORK, rounds)
        await contest.check()
    direct = await stage.run_traffic_to_engine(WORK)
    return [result_of(measured, direct.first_s)]


def result_of(measured: Sequence[Pair[Measured]], direct_s: float) -> Result:
    """The result of the rounds. direct_s: the time to the first event without a proxy."""
    added_us = [
        Pair(_added_us(pair.phoebe, direct_s), _added_us(pair.reference, direct_s)) for pair in measured
    ]
    note = (
        f"lower is better; {len(measured)} rounds of {WORK.streams} streams after each other on each of "
        f"{WORK.connections} keep-alive connections, {WORK.tokens + CHUNKS_AROUND} chunks a stream, one in "
        f"{STEP_S * 1000:.0f} ms; from a request to the first event of its answer, which the engine sends at "
        f"once, the median of a round, less the {direct_s * 1e6:.0f} us without a proxy; each admission is "
        "durable before the engine is asked"
    )
    return Result(NAMES[0], ratio_of(added_us), REFERENCE, "us", note)


def _added_us(measured: Measured, direct_s: float) -> float:
    return (measured.seen.first_s - direct_s) * 1e6
