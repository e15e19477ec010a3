"""`phoebe deliver`: what is left in the spools of a proxy that will not come back gets to the rater, once."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from phoebe_addon.emptying.command import main
from phoebe_addon.spool.spools import Belonging, open_own
from rig.ports import reserve_port
from rig.processes import start
from rig.programs import PROJECT, phoebe
from tests.harness import spooled
from tests.harness.events import EventRecorder

MINE, OTHER = "0190f3a2-7a1b-7c3d-8e4f-000000000001", "0190f3a2-7a1b-7c3d-8e4f-000000000002"

type Capture = pytest.CaptureFixture[str]


@pytest.fixture
def rater() -> Iterator[EventRecorder]:
    recorder = EventRecorder(installation=MINE)
    yield recorder
    recorder.close()


def leave(
    folder: Path, *request_ids: str, cut_off: str | None = None, installation: str | None = None
) -> str:
    """Leave a spool as a proxy does that was killed; returns its producer."""

    async def fill() -> str:
        spool = open_own(folder, 10**9, Belonging(installation))
        for request_id in request_ids:
            await spooled.admit(spool, request_id)
            spooled.finish(spool, request_id)
        if cut_off:
            await spooled.admit(spool, cut_off)
        producer = spool.producer_id
        await asyncio.to_thread(spool.close)
        return producer

    return asyncio.run(fill())


def deliver(folder: Path, port: int, *words: str) -> int:
    return main(["--spool", str(folder), "--rater", f"127.0.0.1:{port}", *words])


def spools(folder: Path) -> list[Path]:
    return sorted(folder.glob("spool*"))


def test_all_spools_are_emptied_and_the_rater_hears_that_their_producers_have_ended(
    tmp_path: Path, rater: EventRecorder, capsys: Capture
) -> None:
    first = leave(tmp_path, "a", "b", cut_off="c")
    (tmp_path / "second").mkdir(mode=0o700)
    second = leave(tmp_path / "second", "d")
    for path in spools(tmp_path / "second"):  # brought here by hand, as from another volume
        path.rename(tmp_path / path.name)

    assert deliver(tmp_path, rater.port) == 0

    assert sorted((event.request_id, event.outcome) for event in rater.events) == [
        ("a", "completed"),
        ("b", "completed"),
        ("c", "proxy_error"),
        ("d", "completed"),
    ]
    for producer in (first, second):
        status = rater.last_status(producer)
        assert (status.stopped, status.spooled_events) == (True, 0)
    assert spools(tmp_path) == []
    assert capsys.readouterr().out == (
        f"delivered 4 events (4 stored) from 2 spools in {tmp_path}; nothing is left\n"
    )
    assert deliver(tmp_path, rater.port) == 0
    assert "delivered 0 events from 0 spools" in capsys.readouterr().out


def test_what_a_living_process_has_is_left_to_it(
    tmp_path: Path, rater: EventRecorder, capsys: Capture
) -> None:
    async def beside_a_living_one() -> int:
        living = open_own(tmp_path, 10**9)
        spooled.finish(living, "x")
        try:
            return await asyncio.to_thread(deliver, tmp_path, rater.port)
        finally:
            await asyncio.to_thread(living.close)

    assert asyncio.run(beside_a_living_one()) == 2
    assert rater.events == []
    said = capsys.readouterr().out
    assert "1 spool left\nleft: spool-" in said
    assert "a living process has it" in said
    assert deliver(tmp_path, rater.port) == 0
    assert [event.request_id for event in rater.events] == ["x"]


def test_what_belongs_to_another_installation_is_named_and_left(
    tmp_path: Path, rater: EventRecorder, capsys: Capture
) -> None:
    leave(tmp_path, "a", installation=OTHER)

    assert deliver(tmp_path, rater.port) == 2
    said = capsys.readouterr().out
    assert f"(1 event): the events belong to the installation {OTHER}, and this is {MINE}" in said
    assert rater.events == []

    moved = (f"--set=phoebe_installation={MINE}", f"--set=phoebe_spool_moved_from={OTHER}")
    assert deliver(tmp_path, rater.port, *moved) == 0
    assert [event.request_id for event in rater.events] == ["a"]


def test_without_a_rater_it_gives_up_and_loses_nothing(
    tmp_path: Path, rater: EventRecorder, capsys: Capture
) -> None:
    leave(tmp_path, "a")

    assert deliver(tmp_path, reserve_port(), "--give-up", "0.3") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "has taken nothing for" in said.err
    assert ": 1 of 1 event" in said.err
    assert "run this again" in said.err
    assert deliver(tmp_path, rater.port) == 0
    assert [event.request_id for event in rater.events] == ["a"]


def test_a_signal_ends_it_with_all_that_is_left_in_place(tmp_path: Path, rater: EventRecorder) -> None:
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o700)
    leave(folder, "a")
    words = ("deliver", "--spool", str(folder), "--rater", f"127.0.0.1:{reserve_port()}")
    running = start("deliver", phoebe(*words), tmp_path / "deliver.log", folder=PROJECT)
    running.wait_until_says("(1 event, 0 cut off)")
    running.process.send_signal(signal.SIGTERM)

    assert running.process.wait(timeout=30) == 1
    assert "stopped. What is left stays in its spool" in running.said
    assert deliver(folder, rater.port) == 0
    assert [event.request_id for event in rater.events] == ["a"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--spool", "/nowhere"], "there is no folder /nowhere"),
        (["--set", "phoebe_upstream=x"], "'phoebe_upstream' is none of"),
        (["--give-up", "0"], "must be seconds, more than 0"),
        (["--rater", "nowhere"], "phoebe_rater: 'nowhere' is not host:port"),
        (["--set", "phoebe_rater_tls=yes"], "phoebe_rater_tls is 'yes', which is neither true nor false"),
        (["--set", "phoebe_rater_ca=/ca.pem"], "need phoebe_rater_tls=true"),
    ],
    ids=["folder", "option", "time", "address", "switch", "files"],
)
def test_what_can_not_be_followed_is_said_before_anything_is_done(
    words: list[str], said: str, capsys: Capture
) -> None:
    assert main(words) == 1
    assert said in capsys.readouterr().err


def test_help_tells_the_exit_codes(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    assert "exit codes: 0 nothing is left" in capsys.readouterr().out
