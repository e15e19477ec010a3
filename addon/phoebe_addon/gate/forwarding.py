"""Which headers of a request go on to the engine.

Three kinds stay here: who pays, the edge's secret, and what HTTP means for one connection only (RFC 9110,
7.6.1). The proxy has the whole body and states its length itself. HTTP/2 needs no length, but in HTTP/1 an
engine would take a body without one for the next request. Servers that turn headers into variables (RFC 3875,
4.1.18) read `_` as `-`, so both spellings of a name count as the same header.
"""

from collections.abc import Iterable

type Fields = tuple[tuple[bytes, bytes], ...]
"""Headers as they stand in a request: names and values."""

# Trailers are dropped, so none may be announced or asked for. The proxy's own credentials end here.
_OF_ONE_CONNECTION = frozenset(
    (b"keep-alive", b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"upgrade")
)
_FRAMING = frozenset((b"content-length", b"transfer-encoding"))
# A client may not have these dropped by naming them in `Connection`. They say how the body is to be read, or
# are set by the proxy, so the engine must see them as the gate saw them.
_NEVER_OF_ONE_CONNECTION = frozenset(
    (b"accept-encoding", b"content-encoding", b"content-type", b"host", b"x-request-id")
)
_WITHOUT_BODY = ("GET", "HEAD")


class Forwarding:
    """What goes on of headers.

    identity: the names of the identity headers. secret: the name of the edge's. forward_identity: whether
    the engine is told who pays.
    """

    def __init__(self, identity: Iterable[str], secret: str, *, forward_identity: bool) -> None:
        names = frozenset(name.lower().encode() for name in identity)
        self._secret = _spelled(secret.lower().encode())
        self._kept = names if forward_identity else frozenset[bytes]()
        self._dropped = _OF_ONE_CONNECTION | _FRAMING | {_spelled(name) for name in names}

    def without_secret(self, fields: Fields) -> Fields:
        """Return headers without the edge's secret."""
        return tuple(field for field in fields if _spelled(field[0].lower()) != self._secret)

    def to_engine(self, fields: Fields, method: str, body_bytes: int) -> Fields:
        """Return the headers of a request as an engine gets them. body_bytes: how long its body is."""
        options = _connection_options(fields)
        dropped = self._dropped | (options - _NEVER_OF_ONE_CONNECTION) | {self._secret, b"connection"}
        kept = tuple(
            field
            for field in fields
            if (name := field[0].lower()) in self._kept or _spelled(name) not in dropped
        )
        # mitmproxy reads from this whether the client keeps its connection open.
        stays = next((option for option in (b"close", b"keep-alive") if option in options), None)
        if stays:
            kept += ((b"Connection", stays),)
        if body_bytes or method not in _WITHOUT_BODY:
            kept += ((b"Content-Length", b"%d" % body_bytes),)
        return kept


def _spelled(name: bytes) -> bytes:
    return name.replace(b"_", b"-")


def _connection_options(fields: Fields) -> frozenset[bytes]:
    """Return what `Connection` says: whether the client stays, and which headers are for one connection."""
    values = (value for name, value in fields if name.lower() == b"connection")
    return frozenset(option.strip().lower() for value in values for option in value.split(b","))
