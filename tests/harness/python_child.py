"""Programs that tests run in Python processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 120


def run_python(
    program: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it wrote. environment: additions to that of the tests."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@contextmanager
def python_child(program: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A program that runs as long as the context lasts; its input and its output are pipes."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=_environment(None),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _environment(additions: Mapping[str, str] | None) -> dict[str, str]:
    # The modules of the tests are found by the path that pytest made.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(additions or {})}
