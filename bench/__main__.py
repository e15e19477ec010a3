"""Run the benchmarks: `make bench`, or `python -m bench` in the project's environment."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import grpc
from rich.console import Console

from bench.catalogue import Benchmark, all_names, choose
from bench.cpu import CpuSplit, available_cpus, pinned_to, split_cpus
from bench.errors import BenchError
from bench.result import Result, results_table, write_results
from bench.stage import Stage
from demo.report import open_console
from rig.errors import RigError
from rig.interrupts import interruptible
from rig.programs import PROJECT, environment_of_parts

ROUNDS = 9
QUICK_ROUNDS = 3
RESULTS = PROJECT / "bench" / "results.json"

EPILOG = f"""\
Each benchmark runs Phoebe and a reference side by side, in turns, in the same run. Only ratios mean anything;
they are the medians of the rounds, with the lowest and the highest. At its end each checks that every answer
was metered, stored and rated, and fails otherwise.

benchmarks: {", ".join(all_names())}

The last line of the output starts with "bench ok:" (exit status 0) or "bench failed:" (1); 2 is a wrong
command line. Ctrl-C stops everything. DATABASE_URL and PHOEBE_* are ignored.
"""


class Bench:
    """One run of benchmarks, with its data in `folder`."""

    def __init__(self, folder: Path, console: Console, split: CpuSplit | None) -> None:
        self._console = console
        self._stage = Stage(folder, self.say, environment_of_parts(os.environ), split)
        self.results: list[Result] = []
        self.problems: list[str] = []

    def say(self, line: str) -> None:
        """Shows a line of progress."""
        self._console.print(line, markup=False, soft_wrap=True)

    async def run(self, names: Sequence[str], benchmarks: Sequence[Benchmark], rounds: int) -> None:
        """Runs benchmarks for these results, all for none; one that fails does not keep the others away."""
        for benchmark in benchmarks:
            try:
                results = await benchmark.run(self._stage, rounds)
                self.results += [result for result in results if not names or result.name in names]
            except RigError as error:
                self.problems.append(f"{', '.join(benchmark.names)}: {error}")
            except grpc.aio.AioRpcError as error:
                self.problems.append(f"the rater answered {error.code().name}: {error.details()}")

    async def stop(self) -> None:
        """Stops every part, and shows what the parts said if something went wrong."""
        self.problems += await self._stage.stop()
        if self.problems:
            self._stage.show_logs()


async def _run(
    bench: Bench, names: Sequence[str], benchmarks: Sequence[Benchmark], rounds: int
) -> signal.Signals | None:
    """Runs the benchmarks and stops the parts; gives the signal that ended them early, if one did."""
    try:
        _, interrupted = await interruptible(bench.run(names, benchmarks, rounds))
    finally:
        await bench.stop()
    return interrupted


def _conclude(bench: Bench, console: Console, output: Path, interrupted: signal.Signals | None) -> int:
    if bench.results:
        console.print("", results_table(bench.results))
        write_results(output, bench.results)
        console.print(f"results in {os.path.relpath(output)}", markup=False)
    if bench.problems:
        console.print(f"bench failed: {'; '.join(bench.problems)}", markup=False, soft_wrap=True)
        return 1
    if interrupted is not None:
        console.print(f"bench stopped by {interrupted.name}", markup=False)
        return 128 + interrupted
    ratios = " ".join(f"{result.name}={result.ratio.median:.3f}" for result in bench.results)
    console.print(f"bench ok: {ratios}", markup=False, soft_wrap=True)
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number, 1 or more")
    return int(text)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Benchmarks of Phoebe against a reference in the same run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="may be given again")
    parser.add_argument(
        "--rounds", type=_positive, help=f"default: {ROUNDS}, with --quick {QUICK_ROUNDS}", metavar="N"
    )
    parser.add_argument("--quick", action="store_true", help="few rounds, and only what takes seconds")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, metavar="FILE", help="default: bench/results.json"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder with the logs and the database")
    return parser


def main() -> None:
    """The command line of the benchmarks."""
    parser = _arguments()
    arguments = parser.parse_args()
    try:
        benchmarks = choose(arguments.only, only_quick=arguments.quick)
    except BenchError as error:
        parser.error(str(error))
    if not arguments.output.parent.is_dir():
        parser.error(f"--output: there is no folder {arguments.output.parent}")
    rounds = arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS)
    console = open_console()
    started = time.monotonic()
    split = split_cpus(available_cpus())
    parent = PROJECT / ".phoebe"
    parent.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench-", dir=parent, delete=not arguments.keep) as folder,
        pinned_to(split.others if split else None),
    ):
        fate = "kept" if arguments.keep else "removed at the end; --keep keeps it"
        console.print(f"bench   logs and data in {os.path.relpath(folder)} ({fate})", markup=False)
        bench = Bench(Path(folder), console, split)
        interrupted = asyncio.run(_run(bench, arguments.only, benchmarks, rounds))
    console.print(f"bench   all parts stopped after {time.monotonic() - started:.0f} s", markup=False)
    sys.exit(_conclude(bench, console, arguments.output, interrupted))


if __name__ == "__main__":
    main()
