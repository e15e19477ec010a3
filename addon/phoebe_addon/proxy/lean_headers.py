"""Headers looked up by comparing bytes: each name is folded once, and each value decoded if it is wanted.

mitmproxy makes a string of every value and calls three functions for every header, at each of the thirty
look-ups of a request.
"""

from collections.abc import Iterable
from typing import Any

from mitmproxy import http

type _Text = str | bytes


def begin_headers(new: http.Headers, fields: Iterable[tuple[bytes, bytes]] = (), **headers: _Text) -> None:
    """Do as mitmproxy's own start of headers does. Raises TypeError for a field that is not of bytes."""
    new.fields = tuple(map(tuple, fields))  # type: ignore[arg-type]
    for name, value in new.fields:
        if not (isinstance(name, bytes) and isinstance(value, bytes)):
            raise TypeError("Header fields must be bytes.")
    if headers:
        new.update({_bytes(name).replace(b"_", b"-"): _bytes(value) for name, value in headers.items()})


def get_all(headers: http.Headers, name: _Text) -> list[str]:
    """Give the values of all headers of a name."""
    wanted = _bytes(name).lower()
    return [
        value.decode("utf-8", "surrogateescape") for key, value in headers.fields if key.lower() == wanted
    ]


def set_all(headers: http.Headers, name: _Text, values: Iterable[_Text]) -> None:
    """Put values in the place of those of a name, and what is left of them behind all headers."""
    key = _bytes(name)
    left = [_bytes(value) for value in values]  # in mitmproxy's order: what is wrong first is said
    wanted = key.lower()
    left.reverse()
    fields: list[tuple[bytes, bytes]] = []
    for field in headers.fields:
        if field[0].lower() != wanted:
            fields.append(field)
        elif left:
            fields.append((field[0], left.pop()))
    fields += [(key, value) for value in reversed(left)]
    headers.fields = tuple(fields)


def _bytes(text: Any) -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode("utf-8", "surrogateescape")
    return _always_bytes(text)  # mitmproxy says what is wrong with it


_always_bytes = http._always_bytes
