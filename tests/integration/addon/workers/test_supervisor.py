"""The supervisor, with workers that are small programs instead of mitmdump."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from phoebe_addon.workers import supervisor as supervisors
from phoebe_addon.workers.supervisor import GivenUpError, Supervisor
from phoebe_addon.workers.worker_process import WorkerProcess
from phoebe_runtime.operator_port import Answer
from phoebe_runtime.probes import ready_answer
from rig.ports import reserve_port
from tests.harness.waiting import until

# Serves its number to everybody who connects. FILE says what becomes of its start.
WORKER = """
import array, asyncio, pathlib, signal, socket, sys
from phoebe_addon.channel import Channel

number, count, descriptor, port, folder = sys.argv[1:]
folder = pathlib.Path(folder)
if (folder / f"fails-{number}").exists():
    sys.exit(3)
channel = Channel(socket.socket(fileno=int(descriptor)))
servers = {}
(folder / "pids").open("a").write(f"{number} {__import__('os').getpid()}\\n")

async def serve(reader, writer):
    writer.write(f"{number} {__import__('os').getpid()}".encode())
    writer.close()

async def report(count):
    well = not (folder / f"unwell-{number}").exists()
    counted = [["a", "counter", "", [["a_total", {}, count]]]]
    await channel.send({"metrics": counted, "conditions": [[well, "the spool can be written", True]]})

async def run():
    ended = asyncio.Event()
    stubborn = (folder / "stubborn").exists()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None if stubborn else ended.set())
    await channel.send({"listen": ["127.0.0.1", int(port)]})
    message, _ = await channel.receive()
    if "errno" in message:
        sys.exit(message["message"])
    await channel.send({"ready": True})
    ending = asyncio.create_task(ended.wait())
    while True:
        hearing = asyncio.create_task(channel.receive())
        await asyncio.wait([hearing, ending], return_when=asyncio.FIRST_COMPLETED)
        if not hearing.done() or hearing.result() is None:
            break
        message, files = hearing.result()
        if "take" in message:
            sockets = [socket.socket(fileno=file) for file in files]
            servers[message["take"]] = [await asyncio.start_server(serve, sock=each) for each in sockets]
            await channel.send({"taken": message["take"]})
        elif "leave" in message or "retire" in message:
            slots = [message["leave"]] if "leave" in message else list(servers)
            for slot in slots:
                for server in servers.pop(slot, ()):
                    server.close()
            if "retire" in message:
                break
        elif "report" in message:
            await report(5.0)
    await report(7.0)

asyncio.run(run())
"""


class Stand:
    """A supervisor whose workers serve their numbers on a port."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        self.folder = folder
        self.port = reserve_port()
        script = folder / "worker.py"
        script.write_text(WORKER)
        self.supervisor = Supervisor(
            count, [str(self.port), str(folder)], 300, program=(sys.executable, str(script))
        )

    def pids(self, number: int) -> list[int]:
        """The processes that a number has had."""
        lines = (self.folder / "pids").read_text().splitlines()
        return [int(line.split()[1]) for line in lines if line.startswith(f"{number} ")]

    def mark(self, name: str) -> None:
        (self.folder / name).touch()

    async def asked(self) -> tuple[int, int]:
        """Connect; return number and process of the worker that served."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        said = (await reader.read()).split()
        writer.close()
        return int(said[0]), int(said[1])

    async def serving(self, times: int = 40) -> set[tuple[int, int]]:
        return {await self.asked() for _ in range(times)}


@asynccontextmanager
async def running(stand: Stand) -> AsyncIterator[asyncio.Task[None]]:
    """Run a stand's supervisor, up to its end."""
    task = asyncio.create_task(stand.supervisor.run())
    try:
        await until(lambda: len(stand.supervisor._holders) == stand.supervisor.count or task.done())
        yield task
    finally:
        while not task.done():
            stand.supervisor.stop()
            await asyncio.wait([task], timeout=5)


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Stand:
    monkeypatch.setattr(supervisors, "PAUSE_MIN_S", 0.05)
    monkeypatch.setattr(supervisors, "PAUSE_MAX_S", 0.05)
    caplog.set_level(logging.INFO)
    return Stand(tmp_path)


def said(caplog: pytest.LogCaptureFixture, text: str) -> Callable[[], bool]:
    return lambda: text in caplog.text


async def test_connections_are_spread_over_all_workers(stand: Stand) -> None:
    async with running(stand) as task:
        assert {number for number, _ in await stand.serving()} == {1, 2}

        stand.supervisor.stop()
        await task


async def test_no_worker_is_given_sockets_before_connections_are_spread_over_all(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    listened_on: list[bool] = []
    take = WorkerProcess.take

    async def looking(worker: WorkerProcess, slot: int) -> None:
        for each in (1, 2):
            for _, files in stand.supervisor._addresses.sockets(each):
                with socket.socket(fileno=socket.dup(files[0])) as found:
                    listened_on.append(bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)))
        await take(worker, slot)

    monkeypatch.setattr(WorkerProcess, "take", looking)

    async with running(stand):
        assert listened_on == [True] * 4


async def test_while_a_worker_cannot_start_again_the_other_takes_its_connections(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(stand):
        stand.mark("fails-2")
        os.kill(stand.pids(2)[-1], signal.SIGKILL)
        await until(said(caplog, "was ended by SIGKILL; it is started again"))
        await until(said(caplog, "ended with status 3; it is started again"))

        assert {number for number, _ in await stand.serving()} == {1}

        (stand.folder / "fails-2").unlink()
        await until(lambda: stand.supervisor.serving == 2)
        assert {number for number, _ in await stand.serving()} == {1, 2}
    assert stand.supervisor.died == 1


async def test_a_reload_replaces_all_and_nobody_who_connects_meanwhile_is_refused(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(stand):
        before = await stand.serving()
        stand.supervisor.reload()
        during = set()
        while "reloaded" not in caplog.text:
            during.add(await stand.asked())
        await until(lambda: len(stand.supervisor._living) == 2)
        after = await stand.serving()

    assert {number for number, _ in after} == {1, 2}
    assert not after & before
    assert during <= before | after


async def test_a_reload_is_broken_off_when_the_new_worker_cannot_start(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(stand):
        before = await stand.serving()
        stand.mark("fails-1")
        stand.supervisor.reload()
        await until(said(caplog, "the reload is broken off: the new worker 1 ended with status 3"))

        assert await stand.serving() == before


async def test_counts_of_workers_that_have_ended_stay_in_the_sum(stand: Stand) -> None:
    async with running(stand):
        assert (await stand.supervisor.metrics())[0][3] == [("a_total", {}, 10.0)]
        stand.supervisor.reload()
        await until(lambda: len(stand.pids(2)) == 2 and len(stand.supervisor._living) == 2)

        assert (await stand.supervisor.metrics())[0][3] == [("a_total", {}, 24.0)]


async def ready(stand: Stand) -> Answer:
    await stand.supervisor.metrics()
    return ready_answer(stand.supervisor.conditions())


async def test_it_is_ready_while_workers_serve_and_nothing_keeps_one_from_recording(stand: Stand) -> None:
    async with running(stand):
        assert (await ready(stand)).status == 200
        stand.mark("unwell-2")
        assert (await ready(stand)).status == 503
        assert b"FAILED: worker 2: the spool can be written" in (await ready(stand)).content

        stand.mark("fails-2")
        os.kill(stand.pids(2)[-1], signal.SIGKILL)
        await until(lambda: stand.supervisor.serving == 1)
        assert (await ready(stand)).status == 200
        assert b"does not count: workers that serve: 1 of 2" in (await ready(stand)).content

        stand.supervisor.stop()
        assert (await ready(stand)).status == 503


async def test_when_the_first_worker_cannot_start_it_gives_up_in_words(stand: Stand) -> None:
    stand.mark("fails-1")

    with pytest.raises(GivenUpError, match=r"worker 1 ended with status 3 before it served.*mend that"):
        await stand.supervisor.run()

    assert not (stand.folder / "pids").exists()  # the second was not even tried


async def test_when_nothing_serves_any_more_and_nothing_comes_up_it_gives_up(stand: Stand) -> None:
    async with running(stand) as task:
        for number in (1, 2):
            stand.mark(f"fails-{number}")
        for number in (1, 2):
            os.kill(stand.pids(number)[-1], signal.SIGKILL)
        with pytest.raises(GivenUpError):
            await asyncio.wait_for(asyncio.shield(task), 30)


async def test_a_port_that_is_taken_is_told_by_the_worker(
    stand: Stand, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", stand.port)), pytest.raises(GivenUpError):
        await stand.supervisor.run()

    assert "Address already in use" in capfd.readouterr().err


async def test_a_worker_that_does_not_end_is_ended_at_the_third_time(stand: Stand) -> None:
    stand.mark("stubborn")
    async with running(stand) as task:
        stand.supervisor.stop()
        stand.supervisor.stop()
        assert not task.done()
        stand.supervisor.stop()
        await asyncio.wait_for(task, 30)


async def test_workers_end_by_themselves_when_the_supervisor_is_gone(stand: Stand) -> None:
    task = asyncio.create_task(stand.supervisor.run())
    await until(lambda: len(stand.supervisor._holders) == 2)
    workers = list(stand.supervisor._living)
    for worker in workers:
        assert worker._channel
        worker._channel._end.shutdown(socket.SHUT_RDWR)

    await until(lambda: all(worker.status is not None for worker in workers))
    stand.supervisor.stop()
    await asyncio.wait_for(task, 30)
    assert [worker.status for worker in workers] == [0, 0]
