"""Reads the messages of a stream without holding on to them."""

from typing import Any, Self

import grpc


class Messages:
    """The messages of a call, each read when it is asked for, and not kept until the next one has come.

    gRPC's own iterator is a generator, which refers to the last message for as long as it waits for the next.
    """

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._context = context

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> object:
        """Read the next message."""
        message: object = await self._context.read()
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message
