import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.spool.sealed_record import (
    MAGIC,
    DamagedRecordError,
    Record,
    RecordKind,
    claimed_event,
    find_magic,
    seal,
    sealed_size,
    to_time,
    to_us,
    unseal,
)

PRODUCER = "01995cdd-0000-7000-8000-000000000001"

records = st.builds(
    Record,
    kind=st.sampled_from(RecordKind),
    producer_id=st.uuids().map(str),
    number=st.integers(0, 2**63 - 1),
    time_us=st.integers(-(2**63), 2**63 - 1),
    content=st.binary(max_size=200),
)


@given(records)
def test_what_was_sealed_is_what_is_opened(record: Record) -> None:
    assert unseal(seal(record)) == record
    assert sealed_size(seal(record)) == len(seal(record))


@given(records, st.data())
def test_a_record_with_a_flipped_bit_does_not_open(record: Record, data: st.DataObject) -> None:
    sealed = bytearray(seal(record))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(DamagedRecordError):
        unseal(bytes(sealed))


@given(records, st.data())
def test_a_record_that_was_cut_or_grew_does_not_open(record: Record, data: st.DataObject) -> None:
    sealed = seal(record)

    with pytest.raises(DamagedRecordError):
        unseal(sealed[: data.draw(st.integers(0, len(sealed) - 1))])
    with pytest.raises(DamagedRecordError):
        unseal(sealed + b"\0")


def test_a_damaged_event_still_claims_its_producer_and_number() -> None:
    sealed = seal(Record(RecordKind.EVENT, PRODUCER, 7, 0, b"content"))

    assert claimed_event(sealed[:-1]) == (PRODUCER, 7)
    assert claimed_event(sealed[:20]) is None
    assert sealed_size(sealed[:20]) is None
    assert claimed_event(seal(Record(RecordKind.ADMISSION, PRODUCER, 0, 0, b""))) is None


def test_beginnings_of_records_are_found() -> None:
    assert list(find_magic(b"ab" + MAGIC + MAGIC[:4] + MAGIC)) == [2, 14]
    assert list(find_magic(b"")) == []


def test_times_keep_their_microseconds() -> None:
    moment = datetime(2026, 11, 20, 1, 2, 3, 456789, UTC)

    assert to_us(moment) == 1795136523456789
    assert to_time(to_us(moment)) == moment


def test_the_layout_stays_what_files_on_disks_have() -> None:
    sealed = seal(Record(RecordKind.EVENT, PRODUCER, 7, 9, b"content"))

    assert (
        sealed[24:].hex()
        == (b"E" + bytes.fromhex(PRODUCER.replace("-", "")) + struct.pack(">qqI", 7, 9, 7) + b"content").hex()
    )
    assert sealed[:24].hex() == "d65068620d0a1ab1b499f72143cbab4e2f1e23506d9cb634"
