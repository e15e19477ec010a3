"""The demo's image has what its two programs import, and no more of the tree than it copies."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.build_context import copy_context
from tests.harness.dockerfile import PROJECT, final_stage

pytestmark = pytest.mark.deploy


def test_both_programs_start_in_it(tmp_path: Path) -> None:
    copy_context(PROJECT, "Dockerfile.demo", tmp_path / "context")
    stage = final_stage("demo")
    app = tmp_path / "app"
    app.mkdir()
    for origin, target in (each.words() for each in stage.instructions if each.word == "COPY"):
        if not target.endswith("/"):  # a folder; the lock file stays where it is
            (tmp_path / "context" / origin).rename(app / target)
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        environment / "bin" / "python",
        "install",
        "--quiet",
    ]
    lock = tmp_path / "context" / "requirements" / "demo.txt"
    subprocess.run([*pip, "--no-deps", "--require-hashes", "-r", lock], check=True)

    for module in ("demo", "demo.engine"):
        done = subprocess.run(
            [environment / "bin" / "python", "-m", module, "--help"],
            cwd=app,
            env={"PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "usage: python -m demo" in done.stdout
