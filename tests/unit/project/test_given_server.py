"""Which tests run on a PostgreSQL server that was given by its URL."""

import re

import pytest

from rig.programs import PROJECT
from tests.harness.given_server import (
    NOT_DISTRIBUTED,
    NOT_DISTRIBUTED_FILES,
    NOT_THERE,
    is_given,
    reason_to_skip,
    server_url,
)

INTEGRATION = PROJECT / "tests" / "integration"
OWN = re.compile(r"\bown_postgres\b|\bown_server\b|\bembedded\.start\b")


def test_every_file_with_servers_of_its_own_is_skipped_there_and_says_why() -> None:
    own = {
        path.relative_to(INTEGRATION).as_posix()
        for path in INTEGRATION.rglob("test_*.py")
        if OWN.search(path.read_text("utf-8"))
    }
    assert own <= set(NOT_THERE)
    assert all((INTEGRATION / name).exists() for name in NOT_THERE)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("postgresql://me:x@db:5433/any", "postgresql://me:x@db:5433/postgres?sslmode=prefer"),
        ("postgres://me@/any?host=/run", "postgres://me@/postgres?host=/run"),
    ],
)
def test_databases_are_made_beside_the_one_that_is_named(given: str, url: str) -> None:
    assert is_given(given)
    assert server_url(given) == url


def test_tests_that_are_skipped_where_databases_are_distributed_are_there() -> None:
    assert all((INTEGRATION / name).exists() for name in NOT_DISTRIBUTED_FILES)
    for file, tests in NOT_DISTRIBUTED.items():
        text = (INTEGRATION / file).read_text("utf-8")
        assert [test for test in tests if f"def {test}(" not in text] == []


def test_what_does_not_apply_to_a_distributed_database_applies_to_every_other() -> None:
    (file, tests), *_ = NOT_DISTRIBUTED.items()
    test, reason = next(iter(tests.items()))

    assert reason_to_skip(file, test, distributed=True) == reason
    assert reason_to_skip(file, test, distributed=False) is None
    assert reason_to_skip(next(iter(NOT_THERE)), "any", distributed=False) == next(iter(NOT_THERE.values()))
