"""One worker as `phoebe proxy` sees it: a process, and a channel to it."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from enum import Enum, auto

from phoebe_addon.channel import Channel, Message
from phoebe_addon.workers.addresses import Addresses, why
from phoebe_addon.workers.merged_metrics import Snapshot
from phoebe_runtime.probes import Condition

# -P: what lies in the working folder is not imported, as with the command `mitmdump`.
PROGRAM = (sys.executable, "-P", "-m", "phoebe_addon.workers.worker_main")
# Of a worker that hangs there is what it said before.
REPORT_TIMEOUT_S = 2.0
# These belong to `phoebe proxy`, and what they say would be done by each worker again.
OWN_VARIABLES = ("PHOEBE_METRICS",)
"""Variables that workers do not get."""


class Stage(Enum):
    """How far a worker has come."""

    STARTING = auto()
    SERVING = auto()
    LEAVING = auto()
    """It was told to stop, or its successor serves."""
    ENDED = auto()


class WorkerProcess:
    """A worker. program: what it runs, with its number and more behind it.

    slots: the sockets that it listens on. snapshot, conditions: what it last said that it has counted, and
    how things stand with it.
    stage: how far it has come. ended_while: how far it had come when it ended. status: of the process, once
    it has ended; below 0: the signal that ended it; None: it could not be started.
    """

    def __init__(
        self,
        number: int,
        addresses: Addresses,
        on_change: Callable[[], None],
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.number = number
        self._program = program
        self.slots: set[int] = set()
        self.snapshot: Snapshot = []
        self.conditions: tuple[Condition, ...] = ()
        self.stage = Stage.STARTING
        self.ended_while = Stage.STARTING
        self.status: int | None = None
        self._told: signal.Signals | None = None
        self._addresses = addresses
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._channel: Channel | None = None
        self._reported = asyncio.Event()
        self._taken = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Of the process, if it was started."""
        return self._process.pid if self._process else None

    async def run(self, count: int, arguments: Sequence[str]) -> None:
        """Start the process, and hear it until it has ended. Raises OSError if it can't be started."""
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        try:
            with theirs:
                self._process = await self._start(count, arguments, theirs)
            if self._told:
                self.signal(self._told)
            while received := await self._channel.receive():
                await self._note(received[0])
            self.status = await self._process.wait()
        finally:
            self.ended_while, self.stage = self.stage, Stage.ENDED
            self._channel.close()
            self._reported.set()
            self._taken.set()
            self._on_change()

    def how_it_ended(self) -> str:
        """Say what became of the process, as the end of a sentence."""
        if self.status is None:
            return "could not be started"
        if self.status >= 0:
            return f"ended with status {self.status}"
        try:
            return f"was ended by {signal.Signals(-self.status).name}"
        except ValueError:
            return f"was ended by signal {-self.status}"

    async def _start(
        self, count: int, arguments: Sequence[str], theirs: socket.socket
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._program,
            *(str(self.number), str(count), str(theirs.fileno()), *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            env={name: value for name, value in os.environ.items() if name not in OWN_VARIABLES},
            pass_fds=(theirs.fileno(),),
            # Ctrl-C in a terminal is for `phoebe proxy`, which tells the workers.
            start_new_session=True,
        )

    async def take(self, slot: int) -> None:
        """Let it listen on the sockets of a slot, and wait until it does."""
        assert self._channel
        self.slots.add(slot)
        for address, files in self._addresses.sockets(slot):
            self._taken.clear()
            if await self._channel.send({"take": slot, "address": address}, files):
                await self._taken.wait()

    async def leave(self, slot: int) -> None:
        """Let it listen no more on the sockets of a slot."""
        assert self._channel
        self.slots.discard(slot)
        await self._channel.send({"leave": slot})

    async def retire(self, timeout_s: float) -> None:
        """Let it stop once its clients have gone over to its successor, or after so many seconds."""
        assert self._channel
        self.stage = Stage.LEAVING
        self.slots.clear()
        await self._channel.send({"retire": timeout_s})

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it lives, or as soon as it does. It is not started again."""
        self._told = number
        if self.stage is not Stage.ENDED:
            self.stage = Stage.LEAVING
        if self._process and self.stage is Stage.LEAVING:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def ask_report(self) -> None:
        """Let it say what it has counted, and how things stand. One that does not answer is left as it is."""
        if self._channel is None or self.stage in {Stage.STARTING, Stage.ENDED}:
            return
        self._reported.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_TIMEOUT_S):
                if await self._channel.send({"report": True}):
                    await self._reported.wait()

    async def _note(self, message: Message) -> None:
        assert self._channel
        match message:
            case {"listen": [str(host), int(port)]}:
                await self._channel.send(self._bind((host, port)))
            case {"ready": _}:
                if self.stage is Stage.STARTING:
                    self.stage = Stage.SERVING
                    self._on_change()
                else:
                    for slot in self.slots:  # mitmproxy has loaded its script again
                        for address, files in self._addresses.sockets(slot):
                            await self._channel.send({"take": slot, "address": address}, files)
            case {"taken": _}:
                self._taken.set()
            case {"metrics": list(snapshot), "conditions": list(conditions)}:
                self.snapshot = snapshot
                self.conditions = tuple(Condition(*each) for each in conditions)
                self._reported.set()

    def _bind(self, address: tuple[str, int]) -> Message:
        try:
            self._addresses.bind(address)
        except OSError as error:
            number, words = why(error)
            return {"errno": number, "message": words}
        return {"bound": address}
