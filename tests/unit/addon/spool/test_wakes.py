"""Waiting for another thread: one wake for all that is done together, and nothing lost."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

import pytest

from phoebe_addon.spool.wakes import Wakes


async def begun(wakes: Wakes, *futures: Future[None]) -> list[asyncio.Task[None]]:
    """Begin to wait for futures."""
    waiting = [asyncio.ensure_future(wakes.until_done(future)) for future in futures]
    await asyncio.sleep(0)
    return waiting


async def test_what_is_done_together_wakes_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    wake = loop.call_soon_threadsafe
    woken: list[object] = []

    def counted(call: Callable[[], object]) -> asyncio.Handle:
        woken.append(call)
        return wake(call)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    futures: list[Future[None]] = [Future() for _ in range(50)]
    waiting = await begun(Wakes(), *futures)
    for future in futures:
        future.set_result(None)

    await asyncio.gather(*waiting)
    assert len(woken) == 1


async def test_what_is_done_after_a_wake_wakes_it_again() -> None:
    wakes = Wakes()
    first: Future[None] = Future()
    second: Future[None] = Future()
    waiting = await begun(wakes, first, second)
    first.set_result(None)
    await waiting[0]
    assert not waiting[1].done()
    second.set_result(None)

    await asyncio.wait_for(waiting[1], 10)


async def test_what_another_thread_does_is_never_missed() -> None:
    wakes = Wakes()
    futures: list[Future[None]] = [Future() for _ in range(2000)]

    def work() -> None:
        for future in futures:
            future.set_result(None)

    thread = Thread(target=work)
    waiting = [asyncio.ensure_future(wakes.until_done(future)) for future in futures]
    thread.start()

    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    thread.join()


async def test_what_was_done_before_is_not_waited_for_long() -> None:
    future: Future[None] = Future()
    future.set_result(None)

    await asyncio.wait_for(Wakes().until_done(future), 10)


async def test_a_failure_is_raised_to_who_waits() -> None:
    future: Future[None] = Future()
    (waiting,) = await begun(Wakes(), future)
    future.set_exception(ValueError("no disk"))

    with pytest.raises(ValueError, match="no disk"):
        await waiting


async def test_whoever_waits_no_more_leaves_the_future_and_the_others_alone() -> None:
    wakes = Wakes()
    futures: list[Future[None]] = [Future(), Future()]
    gone, stays = await begun(wakes, *futures)
    gone.cancel()
    for future in futures:
        future.set_result(None)

    await asyncio.wait_for(stays, 10)
    assert gone.cancelled()


def test_a_loop_that_is_closed_is_not_woken() -> None:
    future: Future[None] = Future()
    wakes = Wakes()

    async def wait_no_more() -> None:
        (waiting,) = await begun(wakes, future)
        waiting.cancel()

    asyncio.run(wait_no_more())
    future.set_result(None)

    assert future.done()
