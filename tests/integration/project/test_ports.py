"""A port that is reserved for a program is not taken before the program listens on it."""

import errno
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rig.ports import accepts, reserve_port

# Of Linux since 6.3, in <linux/in.h>: which ports a socket may be given.
IP_LOCAL_PORT_RANGE = 51

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a port be reserved")


def chooser(port: int) -> socket.socket:
    """A socket to which the kernel can give one port only."""
    chosen = socket.socket()
    # As servers do; a socket without it gets less.
    chosen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        chosen.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=I", port << 16 | port))
    except OSError:
        chosen.close()
        pytest.skip("a kernel before 6.3: its choice of ports can't be narrowed")
    return chosen


def is_given_to_server(port: int, host: str = "127.0.0.1") -> bool:
    with chooser(port) as server:
        try:
            server.bind((host, 0))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        assert server.getsockname()[1] == port
        return True


def is_given_to_client(port: int) -> bool:
    with socket.create_server(("127.0.0.1", 0)) as server, chooser(port) as client:
        try:
            client.connect(server.getsockname())
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return False
        assert client.getsockname()[1] == port
        return True


def merely_free_ports() -> Iterator[int]:
    """More than one: any of them may be taken by another program."""
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port: int = server.getsockname()[1]
        yield port


def test_no_server_that_takes_any_port_is_given_a_reserved_one() -> None:
    assert any(map(is_given_to_server, merely_free_ports()))

    port = reserve_port()
    assert not is_given_to_server(port)
    assert not is_given_to_server(port, "0.0.0.0")


def test_no_connection_is_given_a_reserved_port() -> None:
    assert any(map(is_given_to_client, merely_free_ports()))

    assert not is_given_to_client(reserve_port())


def test_a_reserved_port_is_for_whoever_names_it_and_as_often_as_it_is_named() -> None:
    port = reserve_port()
    assert not accepts(port)
    for _ in range(2):
        with socket.create_server(("127.0.0.1", port)):
            assert accepts(port)
        assert not accepts(port)


def test_a_reservation_ends_with_the_process_that_made_it() -> None:
    reserving = "from rig.ports import reserve_port; print(*(reserve_port() for _ in range(5)))"
    said = subprocess.run([sys.executable, "-c", reserving], check=True, capture_output=True, text=True)

    assert any(is_given_to_server(int(port)) for port in said.stdout.split())
