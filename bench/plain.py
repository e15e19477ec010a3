"""Plain chat requests: CPU for each, and how many go through in a second."""

from collections.abc import Sequence

from bench.contest import Contest, Measured
from bench.load import Work
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage

NAMES = ("proxy_plain_cpu", "proxy_plain_rps")
SECONDS = 1.2
WORK = Work(connections=16, tokens=180, seconds=SECONDS)
REFERENCE = "mitmdump -q, reverse mode, connection_strategy=lazy"


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures both from the same rounds."""
    async with stage.proxies({}) as sides:
        contest = Contest(stage, sides)
        measured = await contest.run("plain ", WORK, rounds)
        await contest.check()
    return results_of(measured)


def results_of(measured: Sequence[Pair[Measured]]) -> list[Result]:
    """The two results of the rounds."""
    each_us = [Pair(cpu_us(pair.phoebe), cpu_us(pair.reference)) for pair in measured]
    rps = [Pair(_rps(pair.phoebe), _rps(pair.reference)) for pair in measured]
    conditions = (
        f"{len(measured)} rounds of {SECONDS} s on each side with chat requests over {WORK.connections} "
        "keep-alive connections, answers of 1 kB with usage; gate, metering, durable spool and delivery to a "
        "real rater are on"
    )
    return [
        Result(NAMES[0], ratio_of(each_us), REFERENCE, "us CPU/request", f"lower is better; {conditions}"),
        Result(NAMES[1], ratio_of(rps), REFERENCE, "requests/s", f"higher is better; {conditions}"),
    ]


def cpu_us(measured: Measured) -> float:
    """CPU time for each answer, in microseconds."""
    return measured.cpu_s / measured.seen.answers * 1e6


def _rps(measured: Measured) -> float:
    return measured.seen.answers / measured.seen.elapsed_s
