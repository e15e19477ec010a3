"""Bodies in the content codings of HTTP, as servers send them."""

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

from phoebe_addon.formats.content_coding import ContentCodingError, open_decoder


class Encoder(Protocol):
    """An encoder that a server flushes after each event."""

    def encode(self, content: bytes) -> bytes:
        """Encode and flush."""
        ...

    def end(self) -> bytes: ...


class ZlibEncoder:
    def __init__(self, wbits: int) -> None:
        self._stream = zlib.compressobj(wbits=wbits)

    def encode(self, content: bytes) -> bytes:
        return self._stream.compress(content) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._stream.flush()


class BrotliEncoder:
    def __init__(self) -> None:
        self._stream = brotli.Compressor(quality=5)

    def encode(self, content: bytes) -> bytes:
        encoded: bytes = self._stream.process(content) + self._stream.flush()
        return encoded

    def end(self) -> bytes:
        encoded: bytes = self._stream.finish()
        return encoded


class ZstdEncoder:
    def __init__(self) -> None:
        self._stream = zstandard.ZstdCompressor(write_checksum=True).compressobj()

    def encode(self, content: bytes) -> bytes:
        return self._stream.compress(content) + self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._stream.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


# By what a server says and what it sends.
ENCODERS: dict[str, tuple[str, Callable[[], Encoder]]] = {
    "gzip": ("gzip", lambda: ZlibEncoder(31)),
    "zlib": ("deflate", lambda: ZlibEncoder(15)),
    "raw deflate": ("deflate", lambda: ZlibEncoder(-15)),
    "br": ("br", BrotliEncoder),
    "zstd": ("zstd", ZstdEncoder),
}


def encode(coding: str, content: bytes) -> bytes:
    """Encode as one of ENCODERS."""
    encoder = ENCODERS[coding][1]()
    return encoder.encode(content) + encoder.end()


def encode_list(codings: list[str], content: bytes) -> tuple[str, bytes]:
    """Encode as several of ENCODERS, one after the other; return the header's value too."""
    for coding in codings:
        content = encode(coding, content)
    return ", ".join(ENCODERS[coding][0] for coding in codings), content


def zstd_frame(*blocks: bytes, flags: int = 0, header: bytes = b"\x58") -> bytes:
    """Make a frame by hand; the header is that of a frame with a window of 2 MiB."""
    return b"\x28\xb5\x2f\xfd" + bytes((flags,)) + header + b"".join(blocks)


def zstd_block(kind: int, size: int, content: bytes, *, last: bool = False) -> bytes:
    """Make a block by hand. kind: 0 raw, 1 one byte repeated, 2 compressed, 3 reserved."""
    return (last | kind << 1 | size << 3).to_bytes(3, "little") + content


def decode(content_encoding: str, chunks: list[bytes]) -> tuple[bytes, bool, bool]:
    """Return what the chunks decode to, whether they were damaged, and whether they were complete."""
    decoder = open_decoder(content_encoding)
    assert decoder
    output = bytearray()
    try:
        for chunk in chunks:
            for piece in decoder.feed(chunk):
                output += piece
    except ContentCodingError:
        return bytes(output), True, decoder.complete
    return bytes(output), False, decoder.complete


def cuts(body: bytes) -> Iterator[list[bytes]]:
    """Yield a body whole, in two parts cut at some places, and in single bytes."""
    yield [body]
    for place in range(1, len(body), max(len(body) // 50, 1)):
        yield [body[:place], body[place:]]
    yield [bytes((byte,)) for byte in body]
