"""Coroutines that are driven without a task, by the callbacks of the futures they wait for.

A task costs more than most of what a hook of ours does. What is driven has no current task: `asyncio.timeout`
and its like must not be used in it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

type _Hook = Callable[..., Coroutine[Any, Any, None]]

_driven: set[object] = set()
"""The functions whose coroutines need no task."""


def driven(function: _Hook) -> _Hook:
    """Mark a hook whose coroutine needs no task of its own."""
    _driven.add(function)
    return function


def is_driven(function: object) -> bool:
    """Whether the coroutine of a function, or of a method, needs no task of its own."""
    return getattr(function, "__func__", function) in _driven


class Drive:
    """Drives one coroutine. over: called once it has come to its end, but not in `begin`.

    left: called whatever its end is. A coroutine that is cancelled by what it waits for has no other end.
    """

    __slots__ = ("_coroutine", "_is_begun", "_left", "_over")

    def __init__(
        self, coroutine: Coroutine[Any, Any, None], over: Callable[[], None], left: Callable[[], None]
    ) -> None:
        self._coroutine = coroutine
        self._over = over
        self._left = left
        self._is_begun = False

    def begin(self) -> bool:
        """Take the first step. Returns whether it was the last, or raises what the coroutine raises."""
        try:
            waits_for = self._coroutine.send(None)
        except StopIteration:
            return True
        self._wait_for(waits_for)
        return False

    def _wait_for(self, future: Any) -> None:
        if future is None:  # as `asyncio.sleep(0)` says it
            asyncio.get_running_loop().call_soon(self._go_on)
            return
        future._asyncio_future_blocking = False  # what a task does to say that it has understood
        future.add_done_callback(self._go_on)

    def _go_on(self, _future: object = None) -> None:
        try:
            waits_for = self._coroutine.send(None)
        except StopIteration:
            self._left()
            self._over()
        except asyncio.CancelledError:
            self._left()
        except BaseException:
            self._left()
            raise  # to the event loop, which logs it
        else:
            self._wait_for(waits_for)
