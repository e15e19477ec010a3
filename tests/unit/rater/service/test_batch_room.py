"""Room for batches: what fits is read, the others wait in turn, and who is silent keeps nobody waiting."""

import asyncio

from rater_service.service.batch_room import SMALL_BATCH_BYTES, UNKNOWN_BATCH_BYTES, BatchRoom, Place

LARGE = UNKNOWN_BATCH_BYTES
FOR_EVER_S = 3600.0


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


async def test_a_batch_without_events_says_nothing_of_the_next() -> None:
    room = room_for(1)
    first, second = Place(room), Place(room)
    await first.take()
    first.hold(10, has_events=False)
    first.leave()
    await second.take()
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(first.take())
        assert await have_room(waiting) == [False]
        second.leave()


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
