"""The channel between `phoebe proxy` and a worker."""

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from phoebe_addon.channel import Channel, Message

type Ends = tuple[Channel, Channel]


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = tuple(map(Channel, socket.socketpair()))
    one, two = made
    yield one, two
    one.close()
    two.close()


async def test_messages_come_as_they_were_sent_also_long_ones(ends: Ends) -> None:
    one, two = ends
    messages: list[Message] = [{"a": 1}, {"long": "x" * 1_000_000}, {"b": ["\n"]}]

    async def send() -> None:
        for message in messages:
            assert await one.send(message)

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        received = [await two.receive() for _ in messages]

    assert received == [(message, []) for message in messages]


async def test_open_files_come_with_the_message_that_they_were_sent_with(ends: Ends) -> None:
    one, two = ends
    reading, writing = os.pipe()
    await one.send({"without": 1})
    await one.send({"with": 1}, [writing, reading])
    await one.send({"without": 2})
    os.close(writing)

    received = [await two.receive() for _ in range(3)]

    assert [bool(each and each[1]) for each in received] == [False, True, False]
    assert received[1]
    got_writing, got_reading = received[1][1]
    os.write(got_writing, b"hello")
    assert os.read(reading, 9) == b"hello"
    for each in (got_writing, got_reading, reading):
        os.close(each)


async def test_the_end_of_the_other_side_is_heard(ends: Ends) -> None:
    one, two = ends
    await one.send({"last": 1})
    one.close()

    assert await two.receive() == ({"last": 1}, [])
    assert await two.receive() is None
    assert not await two.send({"to": "nobody"})
