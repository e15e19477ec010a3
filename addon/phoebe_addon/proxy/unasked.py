"""What an engine sends on a connection on which it was asked nothing.

HTTP/1 tells answers apart by their order alone. An engine may take a part of one request for another request.
Then it sends one answer too many, which the next exchange on that connection would get. So bytes that come
unasked are given to nobody: the connection is closed, and the addon is told.
"""

import re
from dataclasses import dataclass

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands

from phoebe_runtime.counts import counted

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r\n]")


@dataclass(frozen=True, slots=True)
class Unasked:
    """How many bytes came from where. status: of an answer in HTTP/1, if they look like one.

    Some servers say 408 before they close a connection that has been idle.
    """

    engine: str
    byte_count: int
    status: int | None = None

    def __str__(self) -> str:
        """Say what happened, for the log."""
        looks = f" (like an answer with the status {self.status})" if self.status else ""
        return (
            f"the engine {self.engine} sent {counted(self.byte_count, 'byte')} that nobody asked for{looks}: "
            "no client was given any of it, and the connection was closed. Such an engine takes one request "
            "for two, or is broken"
        )


@dataclass
class EngineSpokeUnaskedHook(commands.StartHook):
    """The addon's hook `engine_spoke_unasked`. Nothing waits for it."""

    data: Unasked
    blocking = False


def engine_spoke_unasked(connection: Connection, data: bytes) -> EngineSpokeUnaskedHook:
    """Make the hook that tells the addon of bytes; they themselves may be a customer's, and stay untold."""
    match = _STATUS_LINE.match(data)
    status = int(match[1]) if match else None
    return EngineSpokeUnaskedHook(Unasked(_name(connection), len(data), status))


def _name(connection: Connection) -> str:
    address = getattr(connection, "address", None) or connection.peername or ("?", 0)
    return f"{address[0]}:{address[1]}"
