import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the import directions of the packages below a folder, by the rules of its pyproject.toml."""
    paths = [root / "addon", root / "proto", root]
    return subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in ("addon/phoebe_addon", "proto/phoebe_proto", "rater_service"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_import_directions_are_kept() -> None:
    checked = check_imports(ROOT)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("addon/phoebe_addon/usage.py", "import rater_service.money", "meet only in the wire contract"),
        ("rater_service/money.py", "import phoebe_addon.usage", "meet only in the wire contract"),
        ("addon/phoebe_addon/spool.py", "import asyncpg", "has no database driver"),
        ("rater_service/server.py", "import mitmproxy.http", "has no proxy"),
        ("addon/phoebe_addon/sse.py", "import time", "middle is pure"),
        ("addon/phoebe_addon/upstreams.py", "import pathlib", "middle is pure"),
        ("rater_service/resolution.py", "import logging", "middle is pure"),
        ("rater_service/money.py", "from rater_service import price_store", "middle is pure"),
    ],
)
def test_an_import_against_them_is_found(copy: Path, module: str, line: str, broken: str) -> None:
    with (copy / module).open("a") as file:
        file.write(f"{line}\n")

    checked = check_imports(copy)

    assert checked.returncode == 1
    (name,) = (text for text in checked.stdout.splitlines() if broken in text and text.endswith(" BROKEN"))
    assert name
