"""Where the blocks of a Zstandard stream end.

Source of the format: RFC 8878, 3.1.1 (frames, blocks) and 3.1.2 (skippable frames).

A decompressor hands out at once whatever the bytes it is given make, and four bytes can make a block of
128 KiB. Given one block at a time it hands out 128 KiB at most, and the same however the stream was cut.
Nothing is decoded here, and nothing is judged that the decompressor judges itself.
"""

from collections.abc import Callable, Iterator

_FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE_MAGIC = 0x184D2A5  # without its lowest four bits, which are free
_BLOCK_HEADER_BYTES = 3
_CHECKSUM_BYTES = 4
_RLE_BLOCK = 1

# By the flags of the frame header descriptor.
_DICTIONARY_ID_BYTES = (0, 1, 2, 4)
_CONTENT_SIZE_BYTES = (0, 2, 4, 8)


class NotZstdError(ValueError):
    """The stream does not begin with a frame."""


class ZstdFrames:
    """Cuts a stream into parts that end no more than one block each.

    The parts, one after the other, are the frames of the stream, without skippable frames and without what
    stands behind the last frame.
    """

    def __init__(self) -> None:
        self._field = bytearray()  # what is there of the field that is read: a magic number, a header
        self._field_bytes = 0
        self._take: Callable[[bytes], bytes] = self._take_magic
        self._content_bytes = 0  # what is to come of a block or a skippable frame before the next field
        self._skipping = False
        self._header = b""
        self._has_checksum = False
        self._frame_seen = False
        self._trailing = False  # what comes is no frame
        self._expect(len(_FRAME_MAGIC), self._take_magic)

    @property
    def complete(self) -> bool:
        """Whether there was a frame and none is unfinished."""
        return self._frame_seen and self._take == self._take_magic and not self._content_bytes

    def parts(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next bytes. Raises NotZstdError."""
        view = memoryview(chunk)
        while view and not self._trailing:
            if self._content_bytes:
                # The last byte of a block goes alone. If the decompressor fails at it, what the bytes before
                # it gave is out already.
                part = view[: max(self._content_bytes - 1, 1)]
                self._content_bytes -= len(part)
                passed = b"" if self._skipping else bytes(part)
            else:
                part = view[: self._field_bytes - len(self._field)]
                self._field += part
                passed = self._take_field() if len(self._field) == self._field_bytes else b""
            view = view[len(part) :]
            if passed:
                yield passed

    def _expect(self, field_bytes: int, take: Callable[[bytes], bytes]) -> None:
        """Name the field that comes next and what reads it: it returns the bytes to pass on."""
        self._field_bytes = field_bytes
        self._take = take

    def _take_field(self) -> bytes:
        field = bytes(self._field)
        self._field.clear()
        return self._take(field)

    def _take_magic(self, magic: bytes) -> bytes:
        self._skipping = int.from_bytes(magic, "little") >> 4 == _SKIPPABLE_MAGIC
        if self._skipping:
            self._expect(4, self._take_skippable_size)
        elif magic == _FRAME_MAGIC:
            self._expect(1, self._take_descriptor)
        elif self._frame_seen:
            self._trailing = True
        else:
            raise NotZstdError("no Zstandard frame")
        return b""

    def _take_skippable_size(self, size: bytes) -> bytes:
        self._content_bytes = int.from_bytes(size, "little")
        self._end_frame()
        return b""

    def _take_descriptor(self, descriptor: bytes) -> bytes:
        (flags,) = descriptor
        single_segment = flags >> 5 & 1
        self._has_checksum = bool(flags >> 2 & 1)
        self._header = _FRAME_MAGIC + descriptor
        # A single segment says no window size, and always says its content size.
        content_size_bytes = _CONTENT_SIZE_BYTES[flags >> 6] or single_segment
        self._expect(
            1 - single_segment + _DICTIONARY_ID_BYTES[flags & 3] + content_size_bytes, self._take_header
        )
        return b""

    def _take_header(self, rest: bytes) -> bytes:
        self._expect(_BLOCK_HEADER_BYTES, self._take_block_header)
        return self._header + rest

    def _take_block_header(self, header: bytes) -> bytes:
        fields = int.from_bytes(header, "little")
        is_last, block_type, size = fields & 1, fields >> 1 & 3, fields >> 3
        self._content_bytes = 1 if block_type == _RLE_BLOCK else size
        if is_last and self._has_checksum:
            self._expect(_CHECKSUM_BYTES, self._take_checksum)
        elif is_last:
            self._end_frame()
        return header

    def _take_checksum(self, checksum: bytes) -> bytes:
        self._end_frame()
        return checksum

    def _end_frame(self) -> None:
        self._frame_seen = True
        self._expect(len(_FRAME_MAGIC), self._take_magic)
