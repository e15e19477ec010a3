"""Reads the batches of one stream, each when there is room for it, until the service stops."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc

from phoebe_proto.v1.metering_pb2 import StreamEventsRequest
from phoebe_runtime.background import spawn
from rater_service.service.batch_room import BatchRoom, Place
from rater_service.service.request_reader import ReadableMessages
from rater_service.service.rpc_errors import RpcError


class BatchReader:
    """The batches of one stream of a connection. Once `stopping` is set, there is no other one."""

    def __init__(
        self,
        requests: AsyncIterator[StreamEventsRequest],
        room: BatchRoom,
        connection: str,
        stopping: asyncio.Event,
    ) -> None:
        self._requests = requests
        self._place = Place(room, connection)
        self._stopping = stopping

    @asynccontextmanager
    async def batch(self) -> AsyncIterator[StreamEventsRequest | None]:
        """Give the next batch, and None after the last; it has room until the context ends.

        Raises RpcError, to be answered, when the service stops.
        """
        try:
            yield await self._read()
        finally:
            self._place.leave()

    async def _read(self) -> StreamEventsRequest | None:
        request = await self._unless_stopping(self._next())
        if request is not None:
            self._place.hold(self._size_of(request), has_events=bool(request.events))
        return request

    async def _next(self) -> StreamEventsRequest | None:
        await self._place.take()
        return await anext(self._requests, None)

    def _size_of(self, request: StreamEventsRequest) -> int:
        if isinstance(self._requests, ReadableMessages):
            return self._requests.size
        return request.ByteSize()

    async def _unless_stopping[T](self, work: Coroutine[Any, Any, T]) -> T:
        stopping = spawn(self._stopping.wait(), "end of a stream")
        doing = spawn(work, "next batch")
        # If the stream ends for another reason, nobody awaits this task.
        doing.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not self._stopping.is_set():
                return await doing
        finally:
            stopping.cancel()
            doing.cancel()
        raise RpcError(
            grpc.StatusCode.UNAVAILABLE,
            "STOPPING",
            "the service is stopping; send again what was not answered",
        )
