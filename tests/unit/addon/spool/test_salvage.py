"""Records that SQLite wrote are found again without SQLite, however they lie in their pages."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from phoebe_addon.spool.salvage import Damaged, log_is_damaged, salvage
from phoebe_addon.spool.sealed_record import Record, RecordKind, seal
from phoebe_addon.spool.spools import open_own
from tests.harness.spooled import spool_file

PRODUCER = "01995cdd-0000-7000-8000-000000000001"
# Around the sizes of a row up to which it lies in its own page, and from which it takes one page more.
SIZES = [size for edge in (4061, 4581, 8154, 8673, 130, 16300) for size in range(edge - 90, edge + 20)]


@pytest.fixture
def written(tmp_path: Path) -> tuple[bytes, list[Record]]:
    """A spool file with an event and an admission of each size, and these."""
    open_own(tmp_path, 10**9).close()
    records = [
        Record(kind, PRODUCER, number, 1_795_136_523_456_789, bytes(size))
        for kind in (RecordKind.EVENT, RecordKind.ADMISSION)
        for number, size in enumerate(SIZES)
    ]
    with closing(sqlite3.connect(spool_file(tmp_path))) as connection:
        for record in records:
            if record.kind is RecordKind.EVENT:
                values = (record.time_us, seal(record))
                connection.execute("INSERT INTO waiting (event_time, record) VALUES (?, ?)", values)
            else:
                connection.execute("INSERT INTO admitted (record) VALUES (?)", (seal(record),))
        connection.commit()
    return spool_file(tmp_path).read_bytes(), records


def test_records_of_all_sizes_are_found(written: tuple[bytes, list[Record]]) -> None:
    file, records = written

    found = [record for record in salvage(file, b"") if not isinstance(record, Damaged)]

    assert [record for record in records if record not in found] == []
    assert len(found) == len(records) + 1  # the producer


def test_of_a_record_whose_rest_is_gone_only_the_claim_is_left(tmp_path: Path) -> None:
    sealed = seal(Record(RecordKind.EVENT, PRODUCER, 7, 0, bytes(10_000)))

    assert list(salvage(sealed[:4096], b"")) == [Damaged((PRODUCER, 7))]


@pytest.mark.parametrize("log", [b"", bytes(10), bytes(32), b"\xff" * 3])
def test_a_log_without_pages_is_not_damaged(log: bytes) -> None:
    assert not log_is_damaged(log)
