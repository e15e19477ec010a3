"""A spool file with any bit flipped, or cut anywhere: it opens, says what it lost, and makes nothing up."""

import asyncio
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phoebe_addon.spool.spool import Spool
from phoebe_addon.spool.spools import open_own
from tests.harness.spooled import admit, finish, spool_file, waiting

# Events that fit into a page, and events that take several.
SIZES = (0, 300, 6000, 100, 1500, 4000, 9000, 50, 200, 700)
UNDER_WAY = {"open-1", "open-2"}
LATER = [f"later-{number}" for number in range(4)]
EVENTS = {f"r{number}" for number in range(len(SIZES))}


@dataclass(frozen=True)
class Left:
    """What a killed process left: its files by name, how many events were sent, what is still to be sent."""

    files: dict[str, bytes]
    sent: set[str]
    waiting: set[str]


async def _fill(spool: Spool) -> None:
    for number, size in enumerate(SIZES):
        await admit(spool, f"r{number}")
        finish(spool, f"r{number}", size)
    for name in sorted(UNDER_WAY):
        await admit(spool, name)
    await spool.forget(spool.read(3))


def _leave(folder: Path, *, with_log: bool) -> Left:
    spool = open_own(folder, 10**9)
    asyncio.run(_fill(spool))
    later: set[str] = set()
    spool._file.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if with_log:
        for name, size in zip(LATER, SIZES, strict=False):
            finish(spool, name, size)
        later = set(LATER)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    spool.close()
    shutil.rmtree(folder)
    sent = {"r0", "r1", "r2"}
    return Left(files, sent, (EVENTS - sent) | later)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return _leave(tmp_path_factory.mktemp("whole") / "spool", with_log=False)


@pytest.fixture(scope="module")
def with_log(tmp_path_factory: pytest.TempPathFactory) -> Left:
    return _leave(tmp_path_factory.mktemp("log") / "spool", with_log=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "spool"


@dataclass(frozen=True)
class Found:
    """What was found in a damaged spool. said: whether it said that something is wrong."""

    completed: list[str]
    cut_off: list[str]
    said: bool


def open_damaged(folder: Path, files: dict[str, bytes]) -> Found:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    # What it says is read from its numbers; thousands of lines would only take time.
    logging.disable(logging.CRITICAL)
    try:
        spool = open_own(folder, 10**9)
        found = waiting(spool)
        asyncio.run(admit(spool, "new"))
        finish(spool, "new")
        assert waiting(spool)[-1][1:] == ("new", "completed")
        spool.close()
    finally:
        logging.disable(logging.NOTSET)
    assert spool_file(folder)
    return Found(
        [name for _, name, outcome in found if outcome == "completed"],
        [name for _, name, outcome in found if outcome == "proxy_error"],
        spool.damaged_files + spool.lost_rows > 0,
    )


def check(left: Left, found: Found, lost_max: int) -> None:
    """Check that nothing was made up or comes twice, and that what is missing was said to be."""
    missing = left.waiting - set(found.completed)
    assert len(missing) <= lost_max
    assert len(found.completed) == len(set(found.completed))
    # What SQLite had deleted may come back; the rater knows it again.
    assert set(found.completed) <= left.waiting | left.sent
    # Of an exchange whose event is lost, the admission may be left.
    assert set(found.cut_off) <= UNDER_WAY | missing
    lost_admissions = UNDER_WAY - set(found.cut_off)
    assert len(missing | lost_admissions) <= lost_max
    assert found.said or not (missing | lost_admissions)


def flip(content: bytes, bit: int) -> bytes:
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


# The first pages have SQLite's own tables, and what it is most particular about.
def bits(size: int) -> st.SearchStrategy[int]:
    return st.integers(0, 8 * min(size, 110) - 1) | st.integers(0, 8 * size - 1)


@settings(max_examples=60)
@given(data=st.data())
def test_a_flipped_bit_costs_one_exchange_at_most(whole: Left, folder: Path, data: st.DataObject) -> None:
    (name,) = (name for name in whole.files if name.endswith(".sqlite3"))
    bit = data.draw(bits(len(whole.files[name])))

    found = open_damaged(folder, {**whole.files, name: flip(whole.files[name], bit)})

    check(whole, found, lost_max=1)


@settings(max_examples=40)
@given(data=st.data())
def test_a_flipped_bit_in_the_log_costs_one_exchange_at_most(
    with_log: Left, folder: Path, data: st.DataObject
) -> None:
    (name,) = (name for name in with_log.files if name.endswith("-wal"))
    bit = data.draw(bits(len(with_log.files[name])))

    found = open_damaged(folder, {**with_log.files, name: flip(with_log.files[name], bit)})

    check(with_log, found, lost_max=1)
    assert found.said


@settings(max_examples=60)
@given(data=st.data())
def test_a_file_that_was_cut_anywhere_opens_and_says_what_it_lost(
    whole: Left, folder: Path, data: st.DataObject
) -> None:
    (name,) = (name for name in whole.files if name.endswith(".sqlite3"))
    size = data.draw(st.integers(0, len(whole.files[name]) - 1))

    found = open_damaged(folder, {**whole.files, name: whole.files[name][:size]})

    check(whole, found, lost_max=len(whole.waiting | UNDER_WAY))


@settings(max_examples=60)
@given(data=st.data())
def test_a_log_that_was_cut_anywhere_is_as_if_the_process_had_been_killed_before(
    with_log: Left, folder: Path, data: st.DataObject
) -> None:
    (name,) = (name for name in with_log.files if name.endswith("-wal"))
    size = data.draw(st.integers(0, len(with_log.files[name])))

    found = open_damaged(folder, {**with_log.files, name: with_log.files[name][:size]})

    later = [name for name in found.completed if name in LATER]
    assert later == LATER[: len(later)]
    assert EVENTS - with_log.sent <= set(found.completed)
    assert not found.said
