"""The simulator's faults do what they say to real processes and connections."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from chaos.clock import write_clock
from chaos.disk import Disk, unwatched_because
from chaos.network import Network
from chaos.part import LAUNCHER
from chaos.relay import Order, Relay
from phoebe_proto.v1 import metering_pb2 as pb
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from rig.programs import PROJECT
from tests.harness.python_child import Child, child
from tests.harness.recording_rater import RecordingRater

# A spool's own way with SQLite: it says how each commit went that it is asked for.
COMMITS = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
    database.execute(f"PRAGMA {pragma}")
database.execute("CREATE TABLE t (n)")
print("ready", flush=True)
for line in sys.stdin:
    try:
        database.execute("INSERT INTO t VALUES (1)")
        print("committed", flush=True)
    except sqlite3.Error as error:
        print(error.sqlite_errorname, flush=True)
"""
TIMES = """
import datetime, sys, time
for line in sys.stdin:
    print(time.time(), time.time_ns() / 1e9, datetime.datetime.now(datetime.UTC).timestamp(), flush=True)
"""


@contextmanager
def confined(channel: socket.socket | None, *arguments: str) -> Iterator[Child]:
    """A Python program as the simulator starts its parts."""
    number = None if channel is None else channel.fileno()
    words = [sys.executable, "-I", "-S", LAUNCHER, "-" if number is None else str(number)]
    with child([*words, sys.executable, *arguments], channel=number) as asked:
        yield asked


@contextmanager
def watched(disk: Disk, database: Path) -> Iterator[Child]:
    ours, theirs = socket.socketpair()
    disk.watch(ours)
    with confined(theirs, "-c", COMMITS, str(database)) as asked:
        theirs.close()
        assert asked.hear() == "ready"
        yield asked


needs_watching = pytest.mark.skipif(
    unwatched_because() is not None, reason=f"disk calls can't be watched here: {unwatched_because()}"
)


@needs_watching
def test_a_disk_fills_up_fails_to_flush_and_heals(tmp_path: Path) -> None:
    disk = Disk()
    with watched(disk, tmp_path / "database") as asked:
        assert asked.ask() == "committed"
        disk.fill()
        assert asked.ask() == "SQLITE_FULL"
        disk.heal()
        assert asked.ask() == "committed"
        disk.fail_flushes(1)
        assert asked.ask() == "SQLITE_IOERR_FSYNC"
        disk.heal()
        assert asked.ask() == "committed"
        assert asked.end() == 0


@needs_watching
def test_a_process_dies_at_a_call_of_its_disk(tmp_path: Path) -> None:
    disk = Disk()
    with watched(disk, tmp_path / "database") as asked:
        disk.kill_at_call(5)
        answers = [asked.ask()]
        while answers[-1] == "committed":
            answers.append(asked.ask())
        assert len(answers) in {2, 3}  # a commit takes a flush and one or two writes
        assert asked.end() == -signal.SIGKILL


def test_a_clock_jumps_for_everything_that_asks_for_the_time_of_day(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    write_clock(file, 0)
    program = f"import os, runpy\nos.environ['CHAOS_CLOCK'] = {str(file)!r}\n"
    program += f"runpy.run_path({str(PROJECT / 'chaos' / 'clock.py')!r})\n{TIMES}"
    with confined(None, "-c", program) as asked:
        before = [float(word) for word in asked.ask().split()]
        write_clock(file, -86400)
        after = [float(word) for word in asked.ask().split()]
        assert asked.end() == 0
    assert max(before) - min(before) < 60
    assert all(-86400 <= then - first < -86000 for first, then in zip(before, after, strict=True))


@asynccontextmanager
async def relayed() -> AsyncIterator[tuple[RecordingRater, Relay, Network, str]]:
    """A rater behind a relay behind a network; the address to send to."""
    rater, relay, network = RecordingRater(), Relay(), Network()
    await rater.start()
    relay.target = f"127.0.0.1:{rater.port}"
    port = await network.start(await relay.start())
    try:
        yield rater, relay, network, f"127.0.0.1:{port}"
    finally:
        await network.stop()
        await relay.stop()
        await rater.stop()


async def send(address: str, number: int, user: str = "") -> pb.StreamEventsResponse | grpc.StatusCode:
    """Send a batch of one event over a stream of its own; gives the answer, or how the stream ended."""
    event = pb.MeteringEvent(request_id=f"r{number}", producer_seq=number, user_id=user)
    request = pb.StreamEventsRequest(batch_id=str(number), events=[event])
    # Otherwise a channel waits as long as another one of this process that could not connect a moment ago.
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with grpc.aio.insecure_channel(address, options) as channel:
        stream = MeteringServiceStub(channel).StreamEvents()
        try:
            async with asyncio.timeout(20):
                await stream.write(request)
                answer = await stream.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return await stream.code()
    assert isinstance(answer, pb.StreamEventsResponse)
    return answer


async def test_a_batch_is_repeated_and_answered_once() -> None:
    async with relayed() as (rater, relay, _, address):
        relay.order(Order.REPEAT, 0)
        answer = await send(address, 1)
        assert isinstance(answer, pb.StreamEventsResponse)
        assert [result.request_id for result in answer.results] == ["r1"]
        assert rater.sent() == [1, 1]


async def test_an_answer_is_lost_after_the_rater_gave_it() -> None:
    async with relayed() as (rater, relay, _, address):
        relay.order(Order.LOSE_ANSWER, 0)
        assert await send(address, 1) == grpc.StatusCode.UNAVAILABLE
        assert rater.sent() == [1]


async def test_a_batch_that_is_late_comes_after_later_ones() -> None:
    async with relayed() as (rater, relay, _, address):
        relay.order(Order.HOLD, 2)
        assert await send(address, 1) == grpc.StatusCode.UNAVAILABLE
        for number in (2, 3):
            assert isinstance(await send(address, number), pb.StreamEventsResponse)
        await relay.heal()
        assert rater.sent() == [2, 3, 1]


async def test_a_batch_that_is_late_comes_at_the_latest_when_all_is_healed() -> None:
    async with relayed() as (rater, relay, _, address):
        relay.order(Order.HOLD, 9)
        assert await send(address, 1) == grpc.StatusCode.UNAVAILABLE
        await relay.heal()
        assert rater.sent() == [1]


async def test_the_relay_notes_an_event_that_comes_with_other_content() -> None:
    async with relayed() as (_, relay, _, address):
        await send(address, 1)
        await send(address, 1)
        assert relay.changed == []
        relay.events["r1"].outcome = "completed"
        await send(address, 1)
        assert relay.changed == ["r1"]


async def test_a_network_that_is_cut_passes_nothing_until_it_is_healed() -> None:
    async with relayed() as (rater, _, network, address):
        network.cut()
        assert isinstance(await send(address, 1), grpc.StatusCode)
        network.heal()
        assert isinstance(await send(address, 2), pb.StreamEventsResponse)
        assert rater.sent() == [2]


async def test_a_network_that_stalls_holds_everything_back() -> None:
    async with relayed() as (rater, _, network, address):
        network.stall()
        sending = asyncio.create_task(send(address, 1))
        await asyncio.wait([sending], timeout=0.2)
        assert rater.sent() == []
        network.heal()
        assert isinstance(await sending, pb.StreamEventsResponse)


async def test_a_network_is_cut_within_a_message() -> None:
    async with relayed() as (rater, _, network, address):
        # A channel that is cut before it has sent anything of a call connects again, and the call goes on.
        network.cut_after(10_000)
        assert isinstance(await send(address, 1, user=100_000 * "u"), grpc.StatusCode)
        assert rater.sent() == []
        assert isinstance(await send(address, 2), pb.StreamEventsResponse)
