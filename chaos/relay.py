"""A relay of StreamEvents: it repeats batches, lets them overtake each other, and loses answers.

It stands between the addons and the rater and sees every event on its way. gRPC itself would hide a repeated
or late packet, so what a network, a proxy or a retrying client does to whole messages is done here.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum, auto

import grpc
import grpc.aio

from phoebe_proto.v1.metering_pb2 import MeteringEvent, StreamEventsRequest

SERVICE = "phoebe.v1.MeteringService"
METHOD = "StreamEvents"
# Of a copy that comes late, for the rater to answer; it may be away.
LATE_TIMEOUT_S = 20.0
# The rater is on loopback; a proxy from the environment must not get in between, nor the pauses of a channel
# to a rater of another run that had the same port.
OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))

type _Context = grpc.aio.ServicerContext[bytes, bytes]
type _Stream = grpc.aio.StreamStreamCall[bytes, bytes]


class Order(Enum):
    """What to do with the next batch that has events."""

    REPEAT = auto()
    """Send it twice."""
    HOLD = auto()
    """Break the stream off, and send the batch when later ones have passed it."""
    LOSE_ANSWER = auto()
    """Break the stream off once the rater has answered."""


@dataclass(frozen=True, slots=True)
class _Held:
    """A batch that is held back. due: how many batches will have passed when it is sent."""

    request: bytes
    due: int


class Relay:
    """Passes batches on to the rater at `target`, HOST:PORT, which may change.

    events: every event that came by, by its request id, as it came first. changed: the request ids of those
    that came with other content later.
    """

    def __init__(self) -> None:
        self.target = ""
        self.events: dict[str, MeteringEvent] = {}
        self.changed: list[str] = []
        self._orders: deque[tuple[Order, int]] = deque()
        self._held: list[_Held] = []
        self._passed = 0
        self._sending: set[asyncio.Task[None]] = set()
        self._server: grpc.aio.Server | None = None

    async def start(self) -> int:
        """Take streams. Gives the port."""
        self._server = grpc.aio.server()
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self._stream)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Take no more streams, and end those there are."""
        for task in self._sending:
            task.cancel()
        if self._server:
            await self._server.stop(None)

    def order(self, order: Order, amount: int) -> None:
        """Do something with the next batch that has events; see Order. amount: of later ones for HOLD."""
        self._orders.append((order, amount))

    async def heal(self) -> None:
        """Forget the orders; send what is still held back and wait for the answers."""
        self._orders.clear()
        self._release(len(self._held) and max(held.due for held in self._held))
        if self._sending:
            await asyncio.wait(self._sending)

    async def _stream(self, requests: AsyncIterator[bytes], context: _Context) -> AsyncIterator[bytes]:
        if not self.target:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "chaos: there is no rater yet")
        async with grpc.aio.insecure_channel(self.target, OPTIONS) as channel:
            stream = _open(channel)
            try:
                async for request in requests:
                    yield await self._pass(request, stream, context)
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "")

    async def _pass(self, request: bytes, stream: _Stream, context: _Context) -> bytes:
        """Do with a batch what is ordered. Gives the answer to it."""
        order, amount = self._next_order(request)
        if order is Order.HOLD:
            self._held.append(_Held(request, self._passed + amount))
            await context.abort(grpc.StatusCode.UNAVAILABLE, "chaos: the batch is late")
        answer = await _ask(stream, request)
        if order is Order.REPEAT:
            answer = await _ask(stream, request)
        self._passed += 1
        self._release(self._passed)
        if order is Order.LOSE_ANSWER:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "chaos: the answer is lost")
        return answer

    def _next_order(self, request: bytes) -> tuple[Order | None, int]:
        events = StreamEventsRequest.FromString(request).events
        for event in events:
            known = self.events.setdefault(event.request_id, event)
            if known != event:
                self.changed.append(event.request_id)
        return self._orders.popleft() if events and self._orders else (None, 0)

    def _release(self, passed: int) -> None:
        due = [held for held in self._held if held.due <= passed]
        self._held = [held for held in self._held if held not in due]
        for held in due:
            task = asyncio.create_task(self._send_late(held.request))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send_late(self, request: bytes) -> None:
        async with grpc.aio.insecure_channel(self.target, OPTIONS) as channel:
            try:
                async with asyncio.timeout(LATE_TIMEOUT_S):
                    await _ask(_open(channel), request)
            except (grpc.aio.AioRpcError, TimeoutError):
                return  # lost for good, as packets are; the addon has sent it again


def _open(channel: grpc.aio.Channel) -> _Stream:
    stream: _Stream = channel.stream_stream(f"/{SERVICE}/{METHOD}")()
    return stream


async def _ask(stream: _Stream, request: bytes) -> bytes:
    """Send a batch and wait for its answer. Raises AioRpcError when the stream has ended."""
    try:
        await stream.write(request)
        answer = await stream.read()
    except asyncio.InvalidStateError:  # it ended while it was being written to
        answer = grpc.aio.EOF
    if isinstance(answer, bytes):
        return answer
    raise grpc.aio.AioRpcError(await stream.code(), await stream.initial_metadata(),
                               await stream.trailing_metadata(), await stream.details())  # fmt: skip
