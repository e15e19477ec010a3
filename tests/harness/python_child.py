"""Programs of a test's own: Python that runs to its end, and programs that are spoken with line by line."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from rig.programs import PROJECT

TIMEOUT_S = 120


def run_python(
    program: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it wrote. environment: additions to that of the tests."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=PROJECT,
        env=_environment(environment),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


class Child:
    """A running program that says lines on its output and may be told lines on its input."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hear(self) -> str:
        """Its next line, without the line's end; empty once it has ended."""
        assert self.process.stdout
        return self.process.stdout.readline().removesuffix("\n")

    def hear_the_rest(self) -> list[str]:
        """All that it says from now on until it ends. What is no whole line is left out."""
        assert self.process.stdout
        return [line.removesuffix("\n") for line in self.process.stdout if line.endswith("\n")]

    def ask(self) -> str:
        """Tell it an empty line, and hear its answer."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self) -> int:
        """End its input, and wait for its end; returns its status."""
        self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode

    def kill(self) -> None:
        """Kill -9; when this returns it has ended."""
        self.process.kill()
        self.process.wait()


@contextmanager
def child(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    channel: int | None = None,
    errors: Path | None = None,
) -> Iterator[Child]:
    """Run a program as long as the context lasts.

    environment: all of it; None: that of the tests. channel: a descriptor it inherits. errors: the file for
    what it says on standard error; None: where the tests say theirs.
    """
    with (
        errors.open("ab") if errors else nullcontext() as file,
        subprocess.Popen(
            command,
            cwd=PROJECT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=file,
            pass_fds=() if channel is None else (channel,),
            text=True,
        ) as process,
    ):
        try:
            yield Child(process)
        finally:
            process.kill()


@contextmanager
def python_child(program: str, *arguments: str | Path) -> Iterator[Child]:
    """As `child`, for the text of a Python program that may import the tests' modules."""
    with child([sys.executable, "-c", program, *arguments], environment=_environment(None)) as started:
        yield started


def _environment(additions: Mapping[str, str] | None) -> dict[str, str]:
    # The modules of the tests are found by the path that pytest made.
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(additions or {})}
