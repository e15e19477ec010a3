"""What a run of benchmarks shows and writes, and how it gets there from what was measured."""

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

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
from bench.asker import Asked
from bench.catalogue import all_names, choose
from bench.contest import Measured
from bench.errors import BenchError
from bench.load import Seen
from bench.ratio import Pair, Ratio
from bench.result import Result, results_table, write_results
from rig.programs import environment_of_parts

RESULT = Result(
    "proxy_plain_cpu",
    Ratio(0.55557, 0.50004, 0.61234, 800.0, 1440.0),
    "bare [mitmdump]",
    "us CPU/request",
    "a note",
)
STREAMS = stream.WORK.connections


def measured(
    answers: int = 1000,
    events: int = 0,
    elapsed_s: float = 2.0,
    cpu_s: float = 1.0,
    *,
    first_s: float = 0.01,
    chunk_s: float = 0.005,
) -> Measured:
    return Measured(Seen(answers, events, events + 100, elapsed_s, first_s, chunk_s), cpu_s)


def test_the_file_is_a_list_with_the_fields_that_readers_rely_on(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_results(file, [RESULT, replace(RESULT, name="other")])
    entries = json.loads(file.read_text())
    assert entries[0] == {
        "name": "proxy_plain_cpu",
        "ratio": 0.5556,
        "low": 0.5,
        "high": 0.6123,
        "reference": "bare [mitmdump]",
        "unit": "us CPU/request",
        "note": "a note",
    }
    assert entries[1]["name"] == "other"


def test_the_file_of_an_earlier_run_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write_results(file, [RESULT, RESULT])
    write_results(file, [RESULT])
    assert len(json.loads(file.read_text())) == 1
    assert list(tmp_path.iterdir()) == [file]


def test_the_table_shows_the_ratio_its_spread_and_both_sides() -> None:
    output = StringIO()
    Console(file=output, width=140).print(results_table([RESULT]))
    line = next(line for line in output.getvalue().splitlines() if "proxy_plain_cpu" in line)
    assert line.split()[:6] == ["proxy_plain_cpu", "0.556", "0.500", "0.612", "800.0", "1,440.0"]
    assert "bare [mitmdump]" in line


def test_plain_rounds_give_cpu_for_each_answer_and_answers_in_a_second() -> None:
    pair = Pair(measured(1000, elapsed_s=2.0, cpu_s=1.5), measured(500, elapsed_s=2.0, cpu_s=1.0))
    cpu, rps = plain.results_of([pair])
    assert (cpu.name, rps.name) == plain.NAMES
    assert (cpu.ratio.phoebe, cpu.ratio.reference, cpu.ratio.median) == (1500.0, 2000.0, 0.75)
    assert (rps.ratio.phoebe, rps.ratio.reference, rps.ratio.median) == (500.0, 250.0, 2.0)


def test_stream_rounds_give_cpu_for_each_chunk_the_engine_sent() -> None:
    phoebe = measured(STREAMS, stream.CHUNKS - STREAMS, cpu_s=stream.CHUNKS * 110e-6)
    reference = measured(STREAMS, stream.CHUNKS, cpu_s=stream.CHUNKS * 100e-6)
    ratio = stream.result_of("stream", [Pair(phoebe, reference)]).ratio
    assert (ratio.phoebe, ratio.reference, ratio.median) == pytest.approx((110.0, 100.0, 1.1))


@pytest.mark.parametrize(
    ("phoebe", "reference", "whose"),
    [(stream.CHUNKS, stream.CHUNKS, "Phoebe"), (stream.CHUNKS - STREAMS, stream.CHUNKS - 1, "the reference")],
)
def test_streams_with_other_chunks_than_there_should_be_are_no_result(
    phoebe: int, reference: int, whose: str
) -> None:
    with pytest.raises(BenchError, match=f"{whose}'s clients got"):
        stream.result_of("stream", [Pair(measured(STREAMS, phoebe), measured(STREAMS, reference))])


def test_the_delay_of_chunks_is_that_of_the_slowest_but_one_in_a_hundred() -> None:
    pair = Pair(measured(chunk_s=0.002), measured(chunk_s=0.004))
    result = stream.delay_of("delay", [pair])
    assert (result.ratio.phoebe, result.ratio.reference, result.ratio.median) == (2000.0, 4000.0, 0.5)


def test_of_the_time_to_the_first_event_only_what_a_proxy_adds_counts() -> None:
    result = first_byte.result_of([Pair(measured(first_s=0.003), measured(first_s=0.005))], direct_s=0.001)
    assert (result.ratio.phoebe, result.ratio.reference, result.ratio.median) == pytest.approx(
        (2000, 4000, 0.5)
    )


def test_one_benchmark_is_chosen_by_the_name_of_any_of_its_results() -> None:
    assert [benchmark.names for benchmark in choose(["proxy_plain_rps"])] == [plain.NAMES]
    proxies = [plain.NAMES, stream.NAMES, tracing.NAMES, stream.RUNNING_NAMES, first_byte.NAMES]
    proxies += [start.NAMES, memory.NAMES, memory.HELD_NAMES, workers.NAMES]
    every = [*proxies, ingest.NAMES, two_raters.NAMES, stored_bytes.NAMES, shared_keys.NAMES]
    every += [quotes.NAMES, rating.NAMES]
    every.append(console_pages.NAMES)
    assert [benchmark.names for benchmark in choose([])] == every


def test_a_quick_run_leaves_out_what_takes_minutes_unless_it_is_named() -> None:
    quick = [benchmark.names for benchmark in choose([], only_quick=True)]
    assert quick == [plain.NAMES, stream.NAMES, ingest.NAMES]
    assert [benchmark.names for benchmark in choose(["rate_growth"], only_quick=True)] == [rating.NAMES]


def test_rating_rounds_give_how_much_faster_and_how_much_slower_with_more_events() -> None:
    windows, growth = [Pair(3.0, 0.006)], [Pair(0.0066, 0.006)]
    faster, slower = rating.results_of(windows, growth, first_s=0.05)
    assert (faster.name, slower.name) == rating.NAMES
    assert (faster.ratio.phoebe, faster.ratio.reference, faster.ratio.median) == pytest.approx((3000, 6, 500))
    assert slower.ratio.median == pytest.approx(1.1)


def test_the_ratio_of_quotes_is_of_the_calls_in_a_second() -> None:
    result = quotes.result_of([Asked(1000, 2.0, 1.0), Asked(1000, 1.25, 1.0), Asked(1000, 1.0, 1.0)])
    assert (result.name, result.unit) == ("resolve_price", "calls/s")
    assert (result.ratio.low, result.ratio.median, result.ratio.high) == (0.5, 0.8, 1.0)


def test_quotes_with_many_books_are_compared_with_those_with_one() -> None:
    result = quotes.books_result_of([Asked(1000, 1.0, 1.0)])
    assert (result.name, result.ratio.median) == ("resolve_price_books", 1.0)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(BenchError, match=f"called nope; there are {', '.join(all_names())}"):
        choose(["proxy_plain_cpu", "nope"])


def test_nothing_of_the_users_own_phoebe_reaches_the_parts() -> None:
    user = {"PATH": "/bin", "PHOEBE_RATER": "a", "DATABASE_URL": "b", "HTTP_PROXY": "c", "no_proxy": "d"}
    user |= {"PYTHONDONTWRITEBYTECODE": "1", "READ_DATABASE_URL": "e"}
    assert environment_of_parts(user) == {"PATH": "/bin", "PYTHONUNBUFFERED": "1"}


def test_a_make_that_a_part_calls_is_not_told_what_the_make_above_was() -> None:
    above = {
        "PATH": "/bin",
        "ARGS": "-x",
        "MAKEFLAGS": " -- ARGS=-x",
        "MAKEOVERRIDES": "ARGS=-x",
        "MAKELEVEL": "1",
    }
    assert environment_of_parts(above) == {"PATH": "/bin", "PYTHONUNBUFFERED": "1"}
