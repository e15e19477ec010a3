import asyncio
import logging
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from phoebe_addon.spool import folder
from phoebe_addon.spool.file import SpoolFile
from phoebe_addon.spool.salvage import log_is_damaged
from phoebe_addon.spool.spool import Spool, SpoolError, SpoolFullError
from phoebe_addon.spool.spools import open_own
from tests.harness.spooled import NOW, admit, event, finish, spool_file, waiting
from tests.harness.waiting import wait_until

BIG = 100_000

type Open = Callable[..., Spool]


def fill_disk(spool: Spool) -> None:
    """Make SQLite find no room for another page, as on a full disk."""
    pages = spool._file.connection.execute("PRAGMA page_count").fetchone()[0]
    spool._file.connection.execute(f"PRAGMA max_page_count = {pages}")


def free_disk(spool: Spool) -> None:
    spool._file.connection.execute("PRAGMA max_page_count = 1000000")


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SpoolError, match="can't be used"):
        open_own(tmp_path / "file" / "spool", 10**9)


async def test_a_full_spool_admits_nothing_but_lets_exchanges_end(open_spool: Open) -> None:
    spool = open_spool(bytes_max=300_000)
    await admit(spool, "a")
    for name in ("b", "c", "d"):
        finish(spool, name, BIG)
    assert spool.bytes_used > 300_000

    with pytest.raises(SpoolFullError, match="300000 bytes"):
        await admit(spool, "e")
    finish(spool, "a")

    assert waiting(spool)[-1] == (4, "a", "completed")


async def test_a_full_spool_admits_again_once_events_are_forgotten(open_spool: Open) -> None:
    spool = open_spool(bytes_max=300_000)
    for name in ("a", "b", "c"):
        finish(spool, name, BIG)
    await spool.forget(spool.read(3))

    await admit(spool, "d")


async def test_nothing_is_admitted_while_the_disk_fails(open_spool: Open) -> None:
    spool = open_spool()
    fill_disk(spool)

    with pytest.raises(SpoolError, match="can't be written"):
        await spool.admit("a", event("a", size=BIG), NOW)
    assert spool.state().open_exchanges == 0
    free_disk(spool)
    await admit(spool, "b")
    spool.close()

    assert waiting(open_spool()) == [(1, "b", "proxy_error")]


def test_the_end_of_an_exchange_is_written_again_until_the_disk_takes_it(
    open_spool: Open, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool()
    fill_disk(spool)
    with caplog.at_level(logging.ERROR):
        written = spool.finish("a", [event("a", size=BIG)], NOW)
        wait_until(lambda: "the spool can't be written" in caplog.text)
        commits = spool.commits
    assert not written.is_over
    assert f"it is on the disk of this proxy, {spool.path}" in caplog.text
    free_disk(spool)

    spool.block_until_durable(written, 10)
    assert spool.commits > commits
    wait_until(lambda: "the spool can be written again, after" in caplog.text)

    assert waiting(spool) == [(1, "a", "completed")]


def test_what_cannot_be_written_before_the_end_is_reported_as_lost(open_spool: Open) -> None:
    spool = open_spool()
    fill_disk(spool)
    written = spool.finish("a", [event("a", size=BIG)], NOW)
    spool.close()

    with pytest.raises(SpoolError, match="can't be written"):
        spool.block_until_durable(written, 10)


async def test_what_fails_takes_no_number(open_spool: Open) -> None:
    spool = open_spool()
    fill_disk(spool)
    written = spool.finish("a", [event("a", size=BIG)], NOW)
    with pytest.raises(SpoolError):
        await admit(spool, "b")
    assert spool.state().last_seq == 0
    free_disk(spool)
    spool.block_until_durable(written, 10)
    finish(spool, "b")

    assert waiting(spool) == [(1, "a", "completed"), (2, "b", "completed")]


async def test_the_events_of_an_exchange_come_all_or_none(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()
    await admit(spool, "a")
    append, failures = SpoolFile.append, [sqlite3.OperationalError("disk I/O error")]

    def fail_once(file: SpoolFile, time_us: int, content: bytes) -> None:
        if content == event("a-2") and failures:
            raise failures.pop()
        append(file, time_us, content)

    monkeypatch.setattr(SpoolFile, "append", fail_once)
    written = spool.finish("a", [event("a"), event("a-1"), event("a-2")], NOW)
    spool.block_until_durable(written, 10)
    assert not failures

    assert waiting(spool) == [(1, "a", "completed"), (2, "a-1", "completed"), (3, "a-2", "completed")]


async def test_a_bug_in_a_change_fails_that_one_alone_and_the_spool_goes_on(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool()
    append = SpoolFile.append

    def fail(file: SpoolFile, time_us: int, content: bytes) -> None:
        append(file, time_us, content)
        if content == event("bad"):
            raise KeyError("a bug")

    monkeypatch.setattr(SpoolFile, "append", fail)
    with spool._lock:
        spool.note_stopped(stopped=False)
        await asyncio.sleep(0)
        # The writer waits for the lock with it, and takes the next ones together.
        wait_until(lambda: not spool._writer.waiting_count)
        changes = [spool.finish(name, [event(name)], NOW) for name in ("a", "bad", "b")]

    with pytest.raises(SpoolError, match="a bug"):
        spool.block_until_durable(changes[1], 10)
    for change in changes[::2]:
        spool.block_until_durable(change, 10)
    await admit(spool, "c")
    finish(spool, "d")

    assert waiting(spool) == [(1, "a", "completed"), (2, "b", "completed"), (3, "d", "completed")]
    assert "KeyError" in caplog.text


async def test_who_is_not_admitted_for_a_bug_hears_of_it_at_once(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()

    def fail(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(SpoolFile, "admit", fail)
        with pytest.raises(SpoolError, match="MemoryError"):
            await admit(spool, "a")
    assert spool.state().open_exchanges == 0
    await admit(spool, "b")


async def test_a_closed_spool_refuses_everything(open_spool: Open) -> None:
    spool = open_spool()
    spool.close()
    spool.close()

    with pytest.raises(SpoolError, match="closed"):
        await admit(spool, "a")
    with pytest.raises(SpoolError, match="closed"):
        finish(spool, "a")
    with pytest.raises(SpoolError, match="can't be read"):
        spool.read(10)
    with pytest.raises(SpoolError, match="can't be read"):
        spool.state()


async def test_a_file_that_may_grow_no_more_is_as_a_full_disk(open_spool: Open) -> None:
    spool = open_spool()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        with pytest.raises(SpoolError, match="can't be written"):
            await spool.admit("a", event("a", size=BIG), NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await admit(spool, "b")
    finish(spool, "b")

    assert waiting(spool) == [(1, "b", "completed")]


async def test_what_a_transaction_that_failed_left_in_the_log_is_not_taken_for_damage(
    open_spool: Open, tmp_path: Path
) -> None:
    spool = open_spool()
    await admit(spool, "a")
    path = Path(f"{spool_file(tmp_path / 'spool')}-wal")

    def log() -> bytes:
        """The write-ahead log, as a killed process would leave it."""
        return path.read_bytes()

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(log()) + BIG // 2, before[1]))
    try:
        with pytest.raises(SpoolError, match="can't be written"):
            await spool.admit("b", event("b", size=BIG), NOW)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    finish(spool, "a")

    assert not log_is_damaged(log())
    finish(spool, "c")
    assert not log_is_damaged(log())
    assert waiting(spool) == [(1, "a", "completed"), (2, "c", "completed")]


async def test_a_value_that_sqlite_does_not_take_holds_up_no_other(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()
    append = SpoolFile.append

    def refuse(file: SpoolFile, time_us: int, content: bytes) -> None:
        if content == event("bad"):
            raise sqlite3.DataError("string or blob too big")
        append(file, time_us, content)

    monkeypatch.setattr(SpoolFile, "append", refuse)
    changes = [spool.finish(name, [event(name)], NOW) for name in ("bad", "a")]

    with pytest.raises(SpoolError, match="too big"):
        await spool.until_durable(changes[0], 10)
    await spool.until_durable(changes[1], 10)
    await admit(spool, "b")


async def test_who_measures_wrongly_does_not_stop_the_writer(
    open_spool: Open, caplog: pytest.LogCaptureFixture
) -> None:
    spool = open_spool()
    spool.measure(lambda _: 1 / 0)  # type: ignore[arg-type]
    await admit(spool, "a")
    await admit(spool, "b")

    assert spool.state().open_exchanges == 2
    wait_until(lambda: "can't be measured" in caplog.text)


def test_a_file_that_can_not_be_removed_is_nobody_s_all_the_same(
    open_spool: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()

    def refuse(_: Path) -> None:
        raise OSError("the disk is read-only")

    with monkeypatch.context() as patch:
        patch.setattr(folder, "remove_file", refuse)
        with pytest.raises(SpoolError, match="read-only"):
            spool.close_and_remove()
    again = open_spool()

    assert again.path == spool.path
