"""An earlier version and this one at work together: `make test-upgrade`. It installs the earlier one."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out unless they are asked for with `-m upgrade`."""
    if "upgrade" in config.getoption("markexpr"):
        return
    left_out = [item for item in items if item.get_closest_marker("upgrade")]
    items[:] = [item for item in items if not item.get_closest_marker("upgrade")]
    config.hook.pytest_deselected(items=left_out)
