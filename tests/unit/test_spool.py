import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from phoebe_addon.spool import Spool, SpooledEvent


def events(spool: Spool) -> list[bytes]:
    return [spooled.event for spooled in spool.read(0, 1000)]


def finish(spool: Spool, request_id: str, event: bytes) -> None:
    spool.finish(request_id, event).result(timeout=10)


type Open = Callable[..., Spool]


async def test_an_admitted_exchange_is_on_disk_and_no_event_yet(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    await spool.admit("a", b"admission a")

    assert events(spool) == []
    spool.close()
    with sqlite3.connect(tmp_path / "spool" / "spool.sqlite3") as connection:
        assert connection.execute("SELECT * FROM admission").fetchall() == [("a", b"admission a")]
    connection.close()


async def test_an_ended_exchange_is_an_event_that_outlives_the_process(open_spool: Open) -> None:
    spool = open_spool()
    await spool.admit("a", b"admission a")
    finish(spool, "a", b"event a")
    spool.close()

    again = open_spool()

    assert again.recovered == 0
    assert again.read(0, 10) == [SpooledEvent(1, b"event a")]


async def test_exchanges_cut_off_by_a_stop_become_events_at_the_next_start(open_spool: Open) -> None:
    spool = open_spool()
    for name in ("b", "a", "c"):
        await spool.admit(name, f"admission {name}".encode())
    finish(spool, "c", b"event c")
    spool.close()

    again = open_spool()

    assert again.recovered == 2
    assert events(again) == [b"event c", b"admission a", b"admission b"]
    again.close()
    assert open_spool().recovered == 0


KILLED = """
import asyncio, os, sys
from pathlib import Path
from phoebe_addon.spool import Spool

async def main():
    spool = Spool(Path(sys.argv[1]), 10**9)
    await spool.admit("a", b"admission a")
    await spool.admit("b", b"admission b")
    await asyncio.wrap_future(spool.finish("a", b"event a"))
    print(spool.producer_id, flush=True)
    os._exit(9)

asyncio.run(main())
"""


def test_a_process_that_is_killed_loses_nothing(open_spool: Open, tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "spool"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert killed.returncode == 9, killed.stderr

    spool = open_spool()

    assert spool.producer_id == killed.stdout.strip()
    assert spool.recovered == 1
    assert events(spool) == [b"event a", b"admission b"]


def test_events_are_numbered_without_gaps_by_one_producer_over_all_starts(open_spool: Open) -> None:
    producers, numbers = set(), []
    for _ in range(3):
        spool = open_spool()
        for name in ("a", "b"):
            finish(spool, name, b"event")
        read = [spooled.producer_seq for spooled in spool.read(0, 10)]
        numbers += read
        producers.add(spool.producer_id)
        asyncio.run(spool.forget(read))
        spool.close()

    assert numbers == [1, 2, 3, 4, 5, 6]
    assert len(producers) == 1


def test_two_spools_are_two_producers(tmp_path: Path) -> None:
    spools = [Spool(tmp_path / name, 10**9) for name in ("a", "b")]
    for spool in spools:
        spool.close()

    assert spools[0].producer_id != spools[1].producer_id


async def test_only_forgotten_events_go(open_spool: Open) -> None:
    spool = open_spool()
    for name in "abc":
        finish(spool, name, name.encode())
    await spool.forget([1, 3])
    await spool.forget([])
    assert spool.depth() == 1
    spool.close()

    assert open_spool().read(0, 10) == [SpooledEvent(2, b"b")]


def test_events_are_read_oldest_first_in_pages(open_spool: Open) -> None:
    spool = open_spool()
    for name in "abcd":
        finish(spool, name, name.encode())

    assert [spooled.event for spooled in spool.read(0, 2)] == [b"a", b"b"]
    assert [spooled.event for spooled in spool.read(2, 2)] == [b"c", b"d"]
    assert spool.read(4, 2) == []


def test_the_folder_is_for_its_owner_only(open_spool: Open, tmp_path: Path) -> None:
    open_spool()

    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


async def test_all_that_is_asked_for_at_once_is_done(open_spool: Open) -> None:
    spool = open_spool()
    names = [str(number) for number in range(3000)]
    await asyncio.gather(*(spool.admit(name, b"admission") for name in names))
    await asyncio.gather(*(asyncio.wrap_future(spool.finish(name, name.encode())) for name in names))
    spool.close()

    again = open_spool()

    assert again.recovered == 0
    assert [spooled.event for spooled in again.read(0, 5000)] == [name.encode() for name in names]


def test_changes_that_wait_together_are_committed_together(open_spool: Open) -> None:
    spool = open_spool()
    statements: list[str] = []
    spool._connection.set_trace_callback(statements.append)

    with spool._lock:
        futures = [spool.finish(str(number), b"event") for number in range(500)]
    for future in futures:
        future.result(timeout=10)

    # One for what the writer had taken already, one for the rest.
    assert statements.count("COMMIT") <= 2


def test_what_was_asked_for_before_closing_is_still_written(open_spool: Open) -> None:
    spool = open_spool()
    futures = [spool.finish(str(number), b"event") for number in range(100)]
    spool.close()

    assert all(future.done() for future in futures)
    assert len(events(open_spool())) == 100
