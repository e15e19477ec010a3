"""A part of the set-up: a program that is started again whenever it ends, as a service manager does."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from rig.errors import RigError
from rig.processes import STOP_TIMEOUT_S, Running, start

LAUNCHER = str(Path(__file__).with_name("confined.py"))
# Between attempts of a program that can't start, for a database or a disk that is not there.
TRY_AGAIN_S = 0.1


class Part:
    """Keeps one program running. Its subclasses say which, and when it is ready.

    up: set while it serves. has_served: since its last start. problems: what it did that it should not have,
    in words.
    """

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.up = asyncio.Event()
        self.problems: list[str] = []
        self.has_served = False
        self._folder = folder
        self._environment = environment
        self._all: list[Running] = []
        self._running: Running | None = None
        self._next: Running | None = None
        self._expected = False
        self._back_after_s = 0.0
        self._retired = False
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Keep it running until `retire`."""
        self._retired = False
        self._over.clear()
        while not self._retired:
            self._running, self._next = self._next or self._start(), None
            self._expected, self._back_after_s = False, 0.0
            self.has_served = False
            try:
                await self._until_ready(self._running)
                self._serves(self._running)
                self.has_served = True
                self.up.set()
            except RigError as error:
                if self._running.process.poll() is None:
                    self.problems.append(str(error))
                    self._running.process.kill()
            status = await self._running.ended()
            self.up.clear()
            if not self._expected and not self._may_end():
                self.problems.append(
                    f"{self._running.name} ended by itself with status {status}: "
                    + " | ".join(self._running.last_lines(5))
                )
            if self._next is None and not self._retired:
                await asyncio.sleep(self._back_after_s if self._expected else TRY_AGAIN_S)
        self._over.set()

    def kill(self, back_after_s: float = 0.0) -> None:
        """Kill -9, if it runs; it is started again after a while."""
        self.expect_end(back_after_s)
        if self._running and self._running.process.poll() is None:
            self._running.process.kill()

    def expect_end(self, back_after_s: float) -> None:
        """It may be killed from now on, and is then started again after a while."""
        self._expected, self._back_after_s = True, back_after_s

    async def stop(self, back_after_s: float = 0.0) -> None:
        """SIGTERM, once it serves; it must end with status 0, unless it is killed meanwhile."""
        await self.up.wait()
        running = self._running
        assert running
        self.up.clear()
        self.expect_end(back_after_s)
        await self._terminate(running)

    async def retire(self) -> None:
        """As `stop`; it is not started again. When this returns, `run` is over."""
        await self.up.wait()
        self._retired = True
        await self.stop()
        await self._over.wait()

    def abandon(self) -> None:
        """Kill -9 whatever runs; it is not started again."""
        self._retired = True
        self.expect_end(0)
        for running in self._all:
            running.kill()

    async def _terminate(self, running: Running) -> None:
        running.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                status = await running.ended()
        except TimeoutError:
            self.problems.append(f"{running.name} did not end within {STOP_TIMEOUT_S:g} s of its SIGTERM")
            running.process.kill()
            return
        if status not in {0, -signal.SIGKILL}:
            self.problems.append(f"{running.name} ended with status {status} after its SIGTERM")

    def _start(self) -> Running:
        channel = self._channel()
        name = f"{self.name}.{len(self._all) + 1}"
        running = start(
            name,
            [
                sys.executable,
                "-I",
                "-S",
                LAUNCHER,
                "-" if channel is None else str(channel),
                *self._command(),
            ],
            self._folder / f"{name}.log",
            folder=self._folder,
            environment={**self._environment, **self._more_environment()},
            channel=channel,
            # So that the simulator stops its parts.
            own_session=True,
        )
        self._started()
        self._all.append(running)
        return running

    def _channel(self) -> int | None:
        """The socket by which its disk calls are watched; None: they are not."""
        return None

    def _started(self) -> None:
        """It has been started, and has the channel."""

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _more_environment(self) -> Mapping[str, str]:
        return {}

    async def _until_ready(self, running: Running) -> None:
        """Wait until it serves. RigError if it ends before."""
        raise NotImplementedError

    def _serves(self, running: Running) -> None:
        """It serves now."""

    def _may_end(self) -> bool:
        """Whether something was wrong for which it may end by itself."""
        return False


@asynccontextmanager
async def kept_running(*parts: Part) -> AsyncIterator[None]:
    """Parts are started, and started again, as long as the context lasts."""
    async with asyncio.TaskGroup() as keeping:
        for part in parts:
            keeping.create_task(part.run())
        try:
            yield
        finally:
            for part in parts:
                part.abandon()
