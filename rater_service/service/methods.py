"""The methods of a server, each with what stands in front of it.

gRPC's own ways to these cost a short call more than Phoebe's answer does. Its interceptors are asked at each
call, each by a coroutine, although they say the same every time. And a server on which methods are registered
by their names waits for a call of each of them separately, and looks through all these waits at each call.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, override

import grpc

type Handler = grpc.RpcMethodHandler[Any, Any]


class Interceptor(Protocol):
    """Puts something in front of methods."""

    def intercept(self, method: str, handler: Handler) -> Handler:
        """Return what is called in place of a method. method: /package.Service/Method."""


class Methods(grpc.GenericRpcHandler):
    """All methods that a server has, by name. What stands in front of each is made once.

    interceptors: the first one sees a call first.
    """

    def __init__(self, interceptors: Sequence[Interceptor]) -> None:
        self._interceptors = interceptors
        self._by_name: dict[str, Handler] = {}

    @property
    def as_server(self) -> grpc.aio.Server:
        """Return itself as what generated code adds services to: of a server it uses no more than is here."""
        return cast("grpc.aio.Server", self)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        """Add the methods of a service."""
        for name, handler in method_handlers.items():
            method = f"/{service_name}/{name}"
            intercepted = handler
            for interceptor in reversed(self._interceptors):
                intercepted = interceptor.intercept(method, intercepted)
            self._by_name[method] = intercepted

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Do nothing: generated code adds each service in both ways, and this one has no methods' names."""

    @override
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Find the method of a call; None: there is none of this name."""
        return self._by_name.get(handler_call_details.method)
