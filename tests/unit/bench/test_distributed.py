"""What is said of storing on a cluster, and where its servers are looked for."""

import pytest

from bench import distributed
from bench.ratio import Pair


@pytest.mark.parametrize(
    ("url", "database", "other"),
    [
        (
            "postgresql://me@a:1/postgres?x=1",
            "postgresql://me@a:1/new?x=1",
            "postgresql://me@b:2/postgres?x=1",
        ),
        ("postgresql://a/postgres", "postgresql://a/new", "postgresql://b:2/postgres"),
    ],
)
def test_other_databases_and_servers_have_the_same_user_and_settings(
    url: str, database: str, other: str
) -> None:
    assert distributed.with_database(url, "new") == database
    assert distributed.with_host(url, "b", 2) == other


def test_the_ratio_is_of_events_in_a_second_and_the_note_says_what_the_cluster_has() -> None:
    rates = [Pair(600.0, 1000.0), Pair(800.0, 1000.0), Pair(700.0, 1000.0)]
    result = distributed.result_of(4, rates, "2 workers, 32 shards")

    assert (result.name, result.ratio.median, result.ratio.low) == ("distributed_4_writers", 0.7, 0.6)
    assert "over 4 streams of a producer each; 2 workers, 32 shards" in result.note


@pytest.mark.parametrize("wrong", [["--writers", "5"], ["--writers", "0"], ["--rounds", "0"]])
def test_a_number_of_writers_among_whom_a_turn_can_not_be_shared_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        distributed.main(["--cluster", "a", "--plain", "b", *wrong])
    assert ended.value.code == 2
