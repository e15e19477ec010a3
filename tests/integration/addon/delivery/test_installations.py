"""A spool belongs to one installation, and no rater of another one gets its events."""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from uuid import uuid4

import pytest

from phoebe_addon.delivery import adoption as adoption_module
from phoebe_addon.delivery.adoption import Adoption
from phoebe_addon.delivery.credentials import PLAINTEXT
from phoebe_addon.delivery.delivery import Delivery
from phoebe_addon.spool.file import SpoolFile
from phoebe_addon.spool.folder import Claim, free, is_left
from phoebe_addon.spool.spool import Spool
from phoebe_addon.spool.spools import ANY_INSTALLATION, Belonging, open_own
from tests.harness.recording_rater import INSTALLATION, RecordingRater, Sender
from tests.harness.waiting import until

OTHER = str(uuid4())


@pytest.fixture
async def rater() -> AsyncIterator[RecordingRater]:
    rater = RecordingRater()
    await rater.start()
    yield rater
    await rater.stop()


@asynccontextmanager
async def sender(
    folder: Path, rater: RecordingRater, belonging: Belonging = ANY_INSTALLATION
) -> AsyncIterator[Sender]:
    made = Sender(open_own(folder, 10**9, belonging), f"127.0.0.1:{rater.port}")
    try:
        yield made
    finally:
        if made.task:
            made.task.cancel()
            await asyncio.wait([made.task])
        made.spool.close()


async def deliver_one(folder: Path, rater: RecordingRater) -> None:
    """Let a spool in the folder meet the rater."""
    async with sender(folder, rater) as first:
        await first.write(1)
        first.start()
        await first.until_empty()


async def test_a_spool_belongs_to_the_first_rater_it_meets_before_that_gets_an_event(
    tmp_path: Path, rater: RecordingRater
) -> None:
    await deliver_one(tmp_path, rater)

    assert [greeting.installation_id for greeting in rater.greetings] == [""]
    assert [batch.installation_id for batch in rater.batches] == [INSTALLATION]
    spool = open_own(tmp_path, 10**9)
    assert spool.installation == INSTALLATION
    spool.close()


@pytest.mark.parametrize("says", [OTHER, ""], ids=["another", "none, being older"])
async def test_no_other_rater_gets_anything_of_it(
    tmp_path: Path, rater: RecordingRater, caplog: pytest.LogCaptureFixture, says: str
) -> None:
    await deliver_one(tmp_path, rater)
    rater.batches.clear()
    rater.installation = says
    async with sender(tmp_path, rater) as again:
        await again.write(2)
        again.start()
        await again.until(lambda: len(rater.greetings) >= 3)

        assert again.delivery.misdirected
        assert again.spool.depth() == 2
        assert rater.batches == []
        assert rater.greetings[-1].installation_id == INSTALLATION
        (error,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert INSTALLATION in error.message
        assert says in error.message
        assert "phoebe_rater" in error.message

        rater.installation = INSTALLATION
        await again.until_empty()
        assert not again.delivery.misdirected


async def test_an_older_rater_gets_the_events_of_a_spool_that_belongs_to_nobody_yet(
    tmp_path: Path, rater: RecordingRater
) -> None:
    rater.installation = ""
    await deliver_one(tmp_path, rater)

    assert rater.sent() == [1]
    spool = open_own(tmp_path, 10**9)
    assert spool.installation is None
    spool.close()


async def test_an_installation_that_is_no_id_is_believed_nothing(
    tmp_path: Path, rater: RecordingRater, caplog: pytest.LogCaptureFixture
) -> None:
    rater.installation = "x" * 10_000
    async with sender(tmp_path, rater) as made:
        await made.write(1)
        made.start()
        await made.until(lambda: "no UUID" in caplog.text)
        assert rater.batches == []
    assert "x" * 65 not in caplog.text


async def test_who_was_told_the_installation_gives_no_other_rater_its_first_event(
    tmp_path: Path, rater: RecordingRater
) -> None:
    async with sender(tmp_path, rater, Belonging(OTHER)) as made:
        await made.write(1)
        made.start()
        await made.until(lambda: made.delivery.misdirected)
    assert rater.batches == []


async def test_who_was_told_the_installation_leaves_a_spool_of_another_alone(
    tmp_path: Path, rater: RecordingRater
) -> None:
    await deliver_one(tmp_path, rater)

    own = open_own(tmp_path, 10**9, Belonging(OTHER))
    own.close()
    assert own.installation == OTHER
    assert len(files_in(tmp_path)) == 2


async def test_a_spool_is_moved_to_another_installation_as_one_of_a_new_producer(
    tmp_path: Path, rater: RecordingRater, caplog: pytest.LogCaptureFixture
) -> None:
    await deliver_one(tmp_path, rater)
    rater.batches.clear()
    left = Sender(open_own(tmp_path, 10**9), "127.0.0.1:1")
    await left.write(3)
    left.spool.close()

    rater.installation = OTHER
    async with sender(tmp_path, rater, Belonging(OTHER, frozenset({INSTALLATION}))) as moved:
        assert (moved.spool.installation, moved.spool.depth()) == (OTHER, 3)
        moved.start()
        await moved.until_empty()

    events = [event for batch in rater.batches for event in batch.events]
    assert [(event.request_id, event.producer_seq) for event in events] == [("r1", 1), ("r2", 2), ("r3", 3)]
    assert {event.producer_id for event in events} == {moved.spool.producer_id} != {left.spool.producer_id}
    assert f"3 events of the producer {left.spool.producer_id}" in caplog.text
    assert "producers retire" in caplog.text


@asynccontextmanager
async def adopting(
    folder: Path, rater: RecordingRater, belonging: Belonging = ANY_INSTALLATION
) -> AsyncIterator[Adoption]:
    def deliver(spool: Spool) -> Delivery:
        return Delivery(spool, f"127.0.0.1:{rater.port}", lambda _: None, PLAINTEXT.follow())

    adoption = Adoption(folder, 10**9, deliver, belonging)
    task = asyncio.create_task(adoption.run())
    try:
        yield adoption
    finally:
        task.cancel()
        await asyncio.wait([task])
        adoption.close()


def files_in(folder: Path) -> list[Path]:
    return list(folder.glob("*.sqlite3"))


def errors(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in log.records if record.levelno == logging.ERROR]


async def test_an_adopted_spool_of_another_installation_is_named_and_holds_up_no_other(
    tmp_path: Path,
    rater: RecordingRater,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(adoption_module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(adoption_module, "ASK_AGAIN_S", 0.02)
    foreign = Sender(open_own(tmp_path, 10**9, Belonging(OTHER)), "127.0.0.1:1")
    await foreign.write(2)
    own = Sender(open_own(tmp_path, 10**9, Belonging(INSTALLATION)), "127.0.0.1:1")
    await own.write(1)
    foreign.spool.close()
    own.spool.close()

    async with adopting(tmp_path, rater) as adoption:
        await until(lambda: rater.batches and rater.batches[-1].status.stopped and adoption.misdirected)
        await until(lambda: len(rater.greetings) > 4)
        assert {batch.status.producer_id for batch in rater.batches} == {own.spool.producer_id}
        assert files_in(tmp_path) == [foreign.spool.path]
        # As often as the rater is asked again.
        assert len(rater.greetings) - 1 <= len(errors(caplog)) + 1
        for error in errors(caplog):
            assert OTHER in error
            assert str(foreign.spool.path) in error

        rater.installation = OTHER
        await until(lambda: not files_in(tmp_path))
        await until(lambda: not adoption.misdirected)
    assert rater.sent()[-2:] == [1, 2]


async def test_an_adopted_spool_that_another_process_takes_is_misdirected_no_more(
    tmp_path: Path, rater: RecordingRater, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption_module, "LOOK_EVERY_S", 0.02)
    for installation in (OTHER, str(uuid4())):
        left = Sender(open_own(tmp_path, 10**9, Belonging(installation)), "127.0.0.1:1")
        await left.write(1)
        left.spool.close()

    async with adopting(tmp_path, rater) as adoption:
        await until(lambda: adoption.misdirected == 2)
        taken: list[Claim] = []
        while not taken:  # adoption has each of them in its hand for a moment
            taken += islice(free(tmp_path), 1)
        await until(lambda: adoption.misdirected == 1)

        (left_over,) = set(files_in(tmp_path)) - {taken[0].path}
        left_over.unlink()
        await until(lambda: adoption.misdirected == 0)
        taken[0].release()


async def test_a_spool_that_cannot_be_bound_is_named_and_holds_up_no_other(
    tmp_path: Path,
    rater: RecordingRater,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = (Sender(open_own(tmp_path, 10**9), "127.0.0.1:1") for _ in range(2))
    for left in (first, second):
        await left.write(1)
    for left in (first, second):
        left.spool.close()
    bind = SpoolFile.bind

    def fail(file: SpoolFile, installation: str) -> None:
        if file.path == first.spool.path:
            raise sqlite3.OperationalError("disk I/O error")
        bind(file, installation)

    monkeypatch.setattr(SpoolFile, "bind", fail)
    async with adopting(tmp_path, rater, Belonging(INSTALLATION)):
        await until(lambda: rater.batches and rater.batches[-1].status.stopped)
        await until(lambda: files_in(tmp_path) == [first.spool.path])

    assert {batch.status.producer_id for batch in rater.batches} == {second.spool.producer_id}
    assert any(str(first.spool.path) in error and "disk I/O error" in error for error in errors(caplog))
    await until(lambda: is_left(first.spool.path))


async def test_an_adopted_spool_of_nobody_belongs_to_whom_the_adopter_was_told(
    tmp_path: Path, rater: RecordingRater
) -> None:
    left = Sender(open_own(tmp_path, 10**9), "127.0.0.1:1")
    await left.write(1)
    left.spool.close()

    async with adopting(tmp_path, rater, Belonging(OTHER)) as adoption:
        await until(lambda: adoption.misdirected)
    assert rater.batches == []
