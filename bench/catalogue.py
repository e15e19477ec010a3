"""The benchmarks there are. A module of its own for each; those measured together share one."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bench import (
    console_pages,
    first_byte,
    ingest,
    memory,
    plain,
    quotes,
    rating,
    shared_keys,
    start,
    stored_bytes,
    stream,
    tracing,
    two_raters,
    workers,
)
from bench.errors import BenchError
from bench.result import Result
from bench.stage import Stage


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One or more results from the same rounds.

    run: takes the number of rounds. is_quick: whether few rounds of it take seconds.
    """

    names: tuple[str, ...]
    run: Callable[[Stage, int], Awaitable[list[Result]]]
    is_quick: bool = True


BENCHMARKS = (
    Benchmark(plain.NAMES, plain.run),
    Benchmark(stream.NAMES, stream.run),
    Benchmark(tracing.NAMES, tracing.run, is_quick=False),
    Benchmark(stream.RUNNING_NAMES, stream.run_with_running_usage, is_quick=False),
    Benchmark(first_byte.NAMES, first_byte.run, is_quick=False),
    Benchmark(start.NAMES, start.run, is_quick=False),
    Benchmark(memory.NAMES, memory.run, is_quick=False),
    Benchmark(memory.HELD_NAMES, memory.run_held, is_quick=False),
    Benchmark(workers.NAMES, workers.run, is_quick=False),
    Benchmark(ingest.NAMES, ingest.run),
    Benchmark(two_raters.NAMES, two_raters.run, is_quick=False),
    Benchmark(stored_bytes.NAMES, stored_bytes.run, is_quick=False),
    Benchmark(shared_keys.NAMES, shared_keys.run, is_quick=False),
    Benchmark(quotes.NAMES, quotes.run, is_quick=False),
    Benchmark(rating.NAMES, rating.run, is_quick=False),
    Benchmark(console_pages.NAMES, console_pages.run, is_quick=False),
)


def all_names() -> list[str]:
    """The names of all results."""
    return [name for benchmark in BENCHMARKS for name in benchmark.names]


def choose(names: Sequence[str], *, only_quick: bool = False) -> list[Benchmark]:
    """The benchmarks that give these results, and maybe others; if none is named all, or all that are quick.

    BenchError for an unknown name.
    """
    unknown = [name for name in names if name not in all_names()]
    if unknown:
        raise BenchError(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(all_names())}")
    if names:
        return [benchmark for benchmark in BENCHMARKS if set(names) & set(benchmark.names)]
    return [benchmark for benchmark in BENCHMARKS if benchmark.is_quick or not only_quick]
