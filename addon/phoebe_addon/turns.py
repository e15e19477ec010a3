"""Long work on the event loop, in turns: everything else goes on between two of them.

The loop carries all exchanges. What takes long for one message is done in steps, and the steps of all
messages together have one turn of some milliseconds in each round of the loop. Threads would not do: they
share one interpreter, and the loop would have to wait for it at every call to the system.
"""

import asyncio
import time
from dataclasses import dataclass

from phoebe_addon.formats.steps import Steps

TURN_S = 0.002
"""How long a turn takes, or a step more. All other exchanges wait for so long."""


@dataclass(frozen=True, slots=True)
class _Result[T]:
    value: T


class Turns:
    """Gives turns to work, one after the other. Whoever waited longest is next."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def take[T](self, steps: Steps[T]) -> T:
        """Take all steps; return what they give, or raise what they raise.

        The first step is taken at once: work of one step does not wait, and that of several begins with one
        that does nothing.
        """
        result = _take_until(steps, 0)
        while result is None:
            async with self._turn:
                result = _take_until(steps, time.monotonic() + TURN_S)
                # The turn is over once all else that was due has been done.
                await asyncio.sleep(0)
        return result.value


def _take_until[T](steps: Steps[T], end_s: float) -> _Result[T] | None:
    """Take steps until that time, at least one. Returns the result if they are all taken."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return _Result(end.value)
        if time.monotonic() >= end_s:
            return None
