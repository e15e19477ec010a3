"""Waiting for another thread: one wake for all that is done together, and nothing lost."""

import asyncio
from collections.abc import Callable
from threading import Thread

import pytest

from phoebe_addon.spool.wakes import Doing, Wakes


async def begun(wakes: Wakes, *doings: Doing) -> list[asyncio.Task[None]]:
    """Begin to wait for things."""
    waiting = [asyncio.ensure_future(wakes.until_over(doing)) for doing in doings]
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
    wakes = Wakes()
    doings = [Doing() for _ in range(50)]
    waiting = await begun(wakes, *doings)
    wakes.end(doings[:20])
    wakes.end(doings[20:])

    await asyncio.gather(*waiting)
    assert len(woken) == 1


async def test_what_is_done_after_a_wake_wakes_it_again() -> None:
    wakes = Wakes()
    first, second = Doing(), Doing()
    waiting = await begun(wakes, first, second)
    wakes.end([first])
    await waiting[0]
    assert not waiting[1].done()
    wakes.end([second])

    await asyncio.wait_for(waiting[1], 10)


async def test_what_another_thread_does_is_never_missed() -> None:
    wakes = Wakes()
    doings = [Doing() for _ in range(2000)]

    def work() -> None:
        for doing in doings:
            wakes.end([doing])

    thread = Thread(target=work)
    waiting = [asyncio.ensure_future(wakes.until_over(doing)) for doing in doings]
    thread.start()

    await asyncio.wait_for(asyncio.gather(*waiting), 30)
    thread.join()


async def test_what_was_done_before_is_not_waited_for_long() -> None:
    wakes, doing = Wakes(), Doing()
    wakes.end([doing])

    await asyncio.wait_for(wakes.until_over(doing), 10)
    wakes.block_until_over(doing, 10)


async def test_everybody_who_waits_is_told() -> None:
    wakes, doing = Wakes(), Doing()
    waiting = await begun(wakes, doing, doing)
    thread = Thread(target=wakes.block_until_over, args=(doing, 10))
    thread.start()
    wakes.end([doing])

    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    thread.join(10)
    assert not thread.is_alive()


async def test_a_failure_is_raised_to_who_waits_and_to_who_comes_later() -> None:
    wakes, doing = Wakes(), Doing()
    (waiting,) = await begun(wakes, doing)
    wakes.end([doing], ValueError("no disk"))

    with pytest.raises(ValueError, match="no disk"):
        await waiting
    with pytest.raises(ValueError, match="no disk"):
        await wakes.until_over(doing)
    with pytest.raises(ValueError, match="no disk"):
        wakes.block_until_over(doing, 10)


def test_a_thread_waits_no_longer_than_it_wants_to() -> None:
    with pytest.raises(TimeoutError):
        Wakes().block_until_over(Doing(), 0.01)


async def test_a_task_waits_no_longer_than_it_wants_to_and_the_others_wait_on() -> None:
    wakes = Wakes()
    doings = [Doing() for _ in range(4)]
    limited = [asyncio.ensure_future(wakes.until_over(doing, 0.05)) for doing in doings[:3]]
    (unlimited,) = await begun(wakes, doings[3])
    wakes.end([doings[1]])

    ends = await asyncio.gather(*limited, return_exceptions=True)
    assert [type(end) for end in ends] == [TimeoutError, type(None), TimeoutError]
    assert not unlimited.done()
    with pytest.raises(TimeoutError):
        await wakes.until_over(doings[0], 0.05)  # the timer is set again
    wakes.end(doings)
    await asyncio.wait_for(unlimited, 10)


async def test_whoever_waits_no_more_leaves_the_others_alone() -> None:
    wakes = Wakes()
    doings = [Doing(), Doing()]
    gone, stays = await begun(wakes, *doings)
    gone.cancel()
    wakes.end(doings)

    await asyncio.wait_for(stays, 10)
    assert gone.cancelled()


def test_a_loop_that_is_closed_is_not_woken() -> None:
    wakes, doing = Wakes(), Doing()

    async def wait_no_more() -> None:
        (waiting,) = await begun(wakes, doing)
        waiting.cancel()

    asyncio.run(wait_no_more())
    wakes.end([doing])

    assert doing.is_over


def test_a_loop_that_closed_before_its_wake_keeps_no_other_from_being_woken() -> None:
    wakes = Wakes()
    left, doing = Doing(), Doing()
    closed = asyncio.new_event_loop()
    left.waiters = (closed.create_future(),)
    closed.close()
    wakes.end([left])

    async def wait() -> None:
        (waiting,) = await begun(wakes, doing)
        wakes.end([doing])
        await asyncio.wait_for(waiting, 10)

    asyncio.run(wait())


def test_a_loop_is_woken_although_one_before_it_was_closed_before_it_looked() -> None:
    wakes = Wakes()
    first, second = Doing(), Doing()

    async def leave() -> None:
        waiting = asyncio.ensure_future(wakes.until_over(first, 30))
        await asyncio.sleep(0)
        wakes.end([first])
        waiting.cancel()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    loop.close()

    async def wait() -> None:
        waiting = asyncio.ensure_future(wakes.until_over(second))
        await asyncio.sleep(0)
        thread = Thread(target=wakes.end, args=([second],))
        thread.start()
        await asyncio.wait_for(waiting, 10)
        with pytest.raises(TimeoutError):
            await wakes.until_over(Doing(), 0.01)
        thread.join()

    asyncio.run(wait())
