"""The type of a case: what a client asks, what an engine answers byte for byte, and what must come of it."""

import json
import re
from dataclasses import dataclass
from enum import StrEnum

from .traps import Trap

SSE = "text/event-stream"
SSE_UTF8 = "text/event-stream; charset=utf-8"
NDJSON = "application/x-ndjson"
JSON = "application/json"

DONE = b"data: [DONE]\n\n"


class Framing(StrEnum):
    """How the engine frames its body: with its length, in chunks, or by closing the connection."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form. fields: names and values; the audio or image file is put behind them."""

    fields: tuple[tuple[str, str], ...]
    file: bytes = b"RIFF\x24\x00\x00\x00WAVE\xff\r\n\x00--"

    BOUNDARY = "corpus-7f3a"

    def encode(self) -> bytes:
        """Return the body as HTTP clients write it."""
        parts = [
            f'--{self.BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in self.fields
        ]
        head = (
            f'--{self.BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        return b"".join([*parts, head.encode(), self.file, f"\r\n--{self.BOUNDARY}--\r\n".encode()])


@dataclass(frozen=True, slots=True)
class Request:
    """What the client sends.

    coding: the Content-Encoding the body is put into. forwarded: the bodies the engine may get instead, each
    as a JSON value or a form, in no coding; empty: exactly what the client sent.
    """

    path: str
    body: bytes = b""
    method: str = "POST"
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    forwarded: tuple[object, ...] = ()
    coding: str | None = None


def post(path: str, body: object, *forwarded: object) -> Request:
    """Make a request with a JSON body or a form."""
    if isinstance(body, Form):
        content_type = f"multipart/form-data; boundary={body.BOUNDARY}"
        return Request(path, body.encode(), content_type=content_type, forwarded=forwarded)
    return Request(path, json.dumps(body, ensure_ascii=False).encode(), forwarded=forwarded)


@dataclass(frozen=True, slots=True)
class Changed:
    """A part of an answer that the client gets in another form, because the proxy had asked for it."""

    sent: bytes
    passed_on: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine sends.

    parts: the body, in order. content_type: as the header says; really: what the body is, where that is
    something else. coding: the Content-Encoding the whole is put into; named_coding: what the header says,
    where that is something else. framing: None: chunked for a stream, else with its length. cut: the
    connection breaks after the last byte. nearly: it is what it is said to be only nearly.
    """

    parts: tuple[bytes | Changed, ...]
    content_type: str = JSON
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    framing: Framing | None = None
    coding: str | None = None
    cut: bool = False
    really: str = ""
    named_coding: str | None = None
    nearly: bool = False

    @property
    def sent(self) -> bytes:
        """The body as the engine made it, before any coding."""
        return b"".join(part.sent if isinstance(part, Changed) else part for part in self.parts)

    @property
    def passed_on(self) -> bytes:
        """The body the client must get, before any coding."""
        return b"".join(part.passed_on if isinstance(part, Changed) else part for part in self.parts)

    @property
    def is_stream(self) -> bool:
        """Whether the body is a stream of events or lines."""
        return (self.really or self.content_type).startswith((SSE, NDJSON))


def document(text: str | bytes, **more: object) -> Answer:
    """Make an answer of one document."""
    content = text if isinstance(text, bytes) else text.encode()
    return Answer((content,), **more)  # type: ignore[arg-type]


def events(*parts: bytes | Changed, content_type: str = SSE, **more: object) -> Answer:
    """Make an answer that is an event stream."""
    return Answer(parts, content_type, **more)  # type: ignore[arg-type]


def lines(*documents: str, **more: object) -> Answer:
    """Make an answer of JSON documents, one on each line."""
    fields: dict[str, object] = {"content_type": NDJSON, **more}
    return Answer(tuple(f"{text}\n".encode() for text in documents), **fields)  # type: ignore[arg-type]


def filled(text: str, /, **values: object) -> str:
    """Put values into the places of a text that are marked «name»."""
    return re.sub("«([a-z]+)»", lambda place: str(values[place[1]]), text)


def data(text: str) -> bytes:
    """Make an event of one `data` line."""
    return f"data: {text}\n\n".encode()


def named(event: str, text: str) -> bytes:
    """Make an event with a name and one `data` line."""
    return f"event: {event}\ndata: {text}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token counts as the event must have them; None: not reported."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    cache_write: int | None = None
    prompt_audio: int | None = None
    completion_audio: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the exchange: what a further model used. model_id: "": the answer does not say which."""

    model_id: str = ""
    tokens: Tokens | None = None
    usage_raw: str | None = None
    model_untrusted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """The event the exchange must make, with its parts.

    tokens: None: no usage that can be billed. usage_raw: None: not looked at. model_untrusted: the name is
    kept, but may be the client's own word. usage_partial: a count is missing.
    """

    api: str
    model_id: str = ""
    tokens: Tokens | None = None
    finish_reason: str = ""
    outcome: str = "completed"
    streamed: bool = False
    status: int = 200
    usage_raw: str | None = None
    model_untrusted: bool = False
    usage_partial: bool = False
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Free:
    """The exchange passes and makes no event."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The request reaches no engine and makes no event."""

    status: int


@dataclass(frozen=True, slots=True)
class Resource:
    """What the resource map says of the resource, besides its URL."""

    engine: str | None = None
    models: tuple[str, ...] = ()
    usage: str | None = None

    def entry(self, url: str) -> dict[str, object]:
        """Return its entry in the map."""
        entry: dict[str, object] = {"url": url}
        if self.engine:
            entry["engine"] = self.engine
        if self.models:
            entry["models"] = list(self.models)
        if self.usage:
            entry["usage"] = self.usage
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One exchange. name: a sentence. engine: whose answer it is. traps: what a reader must not step into."""

    name: str
    engine: str
    request: Request
    expected: Metered | Free | Refused
    answer: Answer = Answer((b"{}",))
    resource: Resource = Resource()
    traps: tuple[Trap, ...] = ()
