"""The channel between `phoebe proxy` and one of its workers: a pair of connected sockets.

A message is a line of JSON, one object, with open files beside it where it says so. The end of the channel is
how each side hears that the other is gone, however it went.
"""

import array
import asyncio
import json
import socket
from collections.abc import Sequence
from typing import Any

type Message = dict[str, Any]

_READ_BYTES = 256 * 1024
# Of one message: the sockets of an address, one for IPv4 and one for IPv6. More are never sent.
_FILES_MAX = 16
_FILES = "files"


class Channel:
    """One end. Only one task may receive."""

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._end = end
        self._received = bytearray()
        self._files: list[int] = []
        self._sending = asyncio.Lock()

    async def send(self, message: Message, files: Sequence[int] = ()) -> bool:
        """Send a message, with duplicates of open files. Returns whether the other side was there."""
        line = json.dumps({**message, _FILES: len(files)} if files else message).encode() + b"\n"
        loop = asyncio.get_running_loop()
        try:
            async with self._sending:
                if files:
                    # The first byte takes them along, whatever becomes of the rest.
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
                    sent = await self._sendmsg(line[:1], rights)
                    line = line[sent:]
                await loop.sock_sendall(self._end, line)
        except OSError:
            return False
        return True

    async def receive(self) -> tuple[Message, list[int]] | None:
        """Wait for the next message and its open files, which are the caller's to close. None: the end."""
        while (length := self._received.find(b"\n") + 1) == 0:
            await _until_readable(self._end)
            try:
                data, files, _, _ = socket.recv_fds(self._end, _READ_BYTES, _FILES_MAX)
            except BlockingIOError:
                continue
            except OSError:
                return None
            self._files += files
            if not data:
                return None
            self._received += data
        message: Message = json.loads(self._received[:length])
        del self._received[:length]
        count = message.pop(_FILES, 0)
        files, self._files = self._files[:count], self._files[count:]
        return message, files

    def close(self) -> None:
        """Close this end. The other side hears of it."""
        self._end.close()

    async def _sendmsg(self, data: bytes, rights: list[tuple[int, int, array.array[int]]]) -> int:
        while True:
            try:
                return self._end.sendmsg([data], rights)
            except BlockingIOError:
                await _until_writable(self._end)


async def _until_readable(end: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(end, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(end)


async def _until_writable(end: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(end, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_writer(end)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
