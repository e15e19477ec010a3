"""Sealed records: what the spool keeps, each with all that is needed to know it again, and its own checksum.

    magic 8 | digest 16 | kind 1 | producer 16 | number 8 | time 8 | length 4 | content

A record whose bits were changed on the disk does not open any more, so it can't be taken for another one. And
a record can be found by its magic in the ruins of a file, whatever became of the tables around it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

MAGIC = b"\xd6Phb\x0d\x0a\x1a\xb1"
_DIGEST_SIZE = 16
_HEAD = struct.Struct(f">{len(MAGIC)}s{_DIGEST_SIZE}sc16sqqI")
_SEALED_FROM = len(MAGIC) + _DIGEST_SIZE
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RecordKind(Enum):
    """What a record is of: an event, an admission, the spool's producer, a producer that is no more, the
    installation that the spool belongs to.
    """

    EVENT = b"E"
    ADMISSION = b"A"
    PRODUCER = b"P"
    DEPARTED = b"D"
    INSTALLATION = b"I"


class DamagedRecordError(ValueError):
    """These bytes are no record, or not the one they were."""


@dataclass(frozen=True, slots=True)
class Record:
    """A record, opened.

    number: of an event, its producer_seq; of a producer, the highest it has given; of an admission, 0.
    time_us: the event_time of the event in it, in microseconds since 1970. content: a serialized
    MeteringEvent without producer; of a producer, how many of its events are lost, in decimal; of an
    installation, its id; time_us of a producer is 1 if the rater was told that it stopped.
    """

    kind: RecordKind
    producer_id: str
    number: int
    time_us: int
    content: bytes


def seal(record: Record) -> bytes:
    """Put a record in the form in which it is kept."""
    producer = _bytes_of(record.producer_id)
    length = len(record.content)
    head = (record.kind.value, producer, record.number, record.time_us, length)
    digest = _digest(_HEAD.pack(b"", b"", *head)[_SEALED_FROM:] + record.content)
    return _HEAD.pack(MAGIC, digest, *head) + record.content


@lru_cache(maxsize=16)
def _bytes_of(producer_id: str) -> bytes:
    return UUID(producer_id).bytes


def unseal(sealed: bytes) -> Record:
    """Open a record. Raises DamagedRecordError."""
    if len(sealed) < _HEAD.size:
        raise DamagedRecordError("too short")
    magic, digest, kind, producer, number, time_us, length = _HEAD.unpack_from(sealed)
    if magic != MAGIC or length != len(sealed) - _HEAD.size or digest != _digest(sealed[_SEALED_FROM:]):
        raise DamagedRecordError("its checksum does not fit")
    try:
        known = RecordKind(kind)
    except ValueError:
        raise DamagedRecordError("a later version wrote it") from None
    return Record(known, _id_of(producer), number, time_us, sealed[_HEAD.size :])


@lru_cache(maxsize=16)
def _id_of(producer: bytes) -> str:
    return str(UUID(bytes=producer))


def sealed_size(start: bytes) -> int | None:
    """Return how long the record is that begins with these bytes; None if they are too few."""
    if len(start) < _HEAD.size:
        return None
    length: int = _HEAD.unpack_from(start)[-1]
    return _HEAD.size + length


def claimed_event(start: bytes) -> tuple[str, int] | None:
    """Return producer and number a damaged record claims to be the event of, if it does."""
    if len(start) < _HEAD.size:
        return None
    _, _, kind, producer, number, _, _ = _HEAD.unpack_from(start)
    return (str(UUID(bytes=producer)), number) if kind == RecordKind.EVENT.value else None


def find_magic(data: bytes) -> Iterator[int]:
    """Find where records begin, or seem to."""
    position = data.find(MAGIC)
    while position >= 0:
        yield position
        position = data.find(MAGIC, position + 1)


def to_us(moment: datetime) -> int:
    """Convert an aware time to microseconds since 1970."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_time(time_us: int) -> datetime:
    """Convert microseconds since 1970 to an aware time."""
    return _EPOCH + timedelta(microseconds=time_us)


def _digest(sealed: bytes) -> bytes:
    return blake2b(sealed, digest_size=_DIGEST_SIZE).digest()
