"""Answers a message that is none of its method's kind with a clear error.

gRPC's own answer to such bytes is UNKNOWN, and a traceback in the log for every one of them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from enum import Enum
from typing import Any, Final, NamedTuple, Self, cast

import grpc
from google.protobuf.message import DecodeError

from rater_service.service.messages import Messages
from rater_service.service.methods import Handler
from rater_service.service.rpc_errors import RpcError, abort

type _Context = grpc.aio.ServicerContext[Any, Any]


class _Unreadable(Enum):
    """Stands in the place of a message that could not be read."""

    MESSAGE = "not a message of this method"


UNREADABLE: Final = _Unreadable.MESSAGE


class RequestReader:
    """Puts itself in front of methods; what can be read passes as it is."""

    def intercept(self, _method: str, handler: Handler) -> Handler:
        """Return the method that reads with care."""
        return _reading(handler)


def _reading(handler: Handler) -> Handler:
    assert handler.request_deserializer is not None  # generated code always gives one
    read, write = _careful(handler.request_deserializer), handler.response_serializer
    if handler.unary_unary:
        return grpc.unary_unary_rpc_method_handler(_one_for_one(handler.unary_unary), read, write)
    if handler.unary_stream:
        return grpc.unary_stream_rpc_method_handler(_many_for_one(handler.unary_stream), read, write)
    assert handler.stream_stream is not None  # no service has a method of the fourth kind
    return grpc.stream_stream_rpc_method_handler(_many_for_many(handler.stream_stream), _sized(read), write)


def _careful(deserialize: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def read(message: bytes) -> object:
        try:
            return deserialize(message)
        except DecodeError:
            # gRPC would answer an exception that is raised here.
            return UNREADABLE

    return read


class _Sized(NamedTuple):
    """A message, and how many bytes it had."""

    message: object
    size: int


def _sized(read: Callable[[bytes], object]) -> Callable[[bytes], _Sized]:
    return lambda message: _Sized(read(message), len(message))


def _one_for_one(behaviour: Callable[..., Any]) -> Callable[[object, _Context], Awaitable[object]]:
    async def answer(request: object, context: _Context) -> object:
        if request is UNREADABLE:
            await abort(context, _unreadable())
        return await behaviour(request, context)

    return answer


def _many_for_one(behaviour: Callable[..., Any]) -> Callable[[object, _Context], Awaitable[None]]:
    async def answer(request: object, context: _Context) -> None:
        if request is UNREADABLE:
            await abort(context, _unreadable())
        await _write_all(behaviour(request, context), context)

    return answer


def _many_for_many(
    behaviour: Callable[..., Any],
) -> Callable[[AsyncIterator[object], _Context], Awaitable[None]]:
    async def answer(requests: AsyncIterator[object], context: _Context) -> None:
        messages = requests if isinstance(requests, Messages) else Messages(context)
        try:
            await _write_all(behaviour(ReadableMessages(messages), context), context)
        except RpcError as error:
            await abort(context, error)

    return answer


async def _write_all(answering: Any, context: _Context) -> None:
    if not isinstance(answering, AsyncGenerator):
        await answering
        return
    async with aclosing(answering) as responses:
        async for response in responses:
            await context.write(response)


class ReadableMessages[Message]:
    """The messages of a stream, up to the first that can't be read. None is kept, as in `Messages`.

    size: of the last one, in bytes, as it came; to ask the message itself would write it once more.
    """

    def __init__(self, messages: AsyncIterator[object]) -> None:
        self._messages = messages
        self.size = 0

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> Message:
        """Read the next message. Raises RpcError if it can't be read."""
        sized = await anext(self._messages)
        assert isinstance(sized, _Sized)
        self.size = sized.size
        if sized.message is UNREADABLE:
            raise _unreadable()
        return cast("Message", sized.message)


def _unreadable() -> RpcError:
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "UNREADABLE_MESSAGE",
        "a message is not of the kind the method takes, or is damaged",
    )
