"""How the memory of a proxy after many requests is compared with its memory after fewer."""

from bench.memory import FIRST_REQUESTS, LAST_REQUESTS, Growth, growth_result
from bench.ratio import Pair

MIB = 2**20


def test_the_memory_counts_once_so_many_requests_were_served() -> None:
    growth = Growth()
    growth.note(FIRST_REQUESTS - 1, 90)
    assert (growth.first_bytes, growth.last_bytes) == (0, 0)
    growth.note(1, 100)
    growth.note(1, 105)
    assert (growth.first_bytes, growth.last_bytes) == (100, 0)
    growth.note(LAST_REQUESTS, 110)
    growth.note(1, 120)
    assert (growth.first_bytes, growth.last_bytes) == (100, 110)


def test_a_proxy_is_compared_with_itself_and_the_note_tells_of_the_bare_one() -> None:
    result = growth_result(
        Pair(Growth(LAST_REQUESTS, 100 * MIB, 101 * MIB), Growth(LAST_REQUESTS, 80 * MIB, 88 * MIB))
    )
    assert (result.ratio.phoebe, result.ratio.reference, result.ratio.median) == (101, 100, 1.01)
    assert "bare mitmdump's in the same run: 1.100, 80 to 88 MiB" in result.note
