"""The addresses that workers listen on, bound once for all of them: a socket for each slot.

The sockets of an address share it (SO_REUSEPORT), and the kernel spreads new connections evenly over those
that are listened on. They stay open here as long as `phoebe proxy` runs: what waits in the queue of one is
not lost with the worker that listened on it.
"""

import errno
import os
import socket
from contextlib import ExitStack

type Address = tuple[str, int]
"""Host and port, as mitmdump was told to listen. Host: empty: everywhere. Port 0: any."""

# As the workers have it, who listen on them next.
_QUEUE_MAX = 1024
_NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


class Addresses:
    """What is bound. slots: how many sockets each address has for each of its families."""

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._bound: dict[Address, list[list[socket.socket]]] = {}

    def bind(self, address: Address) -> None:
        """Bind an address, unless it is. Raises OSError."""
        if address not in self._bound:
            self._bound[address] = _bind(*address, self._slots)

    def listen(self) -> None:
        """Let connections queue at all sockets, from the same moment on.

        If one were listened on before the others, clients that wait for the port would all end up there.
        """
        for slots in self._bound.values():
            for sockets in slots:
                for each in sockets:
                    each.listen(_QUEUE_MAX)

    def sockets(self, slot: int) -> list[tuple[Address, list[int]]]:
        """Return the open files of a slot, from 1 on, for each address: one, or one for each family."""
        return [
            (address, [each.fileno() for each in slots[slot - 1]]) for address, slots in self._bound.items()
        ]

    def shown(self) -> str:
        """Name what is bound."""
        names = [each.getsockname()[:2] for slots in self._bound.values() for each in slots[0]]
        return ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in names)

    def close(self) -> None:
        """Give everything up. Workers that listen go on doing so."""
        for slots in self._bound.values():
            for sockets in slots:
                for each in sockets:
                    each.close()


def _bind(host: str, port: int, slots: int) -> list[list[socket.socket]]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    bound: list[list[socket.socket]] = [[] for _ in range(slots)]
    with ExitStack() as unless_bound:
        for family, address in sorted({(family, address) for family, _, _, _, address in found}):
            try:
                port = _bind_family(family, (address[0], port, *address[2:]), bound, unless_bound)
            except OSError as error:
                # As asyncio does: everywhere is where there is an address.
                if host or family == socket.AF_INET or error.errno not in _NOT_HERE:
                    raise
        unless_bound.pop_all()
    return bound


def _bind_family(
    family: int, address: tuple[str | int, ...], bound: list[list[socket.socket]], made_here: ExitStack
) -> int:
    """Bind a socket for each slot. Returns the port. Raises OSError."""
    host, port, *rest = address
    # Without sharing: another program of this user that shares the port would get a part of the connections.
    with _made(family) as probe:
        probe.bind((host, port, *rest))
        port = probe.getsockname()[1]
    for sockets in bound:
        made = made_here.enter_context(_made(family))
        sockets.append(made)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port, *rest))
    return int(port)


def _made(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def why(error: OSError) -> tuple[int, str]:
    """Return number and words of an error, for the other end of a channel."""
    number = error.errno or errno.EINVAL
    return number, error.strerror or os.strerror(number)
