import asyncio
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from phoebe_addon.spool.spool import Spool, SpoolError, SpoolFullError
from tests.harness.spooled import NOW, admit, event, finish, spool_file, waiting

type Open = Callable[..., Spool]


async def test_an_admitted_exchange_is_on_disk_and_no_event_yet(open_spool: Open, tmp_path: Path) -> None:
    spool = open_spool()
    await admit(spool, "a")

    assert waiting(spool) == []
    spool.close()
    with sqlite3.connect(spool_file(tmp_path / "spool")) as connection:
        ((record,),) = connection.execute("SELECT record FROM admitted").fetchall()
    connection.close()
    assert event("a", "proxy_error") in record


async def test_an_ended_exchange_is_an_event_that_outlives_the_process(open_spool: Open) -> None:
    spool = open_spool()
    await admit(spool, "a")
    finish(spool, "a")
    spool.close()

    again = open_spool()

    assert again.recovered == 0
    assert waiting(again) == [(1, "a", "completed")]


async def test_exchanges_cut_off_by_a_stop_become_events_at_the_next_start(open_spool: Open) -> None:
    spool = open_spool()
    for name in ("b", "a", "c"):
        await admit(spool, name)
    finish(spool, "c")
    spool.close()

    again = open_spool()

    assert again.recovered == 2
    assert waiting(again) == [(1, "c", "completed"), (2, "b", "proxy_error"), (3, "a", "proxy_error")]
    again.close()
    assert open_spool().recovered == 0


def test_events_are_numbered_without_gaps_by_one_producer_over_all_starts(open_spool: Open) -> None:
    producers, numbers = set(), []
    for _ in range(3):
        spool = open_spool()
        for name in ("a", "b"):
            finish(spool, name)
        read = spool.read(10)
        numbers += [spooled.producer_seq for spooled in read]
        producers |= {spooled.producer_id for spooled in read}
        asyncio.run(spool.forget(read))
        spool.close()

    assert numbers == [1, 2, 3, 4, 5, 6]
    assert producers == {spool.producer_id}


async def test_only_forgotten_events_go(open_spool: Open) -> None:
    spool = open_spool()
    for name in "abc":
        finish(spool, name)
    first, _, third = spool.read(10)
    await spool.forget([first, third])
    await spool.forget([])
    assert spool.depth() == 1
    spool.close()

    again = open_spool()
    assert waiting(again) == [(2, "b", "completed")]
    assert again.depth() == 1


def test_events_are_read_oldest_first_up_to_a_number_and_a_size(open_spool: Open) -> None:
    spool = open_spool()
    for name in "abc":
        finish(spool, name, size=1000)

    assert [spooled.producer_seq for spooled in spool.read(2)] == [1, 2]
    assert [spooled.producer_seq for spooled in spool.read(10, 2500)] == [1, 2]
    assert [spooled.producer_seq for spooled in spool.read(10, 1)] == [1]


def test_the_folder_is_for_its_owner_only(open_spool: Open, tmp_path: Path) -> None:
    open_spool()

    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


async def test_all_that_is_asked_for_at_once_is_done(open_spool: Open) -> None:
    spool = open_spool()
    names = [str(number) for number in range(3000)]
    await asyncio.gather(*(admit(spool, name) for name in names))
    await asyncio.gather(*(spool.until_durable(spool.finish(name, [event(name)], NOW)) for name in names))
    spool.close()

    again = open_spool()

    assert again.recovered == 0
    assert waiting(again) == [(number + 1, name, "completed") for number, name in enumerate(names)]


def test_changes_that_wait_together_are_committed_together(open_spool: Open) -> None:
    spool = open_spool()
    statements: list[str] = []
    spool._file.connection.set_trace_callback(statements.append)

    with spool._lock:
        written = [spool.finish(str(number), [event(str(number))], NOW) for number in range(500)]
    for each in written:
        spool.block_until_durable(each, 10)

    # One for what the writer had taken already, one for the rest.
    assert statements.count("COMMIT") <= 2


async def test_what_one_round_of_the_loop_brings_is_one_commit(open_spool: Open) -> None:
    spool = open_spool()
    await admit(spool, "first")
    statements: list[str] = []
    spool._file.connection.set_trace_callback(statements.append)

    written = [spool.finish(str(number), [event(str(number))], NOW) for number in range(50)]
    await asyncio.gather(*(admit(spool, f"next-{number}") for number in range(50)))
    await asyncio.gather(*map(spool.until_durable, written))

    assert statements.count("COMMIT") == 1


async def test_a_loop_that_is_gone_does_not_keep_changes_from_the_next_one(open_spool: Open) -> None:
    spool = open_spool()

    async def finish_and_go() -> None:
        spool.finish("a", [event("a")], NOW)

    await asyncio.to_thread(asyncio.run, finish_and_go())

    await asyncio.wait_for(admit(spool, "b"), 10)


async def test_what_comes_after_closing_fails(open_spool: Open) -> None:
    spool = open_spool()
    spool.close()

    with pytest.raises(SpoolError, match="closed"):
        await admit(spool, "late")
    with pytest.raises(SpoolError, match="closed"):
        spool.block_until_durable(spool.finish("later", [event("later")], NOW), 10)


def test_what_was_asked_for_before_closing_is_still_written(open_spool: Open) -> None:
    spool = open_spool()
    written = [spool.finish(str(number), [event(str(number))], NOW) for number in range(100)]
    spool.close()

    assert all(each.is_over for each in written)
    assert len(waiting(open_spool())) == 100


async def test_the_state_tells_what_is_given_waits_and_is_open(open_spool: Open) -> None:
    spool = open_spool()
    for name in "abc":
        await admit(spool, name)
    finish(spool, "a")
    finish(spool, "b")
    (first, _) = spool.read(10)
    await spool.forget([first])

    state = spool.state()

    assert (state.producer_id, state.last_seq) == (spool.producer_id, 2)
    assert (state.spooled_events, state.open_exchanges, state.lost_rows) == (1, 1, 0)


async def test_nothing_of_a_time_is_still_to_come_once_it_is_all_acknowledged(open_spool: Open) -> None:
    spool = open_spool()
    before = datetime.now(UTC)
    assert before <= spool.state().complete_until <= datetime.now(UTC)

    await admit(spool, "open", NOW + timedelta(seconds=9))
    for seconds in (7, 5, 8):
        finish(spool, str(seconds), time=NOW + timedelta(seconds=seconds))
    assert spool.state().complete_until == NOW + timedelta(seconds=5)

    # The first two are part of the message that tells it.
    batch = spool.read(2)
    assert spool.state(batch[-1].id).complete_until == NOW + timedelta(seconds=8)
    await spool.forget(spool.read(10))
    assert spool.state().complete_until == NOW + timedelta(seconds=9)
    finish(spool, "open", time=NOW + timedelta(seconds=10))
    await spool.forget(spool.read(10))
    assert spool.state().complete_until >= before


async def test_an_admission_that_was_not_recorded_is_not_open(open_spool: Open) -> None:
    spool = open_spool(bytes_max=1)
    try:
        await admit(spool, "a")
    except SpoolFullError:
        assert spool.state().open_exchanges == 0
    else:
        raise AssertionError("a full spool admitted")


async def test_more_than_one_statement_takes_is_written_in_one_transaction(open_spool: Open) -> None:
    spool = open_spool()
    names = [f"n{number:03}" for number in range(150)]
    await asyncio.gather(*(admit(spool, name) for name in names))
    admitted = spool.commits
    for name in names[:100]:
        spool.finish(name, [event(name)], NOW)
    spool.close()

    again = open_spool()

    assert admitted < len(names)
    assert again.recovered == 50
    ended = [(name, "completed") for name in names[:100]] + [(name, "proxy_error") for name in names[100:]]
    assert waiting(again) == [(number, *each) for number, each in enumerate(ended, 1)]
