"""TLS with clients: the first message is bounded, and a failed handshake is an end."""

from mitmproxy import tls as tls_data
from mitmproxy.connection import Client, ConnectionState
from mitmproxy.proxy import commands, context, events
from mitmproxy.proxy.layers import modes, tls

from phoebe_addon.proxy.tls import BoundedClientTLSLayer
from tests.harness.playbook import options

KIB = 1024
# A record of 16 KiB, with the beginning of a message of 16 MiB; then records that go on with it.
HELLO = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16 * KIB - 4)
MORE = b"\x16\x03\x01\x40\x00" + bytes(16 * KIB)
DAMAGED = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"


def opened() -> BoundedClientTLSLayer:
    client = Client(peername=("10.0.0.1", 1), sockname=("10.0.0.2", 2), state=ConnectionState.OPEN)
    made = context.Context(client, options())
    modes.ReverseProxy(made)
    layer = BoundedClientTLSLayer(made)
    list(layer.handle_event(events.Start()))
    return layer


def hears(layer: BoundedClientTLSLayer, data: bytes) -> list[commands.Command]:
    return list(layer.handle_event(events.DataReceived(layer.context.client, data)))


def faults(said: list[commands.Command]) -> list[str]:
    """Return what the addons are told that is wrong with a handshake."""
    told = (each.data for each in said if isinstance(each, tls.TlsFailedClientHook))
    return [str(each.conn.error) for each in told if isinstance(each, tls_data.TlsData)]


def test_a_first_message_without_end_is_given_up_after_64_kib() -> None:
    layer = opened()

    assert [faults(hears(layer, data)) for data in (HELLO, MORE, MORE)] == [[], [], []]
    assert faults(hears(layer, MORE)) == ["Cannot parse ClientHello: it is too long"]


def test_a_fault_of_a_handshake_does_not_quote_all_that_came() -> None:
    (fault,) = faults(hears(opened(), DAMAGED + bytes(10 * KIB)))

    assert fault.startswith("Cannot parse ClientHello")
    assert len(fault) == 200


def test_what_comes_after_a_handshake_that_failed_is_nothing() -> None:
    layer = opened()
    (failed,) = (each for each in hears(layer, DAMAGED) if isinstance(each, tls.TlsFailedClientHook))
    ended = list(layer.handle_event(events.HookCompleted(failed)))
    assert any(isinstance(each, commands.CloseConnection) for each in ended)

    assert hears(layer, bytes(100)) == []
