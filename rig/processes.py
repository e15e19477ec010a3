"""Programs as child processes: each with a log file, watched until it is ready, and ended."""

import asyncio
import os
import pwd
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rig.errors import RigError
from rig.ports import accepts
from rig.programs import PROJECT

POLL_S = 0.02
# The rater may first have to create a database; on a busy machine that takes its time.
READY_TIMEOUT_S = 90.0
# Twice what the proxy gives its streams and its spool, so that only a process that hangs is killed.
STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Running:
    """A started process and the file with everything it says.

    There are two forms of each wait: `until…` lets the event loop go on, `wait_until…` blocks the thread.
    """

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
        """Waits until its output matches `pattern`; gives the first group. RigError if it never does."""
        await self.until(lambda: re.search(pattern, self.said) is not None, f"say /{pattern}/")
        return self.found(pattern)

    def wait_until_says(self, pattern: str) -> str:
        """As `until_says`."""
        self.wait_until(lambda: re.search(pattern, self.said) is not None, f"say /{pattern}/")
        return self.found(pattern)

    def found(self, pattern: str) -> str:
        """The first group of a pattern that its output matches already."""
        match = re.search(pattern, self.said)
        assert match is not None, f"{self.name} has not said /{pattern}/"
        return match[1]

    async def until_answers(self, port: int) -> None:
        """Waits until something accepts connections on the loopback `port`. RigError if nothing does."""
        await self.until(lambda: accepts(port), f"answer on port {port}")

    async def until(self, is_ready: Callable[[], bool], what: str) -> None:
        """Waits until a condition holds. RigError if it does not in time, or the process ends before."""
        for pause_s in self._looks(is_ready, what):
            await asyncio.sleep(pause_s)

    def wait_until(self, is_ready: Callable[[], bool], what: str) -> None:
        """As `until`."""
        for pause_s in self._looks(is_ready, what):
            time.sleep(pause_s)

    async def ended(self) -> int:
        """Waits until it has ended, for whatever reason. Gives its status."""
        while (status := self.process.poll()) is None:  # noqa: ASYNC110 - a process tells nobody when it ends
            await asyncio.sleep(POLL_S)
        return status

    async def stop(self) -> str | None:
        """Asks the process to end and waits; after STOP_TIMEOUT_S it is killed. Gives what went wrong."""
        if self.process.poll() is not None:
            return f"the {self.name} had ended with status {self.process.returncode}"
        self.process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                status = await self.ended()
        except TimeoutError:
            self.kill()
            return f"the {self.name} did not stop within {STOP_TIMEOUT_S:.0f} s and was killed"
        if status not in {0, -signal.SIGTERM}:
            return f"the {self.name} ended with status {status} when asked to stop"
        return None

    def kill(self) -> None:
        """Kill -9, if it runs; when this returns it has ended."""
        self.process.kill()
        self.process.wait()

    def _looks(self, is_ready: Callable[[], bool], what: str) -> Iterator[float]:
        """Looks whether a condition holds until it does; gives how long to wait before the next look."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            # Asked first: what it said just before it ended counts.
            status = self.process.poll()
            if is_ready():
                return
            if status is not None:
                raise self._failed(f"the {self.name} ended with status {status}; it should {what}")
            if time.monotonic() > deadline:
                raise self._failed(f"the {self.name} did not {what} within {READY_TIMEOUT_S:.0f} s")
            yield POLL_S

    def _failed(self, message: str) -> RigError:
        error = RigError(message)
        error.add_note(f"The {self.name} said:\n{self.said}")
        return error


def start(  # noqa: PLR0913 - one parameter for each thing a process has from its parent
    name: str,
    command: Sequence[str | Path],
    log: Path,
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    user: pwd.struct_passwd | None = None,
    channel: int | None = None,
    own_session: bool = False,
    keep_log: bool = False,
) -> Running:
    """Starts a program in a folder; what it says goes to a log file. RigError if it can't be executed.

    environment: all of it; None: that of this process. user: whose process it is; None: that of who started
    this one. channel: a descriptor it inherits. own_session: a Ctrl-C in the terminal does not reach it: who
    started it ends it. keep_log: what an earlier process said stays in the file.
    """
    try:
        with log.open("ab" if keep_log else "wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=os.environ if environment is None else environment,
                user=user.pw_uid if user else None,
                group=user.pw_gid if user else None,
                extra_groups=[] if user else None,
                pass_fds=() if channel is None else (channel,),
                start_new_session=own_session,
            )
    except OSError as error:
        raise RigError(f"the {name} can't be started: {error}") from error
    return Running(name, process, log)


class Processes:
    """Programs that are started in order and stopped in reverse; their logs are in `folder`."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self.running: list[Running] = []

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> Running:
        """Starts a program, with additions to the common environment. RigError if it can't be executed."""
        running = start(
            name,
            command,
            self._folder / f"{name}.log",
            folder=PROJECT,
            environment={**self._environment, **(environment or {})},
            # So that the parts are stopped in order.
            own_session=True,
        )
        self.running.append(running)
        return running

    async def run(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Runs a program to its end. RigError if it fails."""
        running = self.start(name, command, environment)
        await running.until(lambda: running.process.poll() == 0, "end with status 0")
        self.running.remove(running)

    async def stop(self) -> list[str]:
        """Stops everything, last started first. Gives what went wrong, in words."""
        problems = [await running.stop() for running in reversed(self.running)]
        return [problem for problem in problems if problem is not None]
