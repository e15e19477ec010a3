"""The network between the addons and the rater: a line of TCP that can be cut, held up and slowed down."""

import asyncio
from contextlib import suppress

_PIECE_BYTES = 4096


class Network:
    """Passes bytes from a port of its own to another on loopback."""

    def __init__(self) -> None:
        self._target = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._delay_s = 0.0
        self._left_to_pass: int | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def start(self, target: int) -> int:
        """Pass bytes on to a port. Gives the port to connect to."""
        self._target = target
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Cut everything for good."""
        if self._server:
            self._server.close()
        self._abort_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Break all connections and refuse new ones until `heal`."""
        self._refusing = True
        self._abort_all()

    def reset(self) -> None:
        """Break all connections; new ones are taken."""
        self._abort_all()

    def stall(self) -> None:
        """Pass nothing until `heal`; connections stay."""
        self._flowing.clear()

    def delay(self, delay_s: float) -> None:
        """Hold every piece back for so long until `heal`."""
        self._delay_s = delay_s

    def cut_after(self, length: int) -> None:
        """Break the connections once so many more bytes have passed towards the target."""
        self._left_to_pass = length

    def heal(self) -> None:
        """Pass everything again, at once."""
        self._refusing, self._delay_s, self._left_to_pass = False, 0.0, None
        self._flowing.set()

    def _abort_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connect(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._refusing:
            to_client.transport.abort()
            return
        try:
            target, to_target = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            to_client.transport.abort()
            return
        both = {to_client, to_target}
        self._writers |= both
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._pass(client, to_target, towards_target=True))
                ways.create_task(self._pass(target, to_client, towards_target=False))
        finally:
            self._writers -= both
            for writer in both:
                writer.transport.abort()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, towards_target: bool
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                await asyncio.sleep(self._delay_s)
                await self._flowing.wait()
                if towards_target and self._left_to_pass is not None:
                    self._left_to_pass -= len(piece)
                    if self._left_to_pass < 0:
                        writer.write(piece[: self._left_to_pass])
                        self._left_to_pass = None
                        await writer.drain()
                        self._abort_all()
                        return
                writer.write(piece)
                await writer.drain()
            writer.write_eof()
