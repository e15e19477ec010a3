"""Incremental decoding of HTTP content codings: gzip, deflate, br, zstd, and lists of them.

Sources: RFC 9110, 8.4 (Content-Encoding), RFC 1950 to 1952 (zlib, deflate, gzip), RFC 7932 (Brotli), RFC 8878
and RFC 9659 (Zstandard and its window in HTTP).

What comes out does not depend on how the body is cut, and comes out as soon as its bytes are in. Of damaged
data, everything comes out that the bytes before the damaged one give. For that a step that failed is
repeated byte by byte from the state before it, because no library hands out what it decoded before it failed.
Some of what the damaged byte itself gives may come out too, and then the cuts do matter, if it is in br and
gives more than a piece.

Memory is bounded, however much a body expands. A decoder holds, for each coding, one piece and the window:
32 KiB for gzip and deflate, 8 MiB for zstd, twice 16 MiB for br.
"""

import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

from phoebe_addon.formats.zstd_frames import NotZstdError, ZstdFrames

PIECE_BYTES_MAX = 1024 * 1024
# Servers apply one coding. Each of a list costs memory, and multiplies what a small body expands to.
CODINGS_MAX = 4

# How many bytes an inner coding of a list may be fed: a fixed number, and a number per byte of the body. A
# second coding hardly makes compressed data smaller, so honest lists stay far below.
_INNER_BYTES_MIN = 64 * 1024
_INNER_RATIO_MAX = 8
_EDGE_BYTES = 4 * 1024

# Deflate expands no more than 1032 times, so that a step gives 516 KiB at most.
_STEP_BYTES = 512
# The library's buffer grows in steps and ends at up to twice this size and a bit.
_BROTLI_OUTPUT_BYTES = 128 * 1024
# RFC 9659: what decoders have to support and encoders must not exceed.
_ZSTD_WINDOW_BYTES_MAX = 8 * 1024 * 1024

_GZIP_WBITS = 16 + zlib.MAX_WBITS
_GZIP_MEMBER_START = b"\x1f\x8b\x08"
_ZLIB_HEADER_BYTES = 2


class ContentCodingError(ValueError):
    """The bytes are not what the content coding says, or the coding is not known."""


class Coding(Protocol):
    """The decoding of one coding. Its bytes are fed as those of `Decoder`."""

    @property
    def complete(self) -> bool: ...  # noqa: D102

    def feed(self, chunk: bytes) -> Iterator[bytes]: ...  # noqa: D102

    def finish(self) -> Iterator[bytes]: ...  # noqa: D102


class SelfEnding:
    """A coding that keeps nothing back for the end of the body."""

    def finish(self) -> Iterator[bytes]:
        """Return nothing."""
        return iter(())


class _InnerCoding:
    """A coding of a list that is fed by another coding, with a bound on how much.

    The outer coding can make a thousand bytes of each byte of the body, and the inner one can decode them all
    to nothing. A caller who counts only what comes out would not notice.
    """

    def __init__(self, coding: Coding) -> None:
        self._coding = coding
        self._fed_bytes = 0
        self.fed_bytes_max = 0

    @property
    def complete(self) -> bool:
        return self._coding.complete

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        room = self.fed_bytes_max - self._fed_bytes
        fed = chunk[:room]
        self._fed_bytes += len(fed)
        yield from self._coding.feed(fed)
        if len(chunk) > room:
            raise ContentCodingError("the body expands too much between its codings")

    def finish(self) -> Iterator[bytes]:
        return self._coding.finish()


class Decoder:
    """Decodes one body. `open_decoder` makes one."""

    def __init__(self, codings: list[Coding]) -> None:
        """codings: in the order of decoding, at least one."""
        self._outer, *inner = codings
        self._inner = [_InnerCoding(coding) for coding in inner]
        self._body_bytes = 0
        self._feeding = False
        self._failure: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every coding has seen its end and nothing was damaged. An empty body has no end."""
        return self._failure is None and all(coding.complete for coding in (self._outer, *self._inner))

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body and return what they decode to.

        The pieces are of `PIECE_BYTES_MAX` bytes at most, and decoded as they are asked for. An empty one
        stands for work that takes as long as the others. All of them have to be taken before the next bytes
        are fed, else RuntimeError is raised; a caller that has enough lets go of the decoder.

        Raises ContentCodingError, in place of the next piece, on damaged data and ever after; so it does when
        the outer codings of a list expand to more than 64 KiB and eight times the body. A body that is cut
        short is no error. What stands behind the end of a coding is ignored.
        """
        if self._feeding:
            raise RuntimeError("not all pieces of the bytes before these were taken")
        self._feeding = True
        return self._decode(self._through_codings(chunk))

    def finish(self) -> Iterator[bytes]:
        """Say that the body ends, and return what is left of it. Raises ContentCodingError as `feed` does."""
        return self._decode(self._ends_of_codings())

    def _decode(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        if self._failure is None:
            try:
                yield from pieces
            except ContentCodingError as error:
                self._failure = str(error)
        self._feeding = False
        if self._failure is not None:
            raise ContentCodingError(self._failure)

    def _through_codings(self, chunk: bytes) -> Iterator[bytes]:
        for part in self._parts(chunk):
            pieces = self._outer.feed(part)
            for coding in self._inner:
                pieces = chain.from_iterable(map(coding.feed, pieces))
            yield from pieces

    def _ends_of_codings(self) -> Iterator[bytes]:
        pieces = self._outer.finish()
        for coding in self._inner:
            pieces = chain(chain.from_iterable(map(coding.feed, pieces)), coding.finish())
        return pieces

    def _parts(self, chunk: bytes) -> Iterator[bytes]:
        """Cut the bytes at fixed places of the body.

        What the inner codings may be fed goes up there and nowhere else, so that it depends on no other cuts.
        """
        start = 0
        while start < len(chunk):
            since_edge = self._body_bytes % _EDGE_BYTES
            part = chunk[start : start + _EDGE_BYTES - since_edge]
            for coding in self._inner:
                coding.fed_bytes_max = _INNER_BYTES_MIN + _INNER_RATIO_MAX * (self._body_bytes - since_edge)
            self._body_bytes += len(part)
            start += len(part)
            yield part


def open_decoder(content_encoding: str) -> Decoder | None:
    """Return a decoder for a body with these codings; None if there is nothing to decode.

    content_encoding: the value of the header; several headers' values joined with commas. The coding that
    was applied last stands last. Raises ContentCodingError for an unknown coding and for more than four.
    """
    names = coding_names(content_encoding)
    if len(names) > CODINGS_MAX:
        raise ContentCodingError(f"{len(names)} content codings, and only {CODINGS_MAX} are decoded")
    for name in names:
        if name not in CODINGS:
            raise ContentCodingError(f"the content coding {name!r} is not known")
    return Decoder([CODINGS[name]() for name in reversed(names)]) if names else None


def coding_names(content_encoding: str) -> list[str]:
    """List the codings that a header names, in lower case, without those that are none."""
    names = [name.strip(" \t").lower() for name in content_encoding.split(",")]
    return [name for name in names if name not in {"", "identity"}]


class _Inflater:
    """A gzip member, a zlib stream or a raw deflate stream, by its wbits."""

    def __init__(self, wbits: int) -> None:
        self._stream = zlib.decompressobj(wbits)

    @property
    def ended(self) -> bool:
        return self._stream.eof

    @property
    def rest(self) -> bytes:
        """What of the last step stood behind the end."""
        return self._stream.unused_data

    def feed(self, step: bytes) -> Iterator[bytes]:
        before = self._stream.copy()
        try:
            output = self._stream.decompress(step)
        except zlib.error as error:
            if len(step) == 1:
                raise ContentCodingError(str(error)) from error
        else:
            if output:
                yield output
            return
        self._stream = before
        for byte in step:
            yield from self.feed(bytes((byte,)))


class _Gzip(SelfEnding):
    """Members of a gzip file, one after the other."""

    def __init__(self) -> None:
        self._member = _Inflater(_GZIP_WBITS)
        self._behind = b""  # what follows a member and may be the start of another
        self._trailing = False  # what follows is no member

    @property
    def complete(self) -> bool:
        return self._member.ended

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for step in _steps(chunk):
            unread = step
            while unread and not self._trailing:
                if self._member.ended:
                    unread = self._find_member(unread)
                else:
                    yield from self._member.feed(unread)
                    unread = self._member.rest

    def _find_member(self, unread: bytes) -> bytes:
        """Open the member that begins behind the last one, if one does; return what is to be fed to it."""
        self._behind += unread
        start = self._behind[: len(_GZIP_MEMBER_START)]
        if not _GZIP_MEMBER_START.startswith(start):
            self._trailing = True
        if start != _GZIP_MEMBER_START:
            return b""
        self._member = _Inflater(_GZIP_WBITS)
        member, self._behind = self._behind, b""
        return member


class _Deflate(SelfEnding):
    """A zlib stream, or the raw deflate stream that some servers send for one."""

    def __init__(self) -> None:
        self._header = b""
        self._stream: _Inflater | None = None

    @property
    def complete(self) -> bool:
        return self._stream is not None and self._stream.ended

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        if self._stream is None:
            chunk = self._header + chunk
            if len(chunk) < _ZLIB_HEADER_BYTES:
                self._header = chunk
                return
            self._stream = _Inflater(zlib.MAX_WBITS if _is_zlib_header(chunk) else -zlib.MAX_WBITS)
        for step in _steps(chunk):
            if not self._stream.ended:
                yield from self._stream.feed(step)


class _Brotli(SelfEnding):
    """A Brotli stream.

    The library can't copy a decompressor, so a second one stays a step behind, to repeat a step that failed.
    Good streams need that too: the library fails when bytes come behind the end, and does not hand out what
    came before them.
    """

    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()
        self._behind = brotli.Decompressor()

    @property
    def complete(self) -> bool:
        return bool(self._decompressor.is_finished())

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        for step in _steps(chunk):
            if not self.complete:
                yield from self._feed_step(step)

    def _feed_step(self, step: bytes) -> Iterator[bytes]:
        output_bytes = 0
        try:
            for output in _brotli_outputs(self._decompressor, step):
                output_bytes += len(output)
                yield output
        except brotli.error:
            yield from self._repeat_step(step, output_bytes)
        else:
            for _ in _brotli_outputs(self._behind, step):
                yield b""

    def _repeat_step(self, step: bytes, seen_bytes: int) -> Iterator[bytes]:
        """Feed a step byte by byte up to the end or the damage, without the output that was seen already."""
        self._decompressor = self._behind
        try:
            for byte in step:
                for output in _brotli_outputs(self._decompressor, bytes((byte,))):
                    if unseen := output[seen_bytes:]:
                        yield unseen
                    seen_bytes = max(seen_bytes - len(output), 0)
                if self.complete:
                    return
        except brotli.error as error:
            raise ContentCodingError(str(error)) from error


def _brotli_outputs(decompressor: brotli.Decompressor, step: bytes) -> Iterator[bytes]:
    """Feed a step and yield all that it gives.

    Only an empty output says that no more is waiting: `can_accept_more_data` may be true before, and an
    output may be shorter than the limit.
    """
    while output := decompressor.process(step, output_buffer_limit=_BROTLI_OUTPUT_BYTES):
        yield output
        step = b""


class _Zstd(SelfEnding):
    """Zstandard frames, one after the other."""

    def __init__(self) -> None:
        self._frames = ZstdFrames()
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX)
        self._stream = decompressor.decompressobj(read_across_frames=True)

    @property
    def complete(self) -> bool:
        return self._frames.complete

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        try:
            for part in self._frames.parts(chunk):
                if output := self._stream.decompress(part):
                    yield output
        except (NotZstdError, zstandard.ZstdError) as error:
            raise ContentCodingError(str(error)) from error


def _steps(chunk: bytes) -> Iterator[bytes]:
    return (chunk[start : start + _STEP_BYTES] for start in range(0, len(chunk), _STEP_BYTES))


def _is_zlib_header(start: bytes) -> bool:
    """Whether these bytes are a zlib header (RFC 1950, 2.2). No encoder begins a raw stream like that."""
    return start[0] & 0x0F == zlib.DEFLATED and int.from_bytes(start[:_ZLIB_HEADER_BYTES]) % 31 == 0


CODINGS: dict[str, Callable[[], Coding]] = {
    "gzip": _Gzip,
    "x-gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}
