"""The commands in the documentation, run as they stand there: `make test-docs`. It takes minutes."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out unless they are asked for with `-m docs`."""
    if "docs" in config.getoption("markexpr"):
        return
    left_out = [item for item in items if item.get_closest_marker("docs")]
    items[:] = [item for item in items if not item.get_closest_marker("docs")]
    config.hook.pytest_deselected(items=left_out)
