"""The demo's processes: real programs, each with a log file, started in order and stopped in reverse."""

import asyncio
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.05
# The rater may first have to create a database; on a busy machine that takes its time.
READY_TIMEOUT_S = 90.0
# Twice what the proxy gives its streams and its spool, so that only a process that hangs is killed.
STOP_TIMEOUT_S = 30.0


class DemoError(Exception):
    """What the demo can't go on with, in words for the person who started it."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started process and the file with everything it says."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def said(self) -> str:
        """All of its output so far."""
        return self.log.read_text(errors="replace")

    def last_lines(self, count: int) -> list[str]:
        """The last `count` lines of its output."""
        return self.said.splitlines()[-count:]

    async def until_says(self, pattern: str) -> str:
        """Waits until its output matches `pattern`; gives the first group. DemoError if it never does."""
        await self.until(lambda: re.search(pattern, self.said) is not None, f"say /{pattern}/")
        match = re.search(pattern, self.said)
        assert match is not None
        return match[1]

    async def until_answers(self, port: int) -> None:
        """Waits until something accepts connections on the loopback `port`. DemoError if nothing does."""
        await self.until(lambda: _accepts(port), f"answer on port {port}")

    async def until(self, is_ready: Callable[[], bool], what: str) -> None:
        """Waits until a condition holds. DemoError if it does not in time, or the process ends before."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not is_ready():
            status = self.process.poll()
            if status is not None:
                raise DemoError(f"the {self.name} ended with status {status}; it should {what}")
            if time.monotonic() > deadline:
                raise DemoError(f"the {self.name} did not {what} within {READY_TIMEOUT_S:.0f} s")
            await asyncio.sleep(POLL_S)

    async def stop(self) -> str | None:
        """Asks the process to end and waits; after STOP_TIMEOUT_S it is killed. Gives what went wrong."""
        if self.process.poll() is not None:
            return f"the {self.name} had ended with status {self.process.returncode}"
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                return f"the {self.name} did not stop within {STOP_TIMEOUT_S:.0f} s and was killed"
            await asyncio.sleep(POLL_S)
        if self.process.returncode not in {0, -signal.SIGTERM}:
            return f"the {self.name} ended with status {self.process.returncode} when asked to stop"
        return None


class Processes:
    """All processes of one demo, started in the folder `project`, with their logs in `folder`."""

    def __init__(self, project: Path, folder: Path, environment: Mapping[str, str]) -> None:
        self._project = project
        self._folder = folder
        self._environment = environment
        self.running: list[Running] = []

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Running:
        """Starts a program, with additions to the common environment. DemoError if it can't be executed."""
        log = self._folder / f"{name}.log"
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._project,
                    env={**self._environment, **(environment or {})},
                    # A Ctrl-C in the terminal must reach the demo alone, which stops the parts in order.
                    start_new_session=True,
                )
        except OSError as error:
            raise DemoError(f"the {name} can't be started: {error}") from error
        running = Running(name, process, log)
        self.running.append(running)
        return running

    async def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Runs a program to its end. DemoError if it fails."""
        running = self.start(name, command, environment)
        await running.until(lambda: running.process.poll() == 0, "end with status 0")
        self.running.remove(running)

    async def stop(self) -> list[str]:
        """Stops everything, last started first. Gives what went wrong, in words."""
        problems = [await running.stop() for running in reversed(self.running)]
        return [problem for problem in problems if problem is not None]


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
