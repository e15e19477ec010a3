"""Bounds what batches take of the memory, over all streams: who finds no room is not read from yet.

gRPC has a whole message before anybody sees how large it is, and in memory a batch takes some three times as
much. So a stream takes room before it is read from, for as much as it sent last, and gives it back once its
batch is stored. Whoever sends nothing or little must not keep others waiting: see SILENCE_S and
SMALL_BATCH_BYTES. What comes from a stream that has lost its room is taken all the same, and counted.

The connections whose streams wait take turns: who opens a hundred streams on one and sends nothing keeps the
others of that connection waiting, and a new caller no longer than for one of them.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

# On the wire; some 200 MB in memory.
ROOM_BYTES = 64 * 1024 * 1024
# What a stream is taken to send of which nothing has come yet.
UNKNOWN_BATCH_BYTES = 16 * 1024 * 1024
# What a stream is taken to send of which a message without events came, as an addon's first is. 500 usual
# events take a quarter of it, and an addon sends twice as much at most. Most such streams wait for work.
GREETED_BATCH_BYTES = 1024 * 1024
# Streams that send so little never wait. Most do, and thousands may be open.
SMALL_BATCH_BYTES = 64 * 1024
# Who has room and sends nothing for so long loses it once somebody waits for it. Most networks bring the
# largest batch in less, and addons say something every five seconds.
SILENCE_S = 3.0


class BatchRoom:
    """The room of all streams of a service. size: how much there is, in bytes."""

    def __init__(self, size: int = ROOM_BYTES, silence_s: float = SILENCE_S) -> None:
        self._size = size
        self._silence_s = silence_s
        self._taken = 0
        # Places that are being read from, since when; the longest silent is the first.
        self._silent: dict[Place, float] = {}
        self._queue = asyncio.Lock()
        # Of each connection with a stream: of all that wait one stands in the queue.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._given_back = asyncio.Event()
        self.waiting = 0
        """How many streams wait for room."""

    def turn(self, connection: str) -> asyncio.Lock:
        """Give what the streams of a connection have of the queue, one at a time."""
        return self._turns.setdefault(connection, asyncio.Lock())

    async def take(self, place: "Place", size: int) -> None:
        """Wait for room, by turns of the connections and on each in the order in which it is asked for; for
        all of it, if size is more than that.
        """
        if size > SMALL_BATCH_BYTES:
            with self._counted():
                async with place.turn, self._queue:
                    while self._taken and self._taken + size > self._size:
                        await self._change()
                    self._note(place, size)
        else:
            self._note(place, size)

    def leave(self, place: "Place") -> None:
        """Give back what a place has, if it has anything."""
        self._silent.pop(place, None)
        self._taken -= place.taken
        place.taken = 0
        self._given_back.set()

    def hold(self, place: "Place", size: int) -> None:
        """Count a batch that came by its own size, whether there is room or not: it is in memory."""
        self.leave(place)
        self._taken += size
        place.taken = size

    def _note(self, place: "Place", size: int) -> None:
        self._taken += size
        place.taken = size
        self._silent[place] = asyncio.get_running_loop().time()

    async def _change(self) -> None:
        """Wait until somebody gives room back, or has been silent for too long."""
        self._given_back.clear()
        longest = next(iter(self._silent), None)
        until = None if longest is None else self._silent[longest] + self._silence_s
        try:
            async with asyncio.timeout_at(until):
                await self._given_back.wait()
        except TimeoutError:
            assert longest is not None
            self.leave(longest)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


class Place:
    """The place of one stream in the room; one batch at a time.

    connection: which connection the stream is on. taken: what it has of the room, in bytes.
    """

    def __init__(self, room: BatchRoom, connection: str) -> None:
        self._room = room
        self._expected = UNKNOWN_BATCH_BYTES
        self.turn = room.turn(connection)
        self.taken = 0

    async def take(self) -> None:
        """Wait for room for the stream's next batch, by what it sent last."""
        await self._room.take(self, self._expected)

    def hold(self, size: int, *, has_events: bool) -> None:
        """Have room for the message that came. One without events says little of the next one's size."""
        self._room.hold(self, size)
        if has_events:
            self._expected = size
        elif self._expected == UNKNOWN_BATCH_BYTES:
            self._expected = GREETED_BATCH_BYTES

    def leave(self) -> None:
        """Give the room back."""
        self._room.leave(self)
