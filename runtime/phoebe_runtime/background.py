"""Work in the background: tasks that nobody waits for, so that somebody must notice when one fails.

Each has a name, an owner and a word for what is amiss without it. A task that crashes is down. That is logged
as an ERROR, and again every minute; observers, as metrics are, know of it; and the task is started again
after a pause. It is up again when it has lived for a while. What goes on for ever is declared
`NoReturn`, so that the type checker sees that it does not end by mistake.

No other module starts tasks: a bare `asyncio.create_task` fails the lint.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

logger = logging.getLogger(__name__)

# The first pause lets what failed for a moment recover; the last one keeps a lasting fault from using a CPU.
PAUSE_MIN_S = 1.0
PAUSE_MAX_S = 60.0
# Most faults crash a task at its first step, and that comes within a few seconds of its start.
UP_AFTER_S = 10.0
# Often enough for whoever looks at the log now, and rare enough not to fill it.
REMINDER_S = 60.0

type Work = Callable[[], Coroutine[Any, Any, None]]
type Observer = Callable[[str, bool], None]


class Background:
    """The tasks of one owner. They end when the context does, or at the next step after `cancel`.

    Observers are told the name of a task and whether it is up, at once and whenever that changes. Needs a
    running event loop.
    """

    def __init__(self, *observers: Observer) -> None:
        self._observers = list(observers)
        self._up: dict[str, bool] = {}
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def down(self) -> frozenset[str]:
        """The names of the tasks that are down."""
        return frozenset(name for name, up in self._up.items() if not up)

    async def __aenter__(self) -> Self:
        """Begin; tasks are started one by one."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cancel all tasks and wait until they have ended."""
        self.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def start(self, name: str, work: Work, without: str) -> asyncio.Task[None]:
        """Start a task that goes on until its work returns or its owner ends.

        work: called anew for every start. without: what is amiss while it is down, as part of a sentence.
        """
        task = spawn(_Supervised(name, work, without, self._tell).run(), name)
        self._tasks.append(task)
        return task

    def cancel(self) -> None:
        """End all tasks, and wait for none."""
        for task in self._tasks:
            task.cancel()

    def observe(self, observer: Observer) -> None:
        """Add an observer, and tell it how things stand."""
        self._observers.append(observer)
        for name, up in self._up.items():
            observer(name, up)

    def _tell(self, name: str, up: bool) -> None:
        self._up[name] = up
        for observer in self._observers:
            observer(name, up)


class _Supervised:
    """One task: its starts, its crashes, and what is said of them."""

    def __init__(self, name: str, work: Work, without: str, tell: Observer) -> None:
        self._name = name
        self._work = work
        self._without = without
        self._tell = tell
        self._pause_s = PAUSE_MIN_S
        self._is_up = True
        self._said = ""
        self._said_at_s = 0.0

    async def run(self) -> None:
        """Work until that has an end without a crash, or is cancelled."""
        self._tell(self._name, True)
        while True:
            recovery = asyncio.get_running_loop().call_later(UP_AFTER_S, self._recover)
            try:
                await self._work()
                return
            except asyncio.CancelledError as error:
                if _is_cancelled():
                    raise
                self._crashed(error)  # something that it waited for was cancelled, not the task
            except Exception as error:  # whatever it is: it is told, and the task is started again
                self._crashed(error)
            finally:
                recovery.cancel()
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)

    def _crashed(self, error: BaseException) -> None:
        if self._is_up:
            self._is_up = False
            self._tell(self._name, False)
        now_s = asyncio.get_running_loop().time()
        text = repr(error)
        if text == self._said and now_s < self._said_at_s + REMINDER_S:
            return
        logger.error(
            "the task %s is down, %s: it crashed and is started again in %g s: %s",
            *(self._name, self._without, self._pause_s, text),
            exc_info=error if text != self._said else None,
        )
        self._said, self._said_at_s = text, now_s

    def _recover(self) -> None:
        self._pause_s = PAUSE_MIN_S
        self._said = ""
        if not self._is_up:
            self._is_up = True
            logger.warning("the task %s is up again", self._name)
            self._tell(self._name, True)


def spawn[T](work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start a task that its caller awaits or cancels. name: what a debugger or a dump of tasks shows."""
    return asyncio.create_task(work, name=f"phoebe {name}")  # noqa: TID251 - here only


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
