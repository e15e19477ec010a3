"""A bare grpc.aio service that answers whatever it is asked: the reference of quotes, the collector of spans.

It gives gRPC the options that the rater gives it. It says `listening on HOST:PORT`, and `asked` at the first
call; it ends on SIGTERM.
"""

import argparse
import asyncio
import signal
from collections.abc import Sequence
from typing import override

import grpc

from rater_service.limits import CHANNEL_OPTIONS

METHOD = "/phoebe.bench/Echo"


class Echo(grpc.GenericRpcHandler):
    """Answers with `answer`, whatever it is asked by a method."""

    def __init__(self, method: str, answer: bytes) -> None:
        self._method = method
        self._is_asked = False

        async def give(_request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            if not self._is_asked:
                self._is_asked = True
                print("asked", flush=True)
            return answer

        self._handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(give)

    @override
    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        return self._handler if handler_call_details.method == self._method else None


async def serve(method: str, answer_bytes: int) -> None:
    """Serves a method until it is told to stop. answer_bytes: how long its answers are."""
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    server.add_generic_rpc_handlers([Echo(method, bytes(answer_bytes))])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print(f"listening on 127.0.0.1:{port}", flush=True)
    await stopping.wait()
    await server.stop(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the service."""
    parser = argparse.ArgumentParser(prog="python -m bench.echo", description="Answers with as many bytes.")
    parser.add_argument("--answer-bytes", type=int, required=True)
    parser.add_argument("--method", default=METHOD)
    given = parser.parse_args(arguments)
    asyncio.run(serve(given.method, given.answer_bytes))


if __name__ == "__main__":
    main()
