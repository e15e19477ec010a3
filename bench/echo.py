"""The reference of the benchmark of quotes: a bare grpc.aio service that answers whatever it is asked.

It gives gRPC the options that the rater gives it. It says `listening on HOST:PORT`, and ends on SIGTERM.
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
    """Answers with `answer`, whatever it is asked."""

    def __init__(self, answer: bytes) -> None:
        async def give(_request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            return answer

        self._handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(give)

    @override
    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        return self._handler if handler_call_details.method == METHOD else None


async def serve(answer_bytes: int) -> None:
    """Serves until it is told to stop. answer_bytes: how long its answers are."""
    server = grpc.aio.server(options=CHANNEL_OPTIONS)
    server.add_generic_rpc_handlers([Echo(bytes(answer_bytes))])
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
    asyncio.run(serve(parser.parse_args(arguments).answer_bytes))


if __name__ == "__main__":
    main()
