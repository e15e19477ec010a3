"""Listening in a worker: on sockets that `phoebe proxy` has bound, and only while it says so.

Each worker has a socket of its own on the shared address (SO_REUSEPORT), and the kernel spreads connections
over them. `phoebe proxy` keeps all of them open. So what waits in the queue of a socket is not reset when its
worker stops listening, but is taken by whoever listens on the socket next.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from mitmproxy.addons import proxyserver
from mitmproxy.proxy import mode_servers

type Address = tuple[str, int]
"""Host and port as mitmproxy is told to listen. Host: empty: everywhere. Port 0: any."""

# mitmproxy takes asyncio's 100, which is little for a burst of clients that all connect at once.
_QUEUE_MAX = 1024
_LOOK_EVERY_S = 0.01


class HeldServer:
    """What mitmproxy has in the place of an `asyncio.Server`: it listens on what it is given, if anything."""

    def __init__(self, serve: Callable[..., Awaitable[None]]) -> None:
        self._serve = serve
        self._servers: dict[int, list[asyncio.Server]] = {}

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What is listened on now."""
        return tuple(
            each for servers in self._servers.values() for server in servers for each in server.sockets
        )

    async def take(self, slot: int, sockets: Sequence[socket.socket]) -> None:
        """Listen on the sockets of a slot. They are closed when it is left."""
        self.leave(slot)
        self._servers[slot] = [
            await asyncio.start_server(self._serve, sock=each, backlog=_QUEUE_MAX) for each in sockets
        ]

    def leave(self, slot: int) -> None:
        """Listen no more on the sockets of a slot."""
        for server in self._servers.pop(slot, ()):
            server.close()

    def close(self) -> None:
        """Listen no more."""
        for slot in list(self._servers):
            self.leave(slot)


class GivenSockets:
    """Stands in for mitmproxy's own listening.

    ask: called before an address is listened on; raises OSError if it can't be had.
    """

    def __init__(self, ask: Callable[[Address], Awaitable[None]]) -> None:
        self._ask = ask
        self._servers: dict[Address, HeldServer] = {}

    def install(self) -> None:
        """Stand in, for as long as the process lives."""
        given = self

        async def listen(instance: Any, host: str, port: int) -> list[HeldServer]:
            return [await given.listen((host, port), instance.handle_stream)]

        mode_servers.AsyncioServerInstance.listen = listen  # type: ignore[method-assign, assignment]

    async def listen(self, address: Address, serve: Callable[..., Awaitable[None]]) -> HeldServer:
        """Make what will serve an address. Raises OSError if it can't be had."""
        await self._ask(address)
        self._servers[address] = HeldServer(serve)
        return self._servers[address]

    async def take(self, address: Address, slot: int, sockets: Sequence[socket.socket]) -> None:
        """Listen also on the sockets of a slot."""
        server = self._servers.get(address)
        if server:
            await server.take(slot, sockets)
        else:
            for each in sockets:
                each.close()

    def leave(self, slot: int) -> None:
        """Listen no more on the sockets of a slot, on any address."""
        for server in self._servers.values():
            server.leave(slot)

    def leave_all(self) -> None:
        """Listen no more."""
        for server in self._servers.values():
            server.close()


async def until_set_up(servers: proxyserver.Servers, modes: Sequence[str]) -> bool:
    """Wait until mitmproxy has set up servers for these modes. Returns False if one can't be."""
    while True:
        # While it changes them there is a moment without any.
        instances = list(servers)
        if any(each.last_exception for each in instances):
            return False
        if [each.mode.full_spec for each in instances] == list(modes) and all(
            each.is_running for each in instances
        ):
            return True
        await asyncio.sleep(_LOOK_EVERY_S)


def socket_of(descriptor: int) -> socket.socket:
    """Make a socket object of an open file."""
    made = socket.socket(fileno=descriptor)
    with suppress(OSError):
        made.setblocking(False)
    return made
