"""Rescue: from a damaged spool file into a new one."""

import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from phoebe_addon.spool.file import Admitted, SpoolFile
from phoebe_addon.spool.salvage import Content, Damaged, salvage
from phoebe_addon.spool.sealed_record import Record, RecordKind, seal
from phoebe_proto.v1.metering_pb2 import MeteringEvent


def fill_replacement(
    path: Path, new: SpoolFile, under_way: Mapping[str, Admitted], installation: str | None = None
) -> int:
    """Put what can be read of a damaged file into a new one. Returns how many exchanges were cut off.

    installation: the one that it belongs to; None: what the file says.
    """
    found = _Found(new, installation)
    with _content(path) as content:
        for record in salvage(content, log_of(path)):
            found.take(record)
    for admitted in under_way.values():
        new.admit(admitted)
    return found.finish(under_way)


def beside(path: Path, suffix: str) -> Path:
    """Return the path of what is kept beside a spool file."""
    return path.with_name(path.name + suffix)


def log_of(path: Path) -> bytes:
    """Read a spool file's write-ahead log; empty if there is none."""
    log = beside(path, "-wal")
    return log.read_bytes() if log.exists() else b""


@contextmanager
def _content(path: Path) -> Iterator[Content]:
    """Give a file's content; of one that is missing or empty, nothing."""
    if not path.exists() or not path.stat().st_size:
        yield b""
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield content


class _Found:
    """Sorts what was found in a damaged file: each event once, and admissions only if they have no event."""

    def __init__(self, new: SpoolFile, installation: str | None) -> None:
        self._new = new
        self._seen: set[tuple[str, int]] = set()
        self._ended: set[str] = set()
        self._admissions: dict[str, Record] = {}
        self._producers: dict[str, Record] = {}
        self._claimed: set[tuple[str, int]] = set()
        self._known = installation
        self._found: str | None = None

    def take(self, found: Record | Damaged) -> None:
        """Take something that was found."""
        if isinstance(found, Damaged):
            if found.event:
                self._claimed.add(found.event)
        elif found.kind is RecordKind.EVENT:
            self._take_event(found)
        elif found.kind is RecordKind.ADMISSION:
            self._admissions[_request_id(found)] = found
        elif found.kind is RecordKind.INSTALLATION:
            self._found = found.content.decode()  # what was written last comes last
        else:
            known = self._producers.get(found.producer_id)
            if known is None or known.number <= found.number:
                self._producers[found.producer_id] = found

    def _take_event(self, event: Record) -> None:
        key = (event.producer_id, event.number)
        if key not in self._seen:
            self._seen.add(key)
            self._ended.add(_request_id(event))
            self._new.put(event)

    def finish(self, under_way: Mapping[str, Admitted]) -> int:
        """Put the rest into the new file. Returns how many exchanges were cut off."""
        cut_off = [
            record
            for request_id, record in sorted(self._admissions.items())
            if request_id not in self._ended and request_id not in under_way
        ]
        for record in cut_off:
            self._new.append(record.time_us, record.content)
        if installation := self._known or self._found:
            self._new.bind(installation)
        for producer_id in sorted({*self._producers, *(producer for producer, _ in self._seen)}):
            self._put_departed(producer_id)
        return len(cut_off)

    def _put_departed(self, producer_id: str) -> None:
        numbers = {number for producer, number in self._seen if producer == producer_id}
        known = self._producers.get(producer_id)
        last = max(numbers | ({known.number} if known else set()), default=0)
        claimed = {number for producer, number in self._claimed if producer == producer_id and number <= last}
        # Numbers are without gaps: from the first event that is there, each that is missing is lost.
        first = min(numbers | claimed, default=last + 1)
        lost = last - first + 1 - len(numbers) + (int(known.content) if known else 0)
        record = Record(RecordKind.DEPARTED, producer_id, last, 0, str(lost).encode())
        self._new.connection.execute("INSERT INTO departed (record) VALUES (?)", (seal(record),))


def _request_id(record: Record) -> str:
    return MeteringEvent.FromString(record.content).request_id
