"""Room for batches: what fits is read, the others wait in turn, and who is silent keeps nobody waiting."""

import asyncio
from itertools import count

from rater_service.service import batch_room
from rater_service.service.batch_room import (
    GREETED_BATCH_BYTES,
    SMALL_BATCH_BYTES,
    UNKNOWN_BATCH_BYTES,
    BatchRoom,
)

LARGE = UNKNOWN_BATCH_BYTES
FOR_EVER_S = 3600.0


_connections = map(str, count())


def Place(room: BatchRoom, connection: str | None = None) -> batch_room.Place:  # noqa: N802 - as the class
    """The place of a stream on a connection of its own, unless one is named."""
    return batch_room.Place(room, connection or next(_connections))


def room_for(batches: int, silence_s: float = FOR_EVER_S) -> BatchRoom:
    return BatchRoom(batches * LARGE, silence_s)


async def have_room(*waiting: asyncio.Task[None]) -> list[bool]:
    """Tell who has room, once all that can go on has gone on."""
    for _ in range(20):
        await asyncio.sleep(0)
    return [task.done() for task in waiting]


async def test_as_many_as_fit_are_read_from_and_the_others_in_the_order_in_which_they_came() -> None:
    room = room_for(2)
    places = [Place(room) for _ in range(5)]
    async with asyncio.TaskGroup() as tasks:
        reads = [tasks.create_task(place.take()) for place in places]
        assert await have_room(*reads) == [True, True, False, False, False]
        assert room.waiting == 3
        places[1].hold(LARGE, has_events=True)
        assert await have_room(*reads) == [True, True, False, False, False]
        places[1].leave()
        assert await have_room(*reads) == [True, True, True, False, False]
        places[0].leave()
        places[2].leave()
        assert await have_room(*reads) == [True] * 5
    assert room.waiting == 0


async def test_a_stream_is_taken_to_send_what_it_sent_last_and_little_never_waits() -> None:
    room = room_for(1)
    small, large, other = Place(room), Place(room), Place(room)
    await small.take()
    small.hold(SMALL_BATCH_BYTES, has_events=True)
    small.leave()
    async with asyncio.TaskGroup() as tasks:
        await large.take()
        await small.take()
        waiting = tasks.create_task(other.take())
        assert await have_room(waiting) == [False]
        large.hold(LARGE, has_events=True)
        large.leave()
        small.leave()
        assert await have_room(waiting) == [True]


async def test_a_batch_without_events_makes_an_unknown_stream_one_that_sends_less_and_says_nothing_else() -> (
    None
):
    room = room_for(1)
    greeting, known = Place(room), Place(room)
    known.hold(LARGE // 2, has_events=True)
    for place in (greeting, known):
        place.hold(10, has_events=False)
        place.leave()
        await place.take()
    assert (greeting.taken, known.taken) == (GREETED_BATCH_BYTES, LARGE // 2)


async def test_connections_take_turns_however_many_streams_of_one_wait() -> None:
    room = room_for(1)
    first = Place(room)
    await first.take()
    many = [Place(room, "one with many") for _ in range(50)]
    async with asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(place.take()) for place in many]
        assert await have_room(*waiting) == [False] * 50
        other = tasks.create_task(Place(room).take())
        first.leave()
        assert await have_room(waiting[0], waiting[1], other) == [True, False, False]
        many[0].leave()
        assert await have_room(waiting[1], other) == [False, True]
        for one in waiting:
            one.cancel()


async def test_a_batch_larger_than_all_room_goes_alone() -> None:
    room = room_for(1)
    huge, other = Place(room), Place(room)
    await huge.take()
    huge.hold(3 * LARGE, has_events=True)
    huge.leave()
    await other.take()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(huge.take())
        assert await have_room(waiting) == [False]
        other.leave()
        assert await have_room(waiting) == [True]


async def test_whoever_is_silent_loses_the_room_to_those_who_wait_and_may_still_send() -> None:
    room = room_for(2, silence_s=0)
    silent = [Place(room), Place(room)]
    for place in silent:
        await place.take()
    others = [Place(room), Place(room)]
    for place in others:
        await place.take()
        place.hold(LARGE, has_events=True)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(Place(room).take())
        assert await have_room(waiting) == [False]  # a batch that came is not silence
        silent[0].hold(LARGE, has_events=True)
        others[0].leave()
        assert await have_room(waiting) == [False]  # what came without room is counted all the same
        silent[0].leave()
        assert await have_room(waiting) == [True]


async def test_who_does_not_wait_any_longer_leaves_no_trace() -> None:
    room = room_for(1)
    first, gone, next_one = Place(room), Place(room), Place(room)
    await first.take()
    async with asyncio.TaskGroup() as tasks:
        leaving, waiting = tasks.create_task(gone.take()), tasks.create_task(next_one.take())
        assert await have_room(leaving, waiting) == [False, False]
        leaving.cancel()
        gone.leave()
        assert await have_room(waiting) == [False]
        first.leave()
        assert await have_room(waiting) == [True]
    assert (room.waiting, next_one.taken) == (0, LARGE)
