"""Background tasks."""

import ast
import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from phoebe_runtime import background as background_module
from tests.harness.waiting import until

ROOT = Path(__file__).parents[3]
PACKAGES = ("addon/phoebe_addon", "rater_service", "runtime/phoebe_runtime")
HOUR_S = 3600.0


class Observed:
    """The tasks of one owner, and what was told of them."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool]] = []
        self.background = background_module.Background(lambda name, up: self.told.append((name, up)))

    def start(self, work: background_module.Work) -> None:
        self.background.start("sweeping", work, "dust stays")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses are short, and a task that crashed stays down."""
    monkeypatch.setattr(background_module, "PAUSE_MIN_S", 0.001)
    monkeypatch.setattr(background_module, "PAUSE_MAX_S", 0.004)
    monkeypatch.setattr(background_module, "UP_AFTER_S", HOUR_S)


@asynccontextmanager
async def observed() -> AsyncIterator[Observed]:
    tasks = Observed()
    try:
        yield tasks
    finally:
        tasks.background.cancel()


class Sweeping:
    """Work that fails as often as it is told to, and then goes on for ever."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.starts = 0
        self.goes_on = asyncio.Event()

    async def __call__(self) -> None:
        self.starts += 1
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        self.goes_on.set()
        await asyncio.Event().wait()


def errors(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records if record.levelno == logging.ERROR]


async def test_a_task_that_crashes_is_down_and_started_again(caplog: pytest.LogCaptureFixture) -> None:
    work = Sweeping(ValueError("no broom"))
    async with observed() as tasks:
        tasks.start(work)
        await work.goes_on.wait()

    assert work.starts == 2
    assert tasks.told == [("sweeping", True), ("sweeping", False)]
    (error,) = errors(caplog)
    assert "the task sweeping is down, dust stays" in error
    assert "ValueError('no broom')" in error
    assert "Traceback" in caplog.text


async def test_a_task_that_has_lived_for_a_while_after_its_crash_is_up_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "UP_AFTER_S", 0.05)
    crashes = asyncio.Semaphore(1)

    async def crash_when_told() -> None:
        await crashes.acquire()
        raise ValueError("no broom")

    async with observed() as tasks:
        tasks.start(crash_when_told)
        await until(lambda: len(tasks.told) == 3)
        crashes.release()
        await until(lambda: len(tasks.told) == 5)

    assert [up for _, up in tasks.told] == [True, False, True, False, True]
    assert caplog.text.count("the task sweeping is up again") == 2
    assert caplog.text.count("Traceback") == 2


async def test_the_pauses_between_starts_grow_up_to_a_limit(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_module, "REMINDER_S", 0.0)
    work = Sweeping(*(ValueError("no broom") for _ in range(4)))
    async with observed() as tasks:
        tasks.start(work)
        await work.goes_on.wait()

    pauses = [error.partition("started again in ")[2].partition(" s")[0] for error in errors(caplog)]
    assert pauses == ["0.001", "0.002", "0.004", "0.004"]


async def test_the_same_error_is_said_again_only_after_a_minute_and_another_one_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Sweeping(*(ValueError("no broom") for _ in range(5)), KeyError("no floor"))
    async with observed() as tasks:
        tasks.start(work)
        await work.goes_on.wait()
    assert ["no broom" in error for error in errors(caplog)] == [True, False]

    caplog.clear()
    monkeypatch.setattr(background_module, "REMINDER_S", 0.02)
    forever = Sweeping(*(ValueError("no broom") for _ in range(100_000)))
    async with observed() as tasks:
        tasks.start(forever)
        await until(lambda: len(errors(caplog)) == 3)
    assert forever.starts > 3
    assert caplog.text.count("Traceback") == 1


async def test_something_that_was_cancelled_under_a_task_is_a_crash_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    starts = []

    async def wait_for_what_is_cancelled() -> None:
        starts.append(1)
        if len(starts) == 1:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        await asyncio.Event().wait()

    async with observed() as tasks:
        tasks.start(wait_for_what_is_cancelled)
        await until(lambda: len(starts) == 2)

    assert ("sweeping", False) in tasks.told
    assert "CancelledError" in errors(caplog)[0]


async def test_work_that_comes_to_its_end_is_not_started_again(caplog: pytest.LogCaptureFixture) -> None:
    starts = []

    async def sweep_once() -> None:
        starts.append(1)

    async with observed() as tasks:
        tasks.start(sweep_once)
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "phoebe sweeping")
        await task

    assert len(starts) == 1
    assert tasks.told == [("sweeping", True)]
    assert errors(caplog) == []


async def test_tasks_end_with_their_owner_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    work = Sweeping()
    async with observed() as tasks:
        tasks.start(work)
        await work.goes_on.wait()
    running = [task for task in asyncio.all_tasks() if task.get_name() == "phoebe sweeping"]
    if running:
        await asyncio.wait(running, timeout=5)

    assert all(task.cancelled() for task in running)
    assert tasks.told == [("sweeping", True)]
    assert caplog.text == ""


async def test_whoever_observes_later_is_told_how_things_stand() -> None:
    told: list[tuple[str, bool]] = []
    async with background_module.Background() as background:
        background.start("sweeping", Sweeping(), "dust stays")
        await asyncio.sleep(0)
        background.observe(lambda name, up: told.append((name, up)))

    assert told == [("sweeping", True)]


def starts_of_tasks(module: Path) -> list[int]:
    """Find where a module starts a task, by whatever object: the lines."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(module.read_text("utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr in {"create_task", "ensure_future"})
        or (isinstance(node, ast.Name) and node.id in {"create_task", "ensure_future"})
    ]


def test_no_other_module_starts_tasks() -> None:
    found = {
        path.name: lines
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (lines := starts_of_tasks(path))
    }

    assert list(found) == ["background.py"]
    assert len(found["background.py"]) == 1
