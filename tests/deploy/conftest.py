"""What is deployed, judged by the tools for it: `make test-deploy` installs them and runs these tests."""

import pytest

from rig.programs import PROJECT

TOOLS = PROJECT / ".venv-deploy" / "bin"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out unless they are asked for with `-m deploy`."""
    if "deploy" in config.getoption("markexpr"):
        return
    left_out = [item for item in items if item.get_closest_marker("deploy")]
    items[:] = [item for item in items if not item.get_closest_marker("deploy")]
    config.hook.pytest_deselected(items=left_out)
