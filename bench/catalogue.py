"""The benchmarks there are. A module of its own for each; those measured together share one."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bench import ingest, plain, stream
from bench.errors import BenchError
from bench.result import Result
from bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One or more results from the same rounds. run: takes the number of rounds."""

    names: tuple[str, ...]
    run: Callable[[Stage, int], Awaitable[list[Result]]]


BENCHMARKS = (
    Benchmark(plain.NAMES, plain.run),
    Benchmark(stream.NAMES, stream.run),
    Benchmark(ingest.NAMES, ingest.run),
)


def all_names() -> list[str]:
    """The names of all results."""
    return [name for benchmark in BENCHMARKS for name in benchmark.names]


def choose(names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks that give these results, and maybe others; all if none is named.

    BenchError for an unknown name.
    """
    unknown = [name for name in names if name not in all_names()]
    if unknown:
        raise BenchError(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(all_names())}")
    return [benchmark for benchmark in BENCHMARKS if not names or set(names) & set(benchmark.names)]
