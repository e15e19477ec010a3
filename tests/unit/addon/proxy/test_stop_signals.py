"""Each signal to stop is heard once, whatever the event loop is at."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from phoebe_addon.proxy.stop_signals import SIGNALS, StopSignals

# More than the pipe holds by which an event loop is woken.
FLOOD = 10_000


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Told:
    """Counts how often the process was told to stop."""

    def __init__(self) -> None:
        self.times = 0
        self._loop = asyncio.get_running_loop()

    def act(self) -> None:
        self._loop.call_soon_threadsafe(self._count)

    def _count(self) -> None:
        self.times += 1


async def until_idle() -> None:
    """Wait until the loop has read what was in its pipe and done what that made it do."""
    async with asyncio.timeout(10):
        for _ in range(10):
            await asyncio.sleep(0.01)


def flood() -> None:
    for _ in range(FLOOD):
        asyncio.get_running_loop().call_soon_threadsafe(lambda: None)


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_is_heard_once(number: signal.Signals) -> None:
    told = Told()
    StopSignals(asyncio.get_running_loop(), told.act)
    for times in (1, 2):
        os.kill(os.getpid(), number)
        await until_idle()
        assert told.times == times


async def test_a_signal_is_heard_while_the_loop_is_woken_all_the_time() -> None:
    told = Told()
    StopSignals(asyncio.get_running_loop(), told.act)
    flood()
    os.kill(os.getpid(), signal.SIGTERM)
    await until_idle()
    assert told.times == 1


async def test_a_signal_that_came_just_before_is_heard() -> None:
    told, earlier = Told(), Told()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, earlier.act)
    os.kill(os.getpid(), signal.SIGTERM)
    StopSignals(asyncio.get_running_loop(), told.act)
    await until_idle()
    assert (told.times, earlier.times) == (1, 0)


async def test_elsewhere_than_in_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)
    await asyncio.to_thread(StopSignals, asyncio.get_running_loop(), lambda: None)
    assert signal.getsignal(signal.SIGTERM) is before
