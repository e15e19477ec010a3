"""What is said of two workers against one."""

from bench import workers
from bench.contest import Measured
from bench.load import Seen
from bench.ratio import Pair


def measured(answers: int, cpu_s: float) -> Measured:
    """A round of two seconds."""
    return Measured(Seen(answers=answers, events=0, reads=0, elapsed_s=2.0, first_s=0.01, chunk_s=0.0), cpu_s)


def test_the_ratio_is_of_requests_and_the_note_says_what_cpu_the_workers_had() -> None:
    rounds = [Pair(measured(3000, 3.0), measured(2000, 2.0)), Pair(measured(3200, 3.2), measured(2000, 2.0))]

    (result,) = workers.results_of(rounds, 2)

    assert (result.name, result.ratio.low, result.ratio.high) == ("proxy_workers", 1.5, 1.6)
    assert "share the 2 CPUs with the workers: two had 1.55 cores, one 1.00" in result.note
    assert result.note.endswith("CPU for a request, two against one: 1.00")
