"""What happens to a database with many events: `make test-scale`. It takes minutes."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out unless they are asked for with `-m scale`."""
    if "scale" in config.getoption("markexpr"):
        return
    left_out = [item for item in items if item.get_closest_marker("scale")]
    items[:] = [item for item in items if not item.get_closest_marker("scale")]
    config.hook.pytest_deselected(items=left_out)
