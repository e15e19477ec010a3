"""Rules of the lint that nothing in the project breaks, so that only a test shows that they hold."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    "folder",
    ["addon/phoebe_addon", "client/phoebe_client", "rater_service", "conformance/phoebe_conformance"],
)
@pytest.mark.parametrize("spelling", ["create_task", "ensure_future"])
def test_a_bare_task_fails_the_lint(folder: str, spelling: str) -> None:
    code = f'"""Doc."""\n\nimport asyncio\n\nkept = asyncio.{spelling}(asyncio.sleep(1))\n'
    checked = subprocess.run(
        [
            *(Path(sys.executable).with_name("ruff"), "check", "--no-cache", "--quiet"),
            *("--stdin-filename", f"{folder}/new_module.py", "-"),
        ],
        input=code,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert "TID251" in checked.stdout, checked.stdout + checked.stderr
