"""Waiting on an event loop for what another thread does, with one wake for all that is done together.

A commit ends many waits at once. `asyncio.wrap_future` would wake the loop for each of them, by a write to a
pipe that the loop has to read.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from functools import partial


class Wakes:
    """Waits of one event loop for futures of other threads."""

    def __init__(self) -> None:
        self._done: deque[tuple[asyncio.Future[None], Future[None]]] = deque()
        self._is_waking = False

    async def until_done(self, future: Future[None]) -> None:
        """Wait for a future. Raises what it raises. Whoever is cancelled here leaves it as it is."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        future.add_done_callback(partial(self._note, loop, waiter))
        await waiter

    def _note(
        self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None], future: Future[None]
    ) -> None:
        """Take note that a future is done, in the thread that did it."""
        self._done.append((waiter, future))
        # Whoever wakes the loop takes all that was noted before it looks. So one wake under way is enough.
        if not self._is_waking and not loop.is_closed():
            self._is_waking = True
            loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._is_waking = False
        while self._done:
            waiter, future = self._done.popleft()
            if waiter.done():
                continue  # whoever waited was cancelled
            if error := future.exception():
                waiter.set_exception(error)
            else:
                waiter.set_result(None)
