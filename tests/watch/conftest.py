"""What watches Phoebe, tried on Prometheus itself: `make test-watch` runs these tests."""

import shutil
from pathlib import Path

import pytest

MISSING = "this machine has no {}: Debian: apt-get install prometheus, which has both; on PATH is enough"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("watch")


def program(name: str) -> str:
    """Give the path of a program of Prometheus; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(MISSING.format(name))
    return found
