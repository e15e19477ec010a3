"""Bodies of forms (multipart/form-data, RFC 7578), as the audio and image APIs take them.

Read with the parser that Starlette uses, and so engines written in Python: what it finds is what they find.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from phoebe_addon.formats.steps import Steps

# What one step reads. The parser goes through some bodies byte by byte.
_STEP_BYTES = 16 * 1024
# A form of these APIs has about ten fields; files are not kept.
_PARTS_MAX = 1000
_FIELD_BYTES_MAX = 64 * 1024
# What RFC 2046 allows (5.1.1) but for the blank: with it, a form could begin like the line of a request.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=?-]+")


class FormError(ValueError):
    """The body is not a form."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form. fields: the values of every field that is not a file, by name, in their order.

    end: where the last boundary stands.
    """

    boundary: bytes
    fields: Mapping[str, tuple[str, ...]]
    end: int


def read_form(content: bytes, content_type: str) -> Steps[Form]:
    """Read a form, in steps. content_type: the value of the header. Raises FormError."""
    if not content_type.isascii():
        raise FormError("its Content-Type is not ASCII")
    media_type, parameters = parse_options_header(content_type)
    boundary = parameters.get(b"boundary")
    if media_type != b"multipart/form-data" or not boundary:
        raise FormError("its Content-Type is not multipart/form-data with a boundary")
    if not _BOUNDARY.fullmatch(boundary):
        raise FormError("its boundary has characters that a boundary can't have")
    if parameters.get(b"charset", b"utf-8").lower() not in {b"utf-8", b"utf8"}:
        # Engines decode the names of the fields by it, and would find others there than are found here.
        raise FormError("its charset is not UTF-8")
    collector = _Collector()
    try:
        parser = MultipartParser(boundary, collector.callbacks())  # type: ignore[arg-type]
        for start in range(0, len(content), _STEP_BYTES):
            if start:
                yield
            collector.written = start
            parser.write(content[start : start + _STEP_BYTES])
        parser.finalize()
    except FormParserError as error:
        raise FormError(str(error)[:200]) from None
    if not collector.ended:
        raise FormError("its last boundary is missing")
    fields = {name: tuple(values) for name, values in collector.fields.items()}
    # Not before what the parser took for content: a value may begin like the last boundary.
    last = b"--%s--" % boundary
    end = content.find(last, collector.position)
    if content[end + len(last) :].strip(b"\r\n"):
        # A server that stops reading at the last boundary would find its next request there.
        raise FormError("something stands behind its last boundary")
    return Form(boundary, fields, end)


def with_fields(content: bytes, form: Form, fields: Mapping[str, str]) -> bytes:
    """Add fields behind all others: of several, engines take the last. No other byte changes."""
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (form.boundary, name.encode(), value.encode())
        for name, value in fields.items()
    ]
    return b"".join((content[: form.end], *parts, content[form.end :]))


@dataclass(slots=True)
class _Collector:
    """Takes what the parser reports, part by part.

    position: where the last value or header ends. written: bytes that the parser got before the present ones.
    """

    fields: dict[str, list[str]] = field(default_factory=dict)
    ended: bool = False
    position: int = 0
    written: int = 0
    _parts: int = 0
    _header_name: bytearray = field(default_factory=bytearray)
    _header_value: bytearray = field(default_factory=bytearray)
    _disposition: bytes = b""
    _value: bytearray | None = None  # None: a file

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._add_header_name,
            "on_header_value": self._add_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > _PARTS_MAX:
            raise FormError(f"it has more than {_PARTS_MAX} parts")
        self._disposition = b""

    def _add_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _add_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self.position = self.written + end

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        self._value = None if b"filename" in parameters else bytearray()

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self.position = self.written + end
        if self._value is None:
            return
        self._value += data[start:end]
        if len(self._value) > _FIELD_BYTES_MAX:
            raise FormError(f"a field is longer than {_FIELD_BYTES_MAX} bytes")

    def _end_part(self) -> None:
        if self._value is None:
            return
        _, parameters = parse_options_header(self._disposition)
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        self.fields.setdefault(name, []).append(self._value.decode("utf-8", "replace"))

    def _end(self) -> None:
        self.ended = True
