"""What watches Phoebe, tried on Prometheus itself: `make test-watch` runs these tests."""

import shutil
from pathlib import Path

import pytest

MISSING = "this machine has no {}: Debian: apt-get install prometheus, which has both; on PATH is enough"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark these tests, and leave them out unless they are asked for with `-m watch`."""
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    for item in here:
        item.add_marker("watch")
    if "watch" not in config.getoption("markexpr"):
        items[:] = [item for item in items if item not in here]
        config.hook.pytest_deselected(items=here)


def program(name: str) -> str:
    """Give the path of a program of Prometheus; skips the test where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(MISSING.format(name))
    return found
