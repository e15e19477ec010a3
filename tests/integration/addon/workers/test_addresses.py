"""Addresses that several processes listen on."""

import errno
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from phoebe_addon.workers.addresses import Addresses
from rig.ports import reserve_port


@pytest.fixture
def addresses() -> Iterator[Addresses]:
    with closing(Addresses(3)) as made:
        yield made


def ports(addresses: Addresses, slot: int) -> set[int]:
    """The ports that the sockets of a slot are bound to."""
    found = set()
    for _, files in addresses.sockets(slot):
        for file in files:
            with socket.socket(fileno=socket.dup(file)) as each:
                found.add(each.getsockname()[1])
    return found


def test_every_slot_has_a_socket_of_its_own_on_the_same_address(addresses: Addresses) -> None:
    port = reserve_port()
    addresses.bind(("127.0.0.1", port))
    addresses.bind(("127.0.0.1", port))  # as each worker does

    files = {file for slot in (1, 2, 3) for _, files in addresses.sockets(slot) for file in files}

    assert len(files) == 3
    assert addresses.shown() == f"127.0.0.1:{port}"


def test_any_port_is_the_same_one_for_all(addresses: Addresses) -> None:
    addresses.bind(("", 0))

    (port,) = ports(addresses, 1)

    assert port
    assert ports(addresses, 2) == ports(addresses, 3) == {port}


def test_a_port_that_another_program_listens_on_is_not_shared_with_it(addresses: Addresses) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        with pytest.raises(OSError) as raised:  # noqa: PT011 - its number is looked at
            addresses.bind(("127.0.0.1", other.getsockname()[1]))

        assert raised.value.errno == errno.EADDRINUSE
    assert addresses.sockets(1) == []


def test_a_name_that_is_none_is_told(addresses: Addresses) -> None:
    with pytest.raises(OSError, match="known"):
        addresses.bind(("no-such-host.invalid", 80))
