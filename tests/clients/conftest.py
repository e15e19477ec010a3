"""The examples of docs/calling.md in other languages: `make test-clients`. They need Node and Go."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out unless they are asked for with `-m clients`."""
    if "clients" in config.getoption("markexpr"):
        return
    left_out = [item for item in items if item.get_closest_marker("clients")]
    items[:] = [item for item in items if not item.get_closest_marker("clients")]
    config.hook.pytest_deselected(items=left_out)
