"""Content codings of answers whose label can be wrong: gzip named over a plain body, and the like.

Gateways decode a body and leave its label on, or put one on that does not hold. gzip and zstd begin with
bytes of their own, and text does not begin as they do; deflate and br have no such bytes, but do not read as
text for long. Requests are not read this way: what an engine makes of a wrong label is not known.
"""

import codecs
from collections.abc import Iterator

from phoebe_addon.formats.content_coding import (
    CODINGS,
    CODINGS_MAX,
    PIECE_BYTES_MAX,
    Coding,
    Decoder,
    SelfEnding,
    coding_names,
)

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZLIB_START = 0x78  # with the largest window, as every server sends it
_TEXT_BYTES = 32
_TEXT_CHARACTERS = b"\t\n\r" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))


class ToldDecoder(Decoder):
    """A decoder that trusts the first bytes more than the names. `open_told_decoder` makes one.

    label: the codings as they were named.
    """

    def __init__(self, codings: "list[_Told]") -> None:
        """codings: as of `Decoder`."""
        super().__init__(list(codings))
        self._told = codings
        self.label = self.found

    @property
    def found(self) -> str:
        """The codings as they were found so far, written as in the header."""
        return ", ".join(coding.name for coding in reversed(self._told) if coding.name != "identity")


def open_told_decoder(content_encoding: str) -> ToldDecoder | None:
    """Return a decoder for an answer whose label names these codings; its bytes may have others, or none.

    None: the label names something that is not a coding, so only the bytes can tell.
    """
    names = coding_names(content_encoding)
    if not names or len(names) > CODINGS_MAX or any(name not in CODINGS for name in names):
        return None
    return ToldDecoder([_Told(name) for name in reversed(names)])


def may_name_coding(start: bytes) -> bool:
    """Whether more bytes are needed to tell by `coding_by_magic`."""
    return any(len(start) < len(magic) and magic.startswith(start) for magic in (_GZIP_MAGIC, _ZSTD_MAGIC))


def coding_by_magic(start: bytes) -> str | None:
    """Return the coding that the first bytes of a body name, gzip or zstd; None: neither."""
    if start.startswith(_GZIP_MAGIC):
        return "gzip"
    return "zstd" if start.startswith(_ZSTD_MAGIC) else None


class _Plain(SelfEnding):
    """No coding at all."""

    complete = True

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for start in range(0, len(chunk), PIECE_BYTES_MAX):
            yield chunk[start : start + PIECE_BYTES_MAX]


class _Told:
    """A coding whose first bytes tell whether it is the one that is named. name: what it is so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._start = b""
        self._coding: Coding | None = None

    @property
    def complete(self) -> bool:
        return self._coding is not None and self._coding.complete

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._coding is None:
            self._start += chunk
            if self._start and (name := _told_coding(self.name, self._start)):
                yield from self._begin(name)
            return
        yield from self._coding.feed(chunk)

    def finish(self) -> Iterator[bytes]:
        if self._coding is None and self._start:
            # Each coding needs more bytes for its own frame, so a body that ends here has no coding.
            yield from self._begin("identity" if is_text(self._start) else self.name)

    def _begin(self, name: str) -> Iterator[bytes]:
        self.name = name
        self._coding = _Plain() if name == "identity" else CODINGS[name]()
        start, self._start = self._start, b""
        yield from self._coding.feed(start)


def _told_coding(name: str, start: bytes) -> str | None:
    """Tell which coding a body has. name: the one it is said to have. None: the bytes are too few to tell."""
    if may_name_coding(start):
        return None
    magic = coding_by_magic(start)
    if magic:
        return name if (magic, name) == ("gzip", "x-gzip") else magic
    has_magic = name in {"gzip", "x-gzip", "zstd"}
    if has_magic and start[0] == _ZLIB_START:
        return "deflate"  # no form of an answer begins so
    # deflate and br may begin with any byte. What reads as text for so long is neither.
    told_bytes = 1 if has_magic else _TEXT_BYTES
    if is_text(start[:1]) and len(start) < told_bytes:
        return None
    return "identity" if is_text(start[:told_bytes]) else name


def is_text(start: bytes) -> bool:
    """Whether the first bytes of a body are text in UTF-8, without control characters but for line ends."""
    if start.translate(None, _TEXT_CHARACTERS):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return True
