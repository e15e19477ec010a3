"""Salvage: reading the sealed records out of a damaged SQLite file and its write-ahead log.

SQLite gives up at the first thing wrong, and takes no part of a log after a page that is damaged. But
records are known by themselves, so this looks for them in every page, in the file as it is and after each
transaction in its log. What SQLite had deleted since may come back in this way; the rater knows it again.

Pure: bytes in, records out. Source of the layouts: SQLite's "Database File Format", sections 1.5, 1.6 and 4.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from phoebe_addon.spool.sealed_record import (
    DamagedRecordError,
    Record,
    claimed_event,
    find_magic,
    sealed_size,
    unseal,
)

PAGE_SIZE = 4096
# Page size, versions of the format for write-ahead logs, no reserved bytes, and the only fractions allowed.
FILE_START = b"SQLite format 3\0" + struct.pack(">HBBBBBB", PAGE_SIZE, 2, 2, 0, 64, 32, 32)
_LOG_HEAD = struct.Struct(">8I")
_BYTE_ORDERS = {0x377F0682: "<", 0x377F0683: ">"}
_FRAME_HEAD = struct.Struct(">6I")
# A row longer than this keeps only its beginning in its own page, and the rest in a chain of others.
_LOCAL_MAX = PAGE_SIZE - 35
_LOCAL_MIN = (PAGE_SIZE - 12) * 32 // 255 - 23
_LINK_SIZE = 4
# A length that was damaged must not send us through the whole file.
_RECORD_SIZE_MAX = 16 * 1024 * 1024

type _Sums = tuple[int, int]


class Content(Protocol):
    """Bytes, or a file mapped into memory."""

    def __len__(self) -> int:
        """How many."""
        ...

    def __getitem__(self, part: slice, /) -> bytes:
        """Read some of them."""
        ...


@dataclass(frozen=True, slots=True)
class Damaged:
    """A place where a record begins that can't be read. event: producer and number it claims to be of."""

    event: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class _Frame:
    """A page in a log. checksum_fits: whether SQLite would take it. ends_transaction: so it says."""

    page_number: int
    ends_transaction: bool
    page: bytes
    checksum_fits: bool


def log_is_damaged(log: bytes) -> bool:
    """Whether SQLite would leave out pages of this write-ahead log although they belong to it.

    A log that ends within a page or a transaction is not damaged: so a killed process leaves it.
    """
    return any(not frame.checksum_fits for frame in _frames(log))


def salvage(file: Content, log: bytes) -> Iterator[Record | Damaged]:
    """Find all records in a file and its write-ahead log. The same one may come several times."""
    pages = _Pages(file)
    yield from _records((pages[number] for number in range(1, pages.count + 1)), pages)
    changed: list[bytes] = []
    for frame in _frames(log):
        pages.replace(frame.page_number, frame.page)
        changed.append(frame.page)
        if frame.ends_transaction:
            yield from _records(changed, pages)
            changed.clear()
    yield from _records(changed, pages)


class _Pages:
    """The pages of a file by number, from 1; one that does not exist is empty."""

    def __init__(self, file: Content) -> None:
        self._file = file
        self._replaced: dict[int, bytes] = {}
        self.count = -(-len(file) // PAGE_SIZE)

    def __getitem__(self, number: int) -> bytes:
        if number in self._replaced:
            return self._replaced[number]
        return self._file[(number - 1) * PAGE_SIZE : number * PAGE_SIZE] if number else b""

    def replace(self, number: int, page: bytes) -> None:
        self._replaced[number] = page


def _records(images: Iterable[bytes], pages: _Pages) -> Iterator[Record | Damaged]:
    for image in images:
        for position in find_magic(image):
            yield _record_at(image[position:], pages)


def _record_at(start: bytes, pages: _Pages) -> Record | Damaged:
    size = sealed_size(start)
    if size is None or size > _RECORD_SIZE_MAX:
        return Damaged(claimed_event(start))
    for sealed in _readings(start, size, pages):
        try:
            return unseal(sealed)
        except DamagedRecordError:
            continue
    return Damaged(claimed_event(start))


def _readings(start: bytes, size: int, pages: _Pages) -> Iterator[bytes]:
    """Read a record in the ways it can lie in its page and others."""
    if size <= len(start):
        yield start[:size]
    # What stands before the record in its row: the row's head, and in the table of events the time.
    head = 2 + _varint_size(2 * size + 12)
    for before in (head, head + 1 + 8):
        local = _local_size(before + size) - before
        if local < size:
            yield _chained(start, local, size, pages)


def _chained(start: bytes, local: int, size: int, pages: _Pages) -> bytes:
    parts, left = [start[:local]], size - local
    link = start[local : local + _LINK_SIZE]
    while left > 0 and (page := pages[int.from_bytes(link)]):
        parts.append(page[_LINK_SIZE : _LINK_SIZE + left])
        left -= PAGE_SIZE - _LINK_SIZE
        link = page[:_LINK_SIZE]
    return b"".join(parts)


def _local_size(row_size: int) -> int:
    if row_size <= _LOCAL_MAX:
        return row_size
    local = _LOCAL_MIN + (row_size - _LOCAL_MIN) % (PAGE_SIZE - _LINK_SIZE)
    return local if local <= _LOCAL_MAX else _LOCAL_MIN


def _varint_size(value: int) -> int:
    return -(-value.bit_length() // 7)


def _frames(log: bytes) -> Iterator[_Frame]:
    """Read the frames that belong to a log; others are left from before SQLite began it anew."""
    if len(log) <= _LOG_HEAD.size:
        return
    magic, *_, salt1, salt2, sum1, sum2 = _LOG_HEAD.unpack_from(log)
    order = _BYTE_ORDERS.get(magic, "<")
    sums = _checksum(order, log[: _LOG_HEAD.size - 8], (0, 0))
    fits = magic in _BYTE_ORDERS and sums == (sum1, sum2)
    for start in range(_LOG_HEAD.size, len(log) - _FRAME_HEAD.size + 1, _FRAME_HEAD.size + PAGE_SIZE):
        head = log[start : start + _FRAME_HEAD.size]
        number, pages_after, *salts, sum1, sum2 = _FRAME_HEAD.unpack(head)
        if start == _LOG_HEAD.size and not fits:
            salt1, salt2 = salts  # the head of the log can't say
        # One bit can't have changed both.
        if salts[0] != salt1 and salts[1] != salt2:
            continue
        page = log[start + _FRAME_HEAD.size : start + _FRAME_HEAD.size + PAGE_SIZE]
        torn = len(page) < PAGE_SIZE
        if fits and not torn:
            sums = _checksum(order, head[:8] + page, sums)
            fits = salts == [salt1, salt2] and sums == (sum1, sum2)
        yield _Frame(number, pages_after != 0, page, fits)


def _checksum(order: str, data: bytes, sums: _Sums) -> _Sums:
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
