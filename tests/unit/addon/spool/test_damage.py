"""Spool files whose content is not what was written: what can be read goes on, as it is or not at all."""

import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from phoebe_addon.spool.file import FORMAT, write_format
from phoebe_addon.spool.sealed_record import MAGIC
from phoebe_addon.spool.spool import Spool
from phoebe_addon.spool.spools import adopt
from tests.harness.spooled import admit, damaged_files, event, finish, spool_file, waiting

type Open = Callable[..., Spool]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


async def leave(open_spool: Open) -> str:
    """Leave a spool with two events and an admission; return its producer."""
    spool = open_spool()
    for name in ("a", "b", "open"):
        await admit(spool, name)
    finish(spool, "a")
    finish(spool, "b", size=10_000)
    spool.close()
    return spool.producer_id


ALL = [(1, "a", "completed"), (2, "b", "completed"), (1, "open", "proxy_error")]


def note_format(path: Path, number: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        write_format(connection, number)


def overwrite(path: Path, position: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(position)
        file.write(content)


async def test_an_event_of_which_a_bit_was_flipped_is_set_aside_and_the_others_go_on(
    open_spool: Open, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    producer = await leave(open_spool)
    path = spool_file(folder)
    flipped = path.read_bytes().index(event("a")) + 3
    overwrite(path, flipped, bytes([path.read_bytes()[flipped] ^ 4]))

    spool = open_spool()
    assert waiting(spool) == [(2, "b", "completed"), (3, "open", "proxy_error")]
    spool.close()

    assert spool.producer_id == producer
    assert (spool.lost_rows, spool.damaged_files, spool.depth()) == (1, 0, 2)
    assert [record.levelno for record in caplog.records if "damaged" in record.message] == [logging.CRITICAL]
    again = open_spool()
    assert (again.state().lost_rows, len(waiting(again))) == (1, 2)


async def test_an_admission_of_which_a_bit_was_flipped_makes_no_event(open_spool: Open, folder: Path) -> None:
    await leave(open_spool)
    path = spool_file(folder)
    overwrite(path, path.read_bytes().index(event("open", "proxy_error")), b"\xff")

    spool = open_spool()

    assert (waiting(spool), spool.lost_rows, spool.recovered) == (ALL[:2], 1, 0)


def no_sqlite_file(path: Path) -> None:
    overwrite(path, 0, b"This is none of it")


def not_to_be_written(path: Path) -> None:
    overwrite(path, 18, b"\x03")


def no_format(path: Path) -> None:
    note_format(path, 0)


def half_a_later_format(path: Path) -> None:
    overwrite(path, 60, b"\x01")  # where the header of a file of SQLite has user_version


def no_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("DELETE FROM sqlite_master WHERE name = 'waiting'")
    connection.close()


def no_producer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM producer")
    connection.close()


def lost_top_of_the_tables(path: Path) -> None:
    overwrite(path, 100, bytes(2000))


@pytest.mark.parametrize(
    "damage",
    [
        no_sqlite_file,
        not_to_be_written,
        no_format,
        half_a_later_format,
        no_table,
        no_producer,
        lost_top_of_the_tables,
    ],
)
async def test_a_file_sqlite_cannot_use_is_set_aside_and_all_its_events_are_kept(
    open_spool: Open, folder: Path, caplog: pytest.LogCaptureFixture, damage: Callable[[Path], None]
) -> None:
    producer = await leave(open_spool)
    path = spool_file(folder)
    damage(path)
    damaged = path.read_bytes()

    spool = open_spool()

    assert sorted(waiting(spool), key=lambda found: found[1]) == ALL
    assert [spooled.producer_id for spooled in spool.read(2)] == [producer] * 2
    assert spool.producer_id != producer
    assert (spool.damaged_files, spool.lost_rows, spool.recovered) == (1, 0, 1)
    (aside,) = damaged_files(folder)
    assert aside.read_bytes() == damaged
    assert aside.name in caplog.text
    await admit(spool, "c")
    finish(spool, "c")
    assert (2, "c", "completed") in waiting(spool)


async def test_a_file_that_was_cut_says_how_many_events_are_lost(open_spool: Open, folder: Path) -> None:
    producer = await leave(open_spool)
    path = spool_file(folder)
    path.write_bytes(path.read_bytes()[:-4096])  # the end of the long event

    spool = open_spool()

    assert waiting(spool) == [ALL[0], ALL[2]]
    ((_, departed),) = spool.departed()
    assert (departed.producer_id, departed.last_seq, departed.lost_rows) == (producer, 2, 1)
    assert spool.lost_rows == 1
    assert len(damaged_files(folder)) == 1


@pytest.mark.parametrize("content", [b"", b"no database" * 1000, MAGIC * 1000])
def test_a_file_in_which_nothing_is_left_is_set_aside(open_spool: Open, folder: Path, content: bytes) -> None:
    open_spool().close()
    spool_file(folder).write_bytes(content)

    spool = open_spool()

    assert (waiting(spool), spool.damaged_files, len(damaged_files(folder))) == ([], 1, 1)
    finish(spool, "a")
    assert waiting(spool) == [(1, "a", "completed")]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.glob("spool*.sqlite3*")}


async def killed_with_log(open_spool: Open, folder: Path, tmp_path: Path) -> Path:
    """Leave what a killed process leaves: a write-ahead log with five events. Returns the log."""
    spool = open_spool()
    for name in "abcde":
        await admit(spool, name)
        finish(spool, name)
    files = contents(folder)
    spool.close()
    for path, content in files.items():
        path.write_bytes(content)
    return spool_file(folder).with_name(spool_file(folder).name + "-wal")


async def test_a_log_that_ends_within_a_transaction_is_what_a_killed_process_leaves(
    open_spool: Open, folder: Path, tmp_path: Path
) -> None:
    log = await killed_with_log(open_spool, folder, tmp_path)
    log.write_bytes(log.read_bytes()[:-100])

    spool = open_spool()

    assert spool.damaged_files == 0
    assert waiting(spool)[:4] == [(number, name, "completed") for number, name in enumerate("abcd", 1)]


@pytest.mark.parametrize("position", [0, 20, 32 + 8, 32 + 24 + 50, -9000])
async def test_a_damaged_log_costs_nothing_of_what_came_after_the_damage(
    open_spool: Open, folder: Path, tmp_path: Path, position: int
) -> None:
    log = await killed_with_log(open_spool, folder, tmp_path)
    content = bytearray(log.read_bytes())
    content[position] ^= 1
    log.write_bytes(content)

    spool = open_spool()

    assert [found[1:] for found in waiting(spool)] == [(name, "completed") for name in "abcde"]
    assert spool.damaged_files == 1


async def test_a_log_whose_beginning_is_gone_is_read_all_the_same(
    open_spool: Open, folder: Path, tmp_path: Path
) -> None:
    log = await killed_with_log(open_spool, folder, tmp_path)
    overwrite(log, 0, bytes(32))

    spool = open_spool()

    assert [found[1:] for found in waiting(spool)] == [(name, "completed") for name in "abcde"]
    assert spool.damaged_files == 1


async def test_a_damaged_file_is_kept_with_its_log_as_it_was_found(
    open_spool: Open, folder: Path, tmp_path: Path
) -> None:
    log = await killed_with_log(open_spool, folder, tmp_path)
    path = spool_file(folder)
    overwrite(path, 100, bytes(50))  # the top of the table of tables, which is not in the log
    left = path.read_bytes(), log.read_bytes()

    spool = open_spool()

    (aside,) = damaged_files(folder)
    assert (aside.read_bytes(), aside.with_name(aside.name + "-wal").read_bytes()) == left
    assert [found[1:] for found in waiting(spool)] == [(name, "completed") for name in "abcde"]


async def test_damage_found_while_running_costs_no_exchange_under_way(open_spool: Open, folder: Path) -> None:
    spool = open_spool()
    await admit(spool, "a")
    finish(spool, "a")
    await admit(spool, "under-way")
    first = spool.producer_id
    spool._file.connection.execute("DROP TABLE admitted")

    await admit(spool, "b")
    finish(spool, "under-way")
    finish(spool, "b")

    assert sorted(waiting(spool), key=lambda found: found[1]) == [
        (1, "a", "completed"),
        (2, "b", "completed"),
        (1, "under-way", "completed"),
    ]
    assert spool.producer_id != first
    assert spool.damaged_files == len(damaged_files(folder)) == 1
    spool.close()
    assert len(waiting(open_spool())) == 3


async def test_a_replacement_that_was_broken_off_is_completed(open_spool: Open, folder: Path) -> None:
    await leave(open_spool)
    path = spool_file(folder)
    path.rename(path.with_name(path.name + ".replacement"))
    path.write_bytes(b"the damaged one")

    spool = open_spool()

    assert [found[1] for found in waiting(spool)] == ["a", "b", "open"]
    assert [aside.read_bytes() for aside in damaged_files(folder)] == [b"the damaged one"]


async def test_a_file_of_a_later_version_is_left_to_it_as_it_is(
    open_spool: Open, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    producer = await leave(open_spool)
    later = spool_file(folder)
    note_format(later, FORMAT + 1)
    content = later.read_bytes()

    own = open_spool()
    finish(own, "mine")

    (told,) = caplog.records
    assert (told.levelno, str(later) in told.message) == (logging.ERROR, True)
    assert "start the later version" in told.message
    assert adopt(folder, 10**9) is None
    assert own.producer_id != producer
    assert (waiting(own), later.read_bytes()) == ([(1, "mine", "completed")], content)
    note_format(later, FORMAT)
    with closing(adopt(folder, 10**9) or pytest.fail("nothing to adopt")) as adopted:
        assert (adopted.producer_id, waiting(adopted)) == (producer, [*ALL[:2], (3, "open", "proxy_error")])
