"""Which form a body has, by its first bytes: an event stream, JSON lines or a JSON document.

Proxies label event streams `application/json` and documents `text/event-stream`. The first bytes are no one's
choice but the engine's: a JSON document begins with a bracket, an event stream with one of four names or a
colon. Blank lines, blanks before a bracket and a byte order mark may stand before either.
"""

import re
from enum import StrEnum

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
_FIELDS = (b"data", b"event", b"id", b"retry")
_EVENT_LINE = re.compile(rb"(?:data|event|id|retry)?:|(?:data|event|id|retry)[\r\n]")


class Form(StrEnum):
    """The form of a body, in words."""

    EVENTS = "an event stream"
    LINES = "JSON lines"
    DOCUMENT = "a JSON document"


_MEDIA_TYPES = {
    "text/event-stream": Form.EVENTS,
    "application/x-ndjson": Form.LINES,
    "application/ndjson": Form.LINES,
    "application/jsonl": Form.LINES,
    "application/json": Form.DOCUMENT,
}


def form_by_label(media_type: str) -> Form | None:
    """Return the form that a media type stands for; None: none of these. media_type: in lower case."""
    return _MEDIA_TYPES.get(media_type) or (Form.DOCUMENT if media_type.endswith("+json") else None)


def blank_bytes(start: bytes) -> int:
    """Count the bytes at the start of a body that are a byte order mark and blank lines, and tell nothing."""
    rest = start.removeprefix(_BOM)
    text = rest.lstrip(_SPACE)
    lines = rest[: len(rest) - len(text)]
    last_line = max(lines.rfind(b"\n"), lines.rfind(b"\r")) + 1
    return len(start) - len(rest) + last_line


class FirstBytes(StrEnum):
    """What the first bytes of a body, behind blank ones, tell."""

    EVENTS = "events"
    JSON = "JSON"
    OTHER = "something else"
    TOO_FEW = "nothing yet"


def read_first_bytes(start: bytes) -> FirstBytes:
    """Tell events from JSON. start: the first bytes of a body, without those that are blank."""
    text = start.lstrip(b" \t")
    if text[:1] in {b"{", b"["}:
        return FirstBytes.JSON
    if not text or _BOM.startswith(start):
        return FirstBytes.TOO_FEW
    if len(text) < len(start):
        return FirstBytes.OTHER
    if _EVENT_LINE.match(text):
        return FirstBytes.EVENTS
    return FirstBytes.TOO_FEW if any(field.startswith(text) for field in _FIELDS) else FirstBytes.OTHER
