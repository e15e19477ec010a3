"""Whether a proxy says that it can take work, on a real spool."""

from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from phoebe_addon.delivery import delivery as delivery_module
from phoebe_addon.delivery.credentials import PLAINTEXT
from phoebe_addon.delivery.delivery import Delivery
from phoebe_addon.readiness import Readiness
from phoebe_addon.spool import disk_watch
from phoebe_addon.spool.disk_watch import DiskWatch
from phoebe_addon.spool.spool import Spool
from phoebe_addon.spool.spools import open_own
from phoebe_runtime.probes import ready_answer
from tests.harness.spooled import NOW, finish
from tests.unit.addon.spool.test_failures import fill_disk, free_disk


class Stand:
    """A spool, and what is said of it."""

    def __init__(self, folder: Path, tasks_down: Collection[str] = ()) -> None:
        self.spool: Spool = open_own(folder, 300_000)
        self.disk = DiskWatch(self.spool)
        delivery = Delivery(self.spool, "rater:50051", lambda _: None, PLAINTEXT.follow())
        self.readiness = Readiness(self.spool, self.disk, delivery, lambda: tasks_down)

    def said(self) -> tuple[int, str]:
        """Status and the first line that says more than it."""
        answer = ready_answer(self.readiness.conditions())
        return answer.status, answer.content.decode().splitlines()[1]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    free_disk(made.spool)
    made.spool.close()


def test_a_proxy_with_a_spool_that_works_is_ready(stand: Stand) -> None:
    assert stand.said() == (200, "ok: the proxy serves")


def test_it_is_not_ready_once_it_is_told_to_stop(stand: Stand) -> None:
    stand.readiness.stopping = True

    assert stand.said() == (503, "FAILED: the proxy is stopping: it takes no requests any more")


async def test_it_is_not_ready_while_its_spool_is_full(stand: Stand) -> None:
    for name in ("a", "b", "c"):
        finish(stand.spool, name, 100_000)
    status, words = stand.said()
    assert status == 503
    assert words.startswith("FAILED: the spool is full: it holds ")
    assert "phoebe_spool_limit is 293k" in words

    await stand.spool.forget(stand.spool.read(3))
    assert stand.said()[0] == 200


async def test_it_finds_out_by_itself_that_its_disk_fails_and_that_it_works_again(stand: Stand) -> None:
    fill_disk(stand.spool)
    finish_later = stand.spool.finish("a", [b"x" * 100_000], NOW)
    while stand.spool.trouble is None:
        await stand.disk.look()
    status, words = stand.said()
    assert status == 503
    assert words.startswith("FAILED: the spool can't be written: database or disk is full; its file is ")
    assert str(stand.spool.path) in words

    free_disk(stand.spool)
    await stand.spool.until_durable(finish_later)
    await stand.disk.look()
    assert stand.said()[0] == 200


async def test_a_disk_that_never_answers_is_one_that_fails(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stand.disk.look()  # what was written at the start is on disk
    monkeypatch.setattr(disk_watch, "WRITE_TIMEOUT_S", 0.05)
    with stand.spool._lock:
        await stand.disk.look()
        assert stand.said()[1].startswith("FAILED: the spool can't be written: the disk has not taken")
    await stand.disk.look()
    assert stand.said()[0] == 200


async def test_a_disk_that_is_written_to_anyway_is_not_tried(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    monkeypatch.setattr(Spool, "touch", tried.append)
    finish(stand.spool, "a", 10)

    await stand.disk.look()

    assert not tried


def test_that_the_rater_is_away_is_said_and_does_not_count(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "SILENT_AFTER_S", 0)

    status, words = stand.said()

    assert status == 200
    assert words.startswith("does not count: the rater at rater:50051 has not answered for 0 seconds")


def test_a_task_that_is_down_is_said_and_does_not_count(tmp_path: Path) -> None:
    stand = Stand(tmp_path, ["delivery"])

    assert stand.said() == (
        200,
        "does not count: the task delivery is down, and is being started again: the log says why",
    )
    stand.spool.close()
