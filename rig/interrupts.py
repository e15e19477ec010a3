"""Work that a signal ends early, and whose parts are stopped all the same."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def interruptible[Made](work: Coroutine[Any, Any, Made]) -> tuple[Made | None, signal.Signals | None]:
    """Does a piece of work; the first signal cancels it. Gives what it made, or that signal.

    Signals are caught from then on. Only the work is ever cancelled, never what stops the parts after it.
    """
    task = asyncio.create_task(work)
    received: list[signal.Signals] = []

    def interrupt(number: signal.Signals) -> None:
        if not received:
            task.cancel()
        received.append(number)

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, interrupt, number)
    try:
        return await task, None
    except asyncio.CancelledError:
        if not received:
            raise
        return None, received[0]
