"""Plain chat requests in a second: two workers of `phoebe proxy` against one.

Whoever asks and whoever answers, the rater and PostgreSQL run on the same CPUs as the workers. So with two
CPUs the second worker gets what those leave it, and the ratio stays far below 2. What the note says besides
does not depend on that: how many cores' worth of CPU the workers had, and what a request cost them.
"""

from collections.abc import Sequence
from statistics import median

from bench.contest import Contest, Measured
from bench.load import Work
from bench.ratio import Pair, ratio_of
from bench.result import Result
from bench.stage import Stage

NAMES = ("proxy_workers",)
SECONDS = 2.0
# The kernel spreads connections by chance: the more there are, the more evenly.
WORK = Work(connections=64, tokens=180, seconds=SECONDS)
REFERENCE = "phoebe proxy --workers 1"


async def run(stage: Stage, rounds: int) -> list[Result]:
    """Measures both from the same rounds."""
    async with stage.workers(2, 1) as sides:
        contest = Contest(stage, sides, reference_is_metered=True)
        measured = await contest.run("workers", WORK, rounds)
        await contest.check()
    return results_of(measured, stage.cpu_count)


def results_of(measured: Sequence[Pair[Measured]], cpus: int) -> list[Result]:
    """The result of the rounds. cpus: on which everything ran."""
    rps = [Pair(_rps(pair.phoebe), _rps(pair.reference)) for pair in measured]
    cost = median(_cpu_us(pair.phoebe) / _cpu_us(pair.reference) for pair in measured)
    cores = Pair(
        median(_cores(pair.phoebe) for pair in measured), median(_cores(pair.reference) for pair in measured)
    )
    note = (
        f"higher is better; {len(measured)} rounds of {SECONDS:g} s on each side with chat requests over "
        f"{WORK.connections} keep-alive connections; clients, engine, rater and PostgreSQL share the {cpus} "
        f"CPUs with the workers: two had {cores.phoebe:.2f} cores, one {cores.reference:.2f}; CPU for a "
        f"request, two against one: {cost:.2f}"
    )
    return [Result(NAMES[0], ratio_of(rps), REFERENCE, "requests/s", note)]


def _rps(measured: Measured) -> float:
    return measured.seen.answers / measured.seen.elapsed_s


def _cpu_us(measured: Measured) -> float:
    return measured.cpu_s / measured.seen.answers * 1e6


def _cores(measured: Measured) -> float:
    return measured.cpu_s / measured.seen.elapsed_s
