"""Ctrl-C, put off while something must not be cut short: Python raises it between any two statements."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_put_off() -> Iterator[Callable[[], None]]:
    """Put Ctrl-C off to the end of the context; whatever was to answer it does so then, once.

    Gives what lets it through earlier, for whoever waits. Python answers signals in its main thread only: in
    another one nothing is put off.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: None
        return
    pressed: list[int] = []

    def let_through() -> None:
        if pressed:
            pressed.clear()
            before(signal.SIGINT, None)

    signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield let_through
    finally:
        signal.signal(signal.SIGINT, before)
        let_through()
