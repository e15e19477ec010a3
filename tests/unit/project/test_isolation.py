"""Unit tests can't reach out of their process."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable

import grpc
import grpc.aio
import pytest

REACHES_OUT: dict[str, Callable[[], object]] = {
    "TCP": socket.socket,
    "TCP over IPv6": lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM),
    "UDP": lambda: socket.socket(type=socket.SOCK_DGRAM),
    "a server": lambda: socket.create_server(("127.0.0.1", 0)),
    "a name": lambda: socket.getaddrinfo("example.org", 443),
    "a process": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "a shell": lambda: os.system("true"),
    "a copy of this process": os.fork,
    "a gRPC channel": lambda: grpc.insecure_channel("127.0.0.1:1"),
    "an asynchronous gRPC channel": lambda: grpc.aio.insecure_channel("127.0.0.1:1"),
}


@pytest.mark.parametrize("reach_out", REACHES_OUT.values(), ids=REACHES_OUT)
def test_whatever_reaches_out_of_the_process_fails(reach_out: Callable[[], object]) -> None:
    with pytest.raises(pytest.fail.Exception, match="belongs in tests/integration"):
        reach_out()


async def connect() -> None:
    try:
        await asyncio.open_connection("127.0.0.1", 1)
    except Exception as error:
        raise AssertionError("it was taken for an error of the network") from error


async def test_what_expects_errors_of_the_network_does_not_hide_the_failure() -> None:
    with pytest.raises(pytest.fail.Exception):
        await connect()


def test_no_server_of_grpc_can_be_made() -> None:
    with pytest.raises(pytest.fail.Exception):
        grpc.aio.server()


def test_an_event_loop_of_its_own_works() -> None:
    async def answer() -> int:
        return await asyncio.get_running_loop().run_in_executor(None, lambda: 7)

    assert asyncio.run(answer()) == 7
    here, there = socket.socketpair()
    here.close()
    there.close()
