"""Coroutines that are driven without a task come to the same end as in one."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from phoebe_addon.proxy.driving import Drive, driven, is_driven
from tests.harness.waiting import until


class Ends:
    """What became of a drive, in order."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def drive(self, work: Callable[[], Awaitable[None]]) -> Drive:
        async def run() -> None:
            await work()

        return Drive(run(), lambda: self.seen.append("over"), lambda: self.seen.append("left"))


async def test_what_is_over_at_once_is_told_of_by_begin_alone() -> None:
    ends = Ends()

    async def work() -> None:
        ends.seen.append("works")

    assert ends.drive(work).begin()
    assert ends.seen == ["works"]


async def test_what_waits_for_a_future_goes_on_when_it_is_there() -> None:
    ends = Ends()
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        ends.seen.append(await future)
        await asyncio.sleep(0)
        ends.seen.append("slept")

    assert not ends.drive(work).begin()
    assert ends.seen == []
    future.set_result("there")
    await until(lambda: "over" in ends.seen)
    assert ends.seen == ["there", "slept", "left", "over"]


async def test_a_future_that_fails_raises_where_it_is_waited_for() -> None:
    ends = Ends()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        try:
            await future
        except ValueError as error:
            ends.seen.append(str(error))

    ends.drive(work).begin()
    future.set_exception(ValueError("no disk"))
    await until(lambda: "over" in ends.seen)
    assert ends.seen == ["no disk", "left", "over"]


async def test_a_lock_that_is_held_is_waited_for() -> None:
    ends = Ends()
    lock = asyncio.Lock()

    async def work() -> None:
        async with lock:
            ends.seen.append("has it")

    async with lock:
        assert not ends.drive(work).begin()
        await asyncio.sleep(0)
        assert ends.seen == []
    await until(lambda: "over" in ends.seen)
    assert not lock.locked()


async def test_what_is_cancelled_is_left_and_never_over() -> None:
    ends = Ends()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await future

    ends.drive(work).begin()
    future.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ends.seen == ["left"]


async def test_what_fails_is_left_and_the_loop_is_told_why() -> None:
    ends = Ends()
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        await future
        raise KeyError("a bug")

    ends.drive(work).begin()
    future.set_result(None)
    await until(lambda: told)
    assert ends.seen == ["left"]
    assert isinstance(told[0], KeyError)


async def test_what_fails_in_its_first_step_raises_where_it_is_begun() -> None:
    ends = Ends()

    async def work() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        ends.drive(work).begin()


def test_a_method_is_known_by_its_function() -> None:
    class Addon:
        @driven
        async def request(self, _flow: object) -> None: ...

        async def response(self, _flow: object) -> None: ...

    assert is_driven(Addon().request)
    assert not is_driven(Addon().response)
    assert not is_driven(len)
