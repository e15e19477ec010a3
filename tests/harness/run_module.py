"""A program of the project that a test runs as its users do: `python -m demo`, `bench` or `chaos`."""

import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rig.processes import Running, start
from rig.programs import PROJECT, module

TIMEOUT_S = 400.0
# Of the user's own set-up nothing may reach the parts: with any of these they would fail.
HOSTILE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "PHOEBE_UPSTREAM": "http://127.0.0.1:1",
    "PHOEBE_LISTEN": "0.0.0.0:1",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
}


class RunModule:
    """A running program with parts of its own, in a folder that it names."""

    def __init__(self, running: Running) -> None:
        self.process = running.process
        self._running = running

    @property
    def output(self) -> str:
        """What it has said so far, errors included."""
        return self._running.said

    @property
    def last_line(self) -> str:
        return self.output.splitlines()[-1]

    @property
    def folder(self) -> Path:
        """Where it has its files; known once it has said so."""
        return folder_in(self.output)

    @property
    def pids(self) -> list[int]:
        """The parts that it has started."""
        return pids_in(self.output)

    def wait_until_says(self, start_of_line: str) -> None:
        """Wait until a line starts like this."""
        self._running.wait_until_says(f"(?m)^({re.escape(start_of_line)})")

    def wait_until_parts_run(self) -> None:
        """Wait until a process runs whose command line names its folder."""
        self._running.wait_until_says(r"in (\S+)")
        self._running.wait_until(lambda: bool(self.parts()), "start a part")

    def parts(self) -> list[str]:
        """The command lines of the running processes that name its folder."""
        files = Path("/proc").glob("[0-9]*/cmdline")
        lines = [_read(file).replace("\0", " ") for file in files]
        return [line for line in lines if self.folder.name in line]

    def end(self) -> int:
        """Wait until it has ended; returns its status."""
        return self.process.wait(TIMEOUT_S)


def folder_in(output: str) -> Path:
    """The folder that a program says that it has its files in."""
    found = re.search(r"(?:files|logs and data) in (\S+)", output)
    assert found is not None, output
    return PROJECT / found[1]


def pids_in(output: str) -> list[int]:
    """The processes that a program says that it has started."""
    return [int(pid) for pid in re.findall(r"\(pid (\d+)\)", output)]


def hostile_environment() -> dict[str, str]:
    """The environment of this process, without what is meant for the programs, and with what is HOSTILE."""
    own = ("UPSTREAM", "DEMO_", "PHOEBE_", "PG")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "PYTHONUNBUFFERED": "1", **HOSTILE}


@contextmanager
def run_module(
    name: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[RunModule]:
    """Run a program, in an environment in which only its own settings can work; stopped in any case.

    environment: its own settings.
    """
    running = start(
        name,
        module(name, *arguments),
        log,
        folder=PROJECT,
        environment={**hostile_environment(), **(environment or {})},
    )
    try:
        yield RunModule(running)
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(TIMEOUT_S)


def _read(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):  # it has ended since
        return ""
