"""Tells callers which version answered: metadata of every call, besides its answer or its error."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from rater_service.distribution import installed_version
from rater_service.service.methods import Handler

VERSION_KEY: Final = "phoebe-version"

type _Context = grpc.aio.ServicerContext[Any, Any]


class VersionTeller:
    """Puts the version into the trailing metadata of every call, also of those that are refused.

    Not into the initial metadata: a call whose answer has begun is not tried again by gRPC's own retries.
    """

    def __init__(self) -> None:
        self._told = ((VERSION_KEY, installed_version()),)

    def intercept(self, _method: str, handler: Handler) -> Handler:
        """Put it in front of the method."""
        read, write = handler.request_deserializer, handler.response_serializer
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._telling(handler.unary_unary), read, write)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._telling(handler.unary_stream), read, write)
        assert handler.stream_stream is not None  # no service has a method of the fourth kind
        return grpc.stream_stream_rpc_method_handler(self._telling(handler.stream_stream), read, write)

    def _telling(self, behaviour: Callable[..., Any]) -> Callable[[object, _Context], Awaitable[object]]:
        # What is in front of every method gives coroutines, whatever the method is.
        async def answer(request: object, context: _Context) -> object:
            context.set_trailing_metadata(self._told)
            return await behaviour(request, context)

        return answer
