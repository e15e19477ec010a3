"""The signals that tell a process to stop, each heard once, whatever the event loop is at.

asyncio hears of a signal by a byte in the pipe by which other threads wake it. While it is busy and woken all
the time that pipe is full, and a signal that comes then is lost. Python itself hears of every signal, but not
of those whose byte was in the pipe before it was asked to. So both are listened to.
"""

import asyncio
import signal
import threading
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Calls `act` on each signal to stop, in the main thread and between any two steps of what it is at.

    act: must do no more than wake the event loop. Anywhere but in the main thread nothing is heard: signals
    are the affair of whoever runs there.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        self.act = act
        self._heard_by_python = 0
        if threading.current_thread() is not threading.main_thread():
            return
        for number in SIGNALS:
            loop.add_signal_handler(number, self._heard_by_loop)
            signal.signal(number, self._heard)
        # That the pipe is full needs no warning then.
        signal.set_wakeup_fd(signal.set_wakeup_fd(-1), warn_on_full_buffer=False)

    def _heard(self, *_: object) -> None:
        self._heard_by_python += 1
        self.act()

    def _heard_by_loop(self) -> None:
        if self._heard_by_python:
            self._heard_by_python -= 1
        else:
            self.act()
