"""How much is read from a connection at once."""

from asyncio import selector_events

READ_BYTES_MAX = 64 * 1024
"""mitmproxy takes no more at a time, so that what comes on one connection does not hold up all others."""


def install() -> None:
    """Have asyncio read no more at once, for as long as this process lives.

    It would make room for 256 KiB at every read. So much the C library takes from the system and gives back
    each time, which can take longer than to read a chunk of a stream.
    """
    selector_events._SelectorSocketTransport.max_size = READ_BYTES_MAX  # type: ignore[attr-defined]
