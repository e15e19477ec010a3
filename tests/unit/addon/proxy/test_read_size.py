"""How much is read at once: no more than mitmproxy takes, whatever waits."""

import asyncio
import socket
from asyncio import selector_events
from typing import override

import pytest

from phoebe_addon.proxy import read_size

WAITING = bytes(200 * 1024)


class Reader(asyncio.Protocol):
    """Notes how much it is given at once, and when all is there."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.has_all = asyncio.Event()

    @override
    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))
        if sum(self.sizes) == len(WAITING):
            self.has_all.set()


async def sizes_read() -> list[int]:
    """Let many bytes wait in a socket, and read them."""
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * len(WAITING))
    theirs.sendall(WAITING)
    transport, reader = await asyncio.get_running_loop().connect_accepted_socket(Reader, ours)
    async with asyncio.timeout(20):
        await reader.has_all.wait()
    transport.close()
    theirs.close()
    return reader.sizes


async def test_no_more_is_read_at_once_than_mitmproxy_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    transport = selector_events._SelectorSocketTransport  # type: ignore[attr-defined]
    monkeypatch.setattr(transport, "max_size", transport.max_size)
    assert max(await sizes_read()) > read_size.READ_BYTES_MAX
    read_size.install()

    assert max(await sizes_read()) <= read_size.READ_BYTES_MAX
