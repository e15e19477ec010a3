"""Waiting for what another thread does, with one wake for all that is done together.

A commit ends many waits at once. Futures of `concurrent.futures` have a lock and a condition each, and wake
the loop one by one, each by a write to a pipe that the loop has to read. Here one lock serves all, and one
wake.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Iterable


class Doing:
    """Something that another thread does.

    is_over: whether it is done, or has failed. error: why it failed; None: it has not.
    """

    __slots__ = ("blocked", "error", "is_over", "waiters")

    def __init__(self) -> None:
        self.is_over = False
        self.error: Exception | None = None
        self.waiters: tuple[asyncio.Future[None], ...] = ()
        self.blocked: threading.Event | None = None


class Wakes:
    """Waits for other threads: those of one event loop, and those of threads that have none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: deque[tuple[asyncio.Future[None], Exception | None]] = deque()
        self._waking: asyncio.AbstractEventLoop | None = None  # the loop that is about to look
        # A timer for each wait, which hardly ever runs out, would cost more than the wait.
        self._limited: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._timed_by: asyncio.AbstractEventLoop | None = None  # the loop that is going to look

    async def until_over(self, doing: Doing, timeout_s: float | None = None) -> None:
        """Wait until something is over. Raises its error. Whoever is cancelled here leaves it as it is.

        timeout_s: after which TimeoutError is raised; the same for all that have one. None: it may take for
        ever.
        """
        waiter = None
        with self._lock:
            if not doing.is_over:
                waiter = asyncio.get_running_loop().create_future()
                doing.waiters += (waiter,)
        if waiter:
            if timeout_s is not None:
                self._limit(waiter, timeout_s)
            await waiter
        elif doing.error:
            raise doing.error

    def block_until_over(self, doing: Doing, timeout_s: float | None = None) -> None:
        """Do what `until_over` does, in a thread without a loop, or at its expense.

        Raises TimeoutError if it takes longer.
        """
        with self._lock:
            blocked = doing.blocked = doing.blocked or threading.Event()
            if doing.is_over:
                blocked.set()
        if not blocked.wait(timeout_s):
            raise TimeoutError
        if doing.error:
            raise doing.error

    def end(self, doings: Iterable[Doing], error: Exception | None = None) -> None:
        """Tell those who wait that these are over, in the thread that did them. error: why they failed."""
        loop = None
        with self._lock:
            for doing in doings:
                doing.error = error
                doing.is_over = True
                if doing.blocked:
                    doing.blocked.set()
                for waiter in doing.waiters:
                    loop = waiter.get_loop()
                    self._due.append((waiter, error))
            # Whoever wakes the loop takes all that was noted before it looks. One wake under way is enough,
            # unless its loop was closed before it looked.
            if loop is None or (self._waking is loop and not loop.is_closed()):
                return
            self._waking = loop
        try:
            loop.call_soon_threadsafe(self._settle)
        except RuntimeError:  # the loop is closed: nobody waits there any more, but may on another one later
            with self._lock:
                self._due.clear()
                self._waking = None

    def _settle(self) -> None:
        with self._lock:
            due, self._due = self._due, deque()
            self._waking = None
        for waiter, error in due:
            if waiter.done() or waiter.get_loop().is_closed():
                continue  # whoever waited was cancelled, or is gone with its loop
            if error:
                waiter.set_exception(error)
            else:
                waiter.set_result(None)

    def _limit(self, waiter: asyncio.Future[None], timeout_s: float) -> None:
        while self._limited and self._limited[0][1].done():
            self._limited.popleft()
        loop = waiter.get_loop()
        self._limited.append((loop.time() + timeout_s, waiter))
        if self._timed_by is None or self._timed_by.is_closed():
            self._timed_by = loop
            loop.call_later(timeout_s, self._look)

    def _look(self) -> None:
        """Give up what has taken too long, and look again when the next one is due."""
        self._timed_by = None
        loop = asyncio.get_running_loop()
        while self._limited:
            due_s, waiter = self._limited[0]
            if not (waiter.done() or waiter.get_loop().is_closed()):
                if due_s > loop.time():
                    self._timed_by = loop
                    loop.call_at(due_s, self._look)
                    return
                waiter.set_exception(TimeoutError())
            self._limited.popleft()
