"""mitmproxy's HTTP layer without sockets: bytes and hooks in, bytes and connections to engines out."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from mitmproxy import http, options
from mitmproxy.connection import Client, ConnectionState, Server
from mitmproxy.proxy import commands, context, events, mode_specs
from mitmproxy.proxy.layers import http as http_layers

from phoebe_addon.proxy.guard import GuardedHttpStream
from phoebe_addon.proxy.http1 import BoundedHttp1Client, BoundedHttp1Server

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from mitmproxy.addons.clientplayback import MockServer
    from mitmproxy.addons.proxyserver import Proxyserver

type OnHook = Callable[[str, http.HTTPFlow], object]


class GuardedLayer:
    """The HTTP layer of one client's connection, with the guard in it.

    on_hook: called with the name of each hook and its flow. sent: bytes to the client. engines: connections
    that were asked for; none is ever made. said: what was logged.
    """

    def __init__(self, on_hook: OnHook) -> None:
        self._on_hook = on_hook
        self.client = Client(
            peername=("127.0.0.1", 1234),
            sockname=("127.0.0.1", 80),
            timestamp_start=0.0,
            proxy_mode=mode_specs.ProxyMode.parse("reverse:http://engine.test"),
            state=ConnectionState.OPEN,
        )
        made = options.Options()
        Proxyserver().load(made)
        self._context = context.Context(self.client, made)
        self._context.server = Server(address=("engine.test", 80))
        self._layer = http_layers.HttpLayer(self._context, http_layers.HTTPMode.transparent)
        self.hooks: list[str] = []
        self.sent = b""
        self.engines: list[tuple[str, int] | None] = []
        self.said: list[str] = []

    def receive(self, data: bytes) -> None:
        """Let bytes come from the client."""
        self._run(events.Start())
        self._run(events.DataReceived(self.client, data))

    def send_again(self, flow: http.HTTPFlow) -> None:
        """Send the request of a flow once more, as mitmproxy does on an operator's command."""
        self._layer.connections[self.client] = MockServer(flow, self._context.fork())
        self._run(events.Start())

    def _run(self, event: events.Event) -> None:
        waiting = [event]
        while waiting:
            for command in self._layer.handle_event(waiting.pop(0)):
                self._obey(command, waiting)

    def _obey(self, command: commands.Command, waiting: list[events.Event]) -> None:
        if isinstance(command, commands.StartHook):
            self.hooks.append(command.name)
            (flow,) = command.args()
            self._on_hook(command.name, flow)
            waiting.append(events.HookCompleted(command))
        elif isinstance(command, commands.SendData):
            assert command.connection is self.client
            self.sent += command.data
        elif isinstance(command, commands.OpenConnection):
            self.engines.append(command.connection.address)
            waiting.append(events.OpenConnectionCompleted(command, "unreachable"))
        elif isinstance(command, commands.Log):
            self.said.append(command.message)


@contextmanager
def the_guard_in_place() -> Iterator[None]:
    """Have mitmproxy make guarded streams, for a while."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_layers, "HttpStream", GuardedHttpStream)
        patch.setattr(http_layers, "Http1Server", BoundedHttp1Server)
        patch.setattr(http_layers, "Http1Client", BoundedHttp1Client)
        yield
