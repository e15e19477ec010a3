import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from phoebe_addon.spool import Spool, SpooledEvent, SpoolError, SpoolFullError

BIG = b"x" * 100_000

type Open = Callable[..., Spool]


def events(spool: Spool) -> list[bytes]:
    return [spooled.event for spooled in spool.read(0, 1000)]


def finish(spool: Spool, request_id: str, event: bytes) -> None:
    spool.finish(request_id, event).result(timeout=10)


def fill_disk(spool: Spool) -> None:
    """Make SQLite find no room for another page, as on a full disk."""
    pages = spool._connection.execute("PRAGMA page_count").fetchone()[0]
    spool._connection.execute(f"PRAGMA max_page_count = {pages}")


def free_disk(spool: Spool) -> None:
    spool._connection.execute("PRAGMA max_page_count = 1000000")


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in 10 s"
        time.sleep(0.01)


def test_a_second_process_is_told_to_take_a_folder_of_its_own(open_spool: Open) -> None:
    open_spool()

    with pytest.raises(SpoolError, match=r"in use by another process.*--set phoebe_spool="):
        open_spool()


def test_a_file_that_is_no_spool_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite3").write_bytes(b"not a database" * 100)

    with pytest.raises(SpoolError, match="can't be opened"):
        Spool(tmp_path, 10**9)


def test_a_spool_whose_tables_are_gone_is_refused(open_spool: Open, tmp_path: Path) -> None:
    open_spool().close()
    with sqlite3.connect(tmp_path / "spool" / "spool.sqlite3") as connection:
        connection.execute("DROP TABLE admission")
    connection.close()

    with pytest.raises(SpoolError, match="can't be opened"):
        open_spool()


def test_a_spool_of_another_version_is_left_alone(open_spool: Open, tmp_path: Path) -> None:
    open_spool().close()
    with sqlite3.connect(tmp_path / "spool" / "spool.sqlite3") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(SpoolError, match=r"another version of Phoebe \(format 99\)"):
        open_spool()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SpoolError, match="can't be used"):
        Spool(tmp_path / "file" / "spool", 10**9)


async def test_a_full_spool_admits_nothing_but_lets_exchanges_end(open_spool: Open) -> None:
    spool = open_spool(bytes_max=300_000)
    await spool.admit("a", b"admission a")
    for name in ("b", "c", "d"):
        finish(spool, name, BIG)
    assert spool.bytes_used > 300_000

    with pytest.raises(SpoolFullError, match="300000 bytes"):
        await spool.admit("e", b"admission e")
    finish(spool, "a", b"event a")

    assert events(spool)[-1] == b"event a"


async def test_a_full_spool_admits_again_once_events_are_forgotten(open_spool: Open) -> None:
    spool = open_spool(bytes_max=300_000)
    for name in ("a", "b", "c"):
        finish(spool, name, BIG)
    await spool.forget([1, 2, 3])

    await spool.admit("d", b"admission d")


async def test_nothing_is_admitted_while_the_disk_fails(open_spool: Open) -> None:
    spool = open_spool()
    fill_disk(spool)

    with pytest.raises(SpoolError, match="can't be written"):
        await spool.admit("a", BIG)
    free_disk(spool)
    await spool.admit("b", b"admission b")
    spool.close()

    assert events(open_spool()) == [b"admission b"]


def test_the_end_of_an_exchange_is_written_again_until_the_disk_takes_it(
    open_spool: Open, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool()
    fill_disk(spool)
    with caplog.at_level(logging.ERROR):
        future = spool.finish("a", BIG)
        wait_until(lambda: caplog.text.count("the spool can't be written") >= 2)
    assert not future.done()
    free_disk(spool)

    future.result(timeout=10)

    assert spool.read(0, 10) == [SpooledEvent(1, BIG)]


def test_what_cannot_be_written_before_the_end_is_reported_as_lost(open_spool: Open) -> None:
    spool = open_spool()
    fill_disk(spool)
    future = spool.finish("a", BIG)
    spool.close()

    with pytest.raises(SpoolError, match="can't be written"):
        future.result(timeout=10)


async def test_an_admission_that_fails_takes_no_number(open_spool: Open) -> None:
    spool = open_spool()
    fill_disk(spool)
    with pytest.raises(SpoolError):
        await spool.admit("a", BIG)
    free_disk(spool)
    finish(spool, "b", b"event b")

    assert spool.read(0, 10) == [SpooledEvent(1, b"event b")]


async def test_a_closed_spool_refuses_everything(open_spool: Open) -> None:
    spool = open_spool()
    spool.close()
    spool.close()

    with pytest.raises(SpoolError, match="closed"):
        await spool.admit("a", b"admission a")
    with pytest.raises(SpoolError, match="closed"):
        finish(spool, "a", b"event a")
    with pytest.raises(SpoolError, match="can't be read"):
        spool.read(0, 10)
    with pytest.raises(SpoolError, match="can't be read"):
        spool.depth()
