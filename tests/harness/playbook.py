"""A client's connection in mitmproxy's layers, without sockets: bytes and ends go in, commands come out.

It plays the part of mitmproxy's `server.py`: opens and closes connections, answers hooks, keeps what was sent
where. All happens at once and in order, unless a test holds it back.
"""

import inspect
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import addonmanager, http, tls
from mitmproxy import options as mitmproxy_options
from mitmproxy.connection import Client, Connection, ConnectionState, Server
from mitmproxy.proxy import commands, events, mode_specs
from mitmproxy.proxy.layers import http as http_layers

from phoebe_addon.exchange.exchange import Exchange
from phoebe_addon.proxy import guard
from phoebe_addon.proxy.lean_objects import LeanContext
from phoebe_addon.proxy.quiet_engines import EngineHeardHook, know_sockets
from phoebe_addon.proxy.unasked import EngineSpokeUnaskedHook, Unasked
from tests.harness.addon_in_mitmproxy import clientplayback, proxyserver
from tests.harness.exchanges import PASSED, admission
from tests.harness.tls_engine import TlsEngine, proxys_half

type HookAction = Callable[[http.HTTPFlow], object]

ENGINE = ("engine", 8000)


def options() -> mitmproxy_options.Options:
    """Make mitmproxy's options, at their defaults."""
    made = mitmproxy_options.Options()
    loader = addonmanager.Loader(SimpleNamespace(options=made))
    proxyserver.Proxyserver().load(loader)
    return made


def admit(flow: http.HTTPFlow) -> None:
    """Admit an exchange, to the engine that every test has."""
    _admit_to(flow, "http")


def admit_to_tls(flow: http.HTTPFlow) -> None:
    """Admit an exchange, to the same engine behind TLS."""
    _admit_to(flow, "https")


def _admit_to(flow: http.HTTPFlow, scheme: str) -> None:
    exchange = guard.exchange_of(flow)
    assert exchange
    exchange.pass_head(PASSED)
    exchange.admit(admission())
    flow.request.scheme = scheme
    flow.request.host, flow.request.port = ENGINE


@dataclass(eq=False)
class Playbook:
    """One connection of a client, and those to its engines.

    alpn, engine_alpn: h2, or nothing for HTTP/1. actions: what the addon does in its hooks, by name; at first
    it admits all. held: names of hooks that are not completed before `release`. replayed: a flow that is sent
    again, in place of what a client sends.

    refused: whether engines can't be connected to. connects_at_once: else they are not before `connects`.
    speaks_first: what an engine sends before it could be asked. unread: connections on which something waits
    that layers were not shown; all_unread: on all. waiting: what waits there, of which each hook that listens
    to an engine shows one piece. half_closes: whether half of a connection can be closed. plain: whether
    nobody but Phoebe looks at what passes: messages go in one piece, hooks are called where they are met.

    An engine to which an exchange is admitted with `admit_to_tls` speaks TLS: what is sent and written is in
    clear here, and encrypted for the layers. What TLS itself says behind the handshake waits to be read.

    hooks, flows, logs, unasked, timers: what came out. writes: what was written to each connection, a piece
    for each command. half_closed, closed: the connections of which the proxy closed its half, or all.
    """

    alpn: bytes = b""
    engine_alpn: bytes = b""
    actions: dict[str, HookAction] = field(default_factory=lambda: {"request": admit})
    held: set[str] = field(default_factory=set)
    replayed: http.HTTPFlow | None = None
    refused: bool = False
    connects_at_once: bool = True
    speaks_first: bytes = b""
    unread: set[Connection] = field(default_factory=set)
    all_unread: bool = False
    waiting: dict[Connection, deque[bytes]] = field(default_factory=dict)
    half_closes: bool = True
    plain: bool = False
    hooks: list[str] = field(default_factory=list)
    flows: list[http.HTTPFlow] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    unasked: list[Unasked] = field(default_factory=list)
    timers: list[commands.RequestWakeup] = field(default_factory=list)
    engines: list[Server] = field(default_factory=list)
    writes: dict[Connection, list[bytes]] = field(default_factory=dict)
    half_closed: list[Connection] = field(default_factory=list)
    closed: list[Connection] = field(default_factory=list)

    def __post_init__(self) -> None:
        mode = mode_specs.ProxyMode.parse("reverse:http://upstream.invalid")
        self.client = Client(
            peername=("10.0.0.1", 4711),
            sockname=("10.0.0.2", 8080),
            state=ConnectionState.OPEN,
            proxy_mode=mode,
            alpn=self.alpn,
        )
        know_sockets(self.client, self)
        made = LeanContext(self.client, options())
        made.hooks = _AtOnce(self) if self.plain else None
        made.server.address = ("upstream.invalid", 80)
        self.layer = http_layers.HttpLayer(made, http_layers.HTTPMode.transparent)
        self._events: deque[events.Event] = deque()
        self._held: list[commands.StartHook] = []
        self._met: set[commands.StartHook] = set()
        self._connecting: list[commands.OpenConnection] = []
        self._tls: dict[Connection, TlsEngine] = {}
        if self.replayed:
            self.layer.connections[self.client] = clientplayback.MockServer(self.replayed, made.fork())
        self._happen(events.Start())

    def is_unread(self, connection: Connection) -> bool:
        """Whether something waits that the layers were not shown."""
        return self.all_unread or connection in self.unread or bool(self.waiting.get(connection))

    def sends(self, data: bytes, connection: Connection | None = None) -> None:
        """Let bytes come on a connection, the client's if none is named."""
        self._happen(events.DataReceived(connection or self.client, self._on_the_wire(data, connection)))

    def lets_wait(self, data: bytes, connection: Connection) -> None:
        """Let bytes come on a connection to an engine, which no layer is shown yet."""
        self.waiting.setdefault(connection, deque()).append(self._on_the_wire(data, connection))

    def leaves(self, connection: Connection | None = None) -> None:
        """Let the other end of a connection close it, the client if none is named."""
        left = connection or self.client
        left.state &= ~ConnectionState.CAN_READ
        self._happen(events.ConnectionClosed(left))
        left.timestamp_end = 1.0

    def release(self) -> None:
        """Complete the hooks that were held back."""
        released, self._held, self.held = self._held, [], set()
        for hook in released:
            self._run(hook)
        self._work()

    def connects(self) -> None:
        """Let the connections to engines come that were held back."""
        self.connects_at_once = True
        for command in self._connecting:
            self._open(command)
        self._work()

    async def play(self, addon: object) -> None:
        """Run the hooks that were held back with an addon, one after the other, as mitmproxy does."""
        while self._held:
            hook = self._held.pop(0)
            (flow,) = hook.args()
            self.flows += [flow] if flow not in self.flows else []
            done = getattr(addon, hook.name)(flow)
            if inspect.isawaitable(done):
                await done
            self._run(hook)
            self._work()

    def wakes(self, stream: http_layers.HttpStream) -> None:
        """Let the watchdog wake a stream."""
        wakeup = commands.RequestWakeup(0)
        self.layer.command_sources[wakeup] = stream
        self._happen(events.Wakeup(wakeup))

    def rings(self) -> None:
        """Let the timer go off that was asked for last."""
        self._happen(events.Wakeup(self.timers.pop()))

    def written(self, connection: Connection | None = None) -> bytes:
        """Return what was written to a connection, the client's if none is named, and forget it."""
        return b"".join(self.writes.pop(connection or self.client, []))

    @property
    def engine(self) -> Server:
        """The connection to an engine that was opened last."""
        return self.engines[-1]

    @property
    def stream(self) -> guard.GuardedHttpStream:
        """The one exchange that is under way."""
        (stream,) = self.layer.streams.values()
        assert isinstance(stream, guard.GuardedHttpStream)
        return stream

    @property
    def exchange(self) -> Exchange:
        """The exchange that began last."""
        exchange = guard.exchange_of(self.flows[-1])
        assert exchange
        return exchange

    def _happen(self, event: events.Event) -> None:
        self._events.append(event)
        self._work()

    def _work(self) -> None:
        while self._events:
            for command in self.layer.handle_event(self._events.popleft()):
                self._do(command)

    def _do(self, command: commands.Command) -> None:
        match command:
            case commands.OpenConnection():
                self._open(command)
            case commands.SendData() if command.connection.state & ConnectionState.CAN_WRITE:
                self._write(command.connection, bytes(command.data))
            case commands.CloseTcpConnection(half_close=True):
                if self.half_closes:
                    command.connection.state &= ~ConnectionState.CAN_WRITE
                self.half_closed.append(command.connection)
            case commands.CloseConnection() if command.connection.state is not ConnectionState.CLOSED:
                # Of a connection whose end was shown already nothing more is shown.
                if command.connection.state & ConnectionState.CAN_READ:
                    self._events.append(events.ConnectionClosed(command.connection))
                command.connection.state = ConnectionState.CLOSED
                self.closed.append(command.connection)
            case commands.StartHook():
                self._call(command)
            case commands.RequestWakeup():
                self.timers.append(command)
            case commands.Log():
                self.logs.append(command.message)

    def _on_the_wire(self, data: bytes, connection: Connection | None) -> bytes:
        return self._tls[connection].say(data) if connection in self._tls else data

    def _write(self, connection: Connection, data: bytes) -> None:
        engine = self._tls.get(connection)
        if engine is None:
            self.writes.setdefault(connection, []).append(data)
            return
        if said := engine.take(data):
            self.writes.setdefault(connection, []).append(said)
        if answer := engine.say():
            if engine.established:
                self.waiting.setdefault(connection, deque()).append(answer)
            else:
                self._events.append(events.DataReceived(connection, answer))

    def _open(self, command: commands.OpenConnection) -> None:
        if not self.connects_at_once:
            self._connecting.append(command)
            return
        if self.refused:
            command.connection.error = "connection refused"
            self._events.append(events.OpenConnectionCompleted(command, command.connection.error))
            return
        engine = command.connection
        assert isinstance(engine, Server)
        engine.state = ConnectionState.OPEN
        engine.timestamp_start = 1.0
        engine.peername = ENGINE
        engine.alpn = self.engine_alpn
        if engine.tls:
            self._tls[engine] = TlsEngine()
        self.engines.append(engine)
        if self.speaks_first:
            self._events.append(events.DataReceived(engine, self.speaks_first))
        self._events.append(events.OpenConnectionCompleted(command, None))

    def call_at_once(self, hook: commands.StartHook) -> bool:
        """Call a hook where a layer meets it. Returns whether it is over."""
        self.hooks.append(hook.name)
        if hook.name in self.held or isinstance(hook, EngineHeardHook):
            self._met.add(hook)
            return False
        self._act(hook)
        return True

    def _call(self, hook: commands.StartHook) -> None:
        if hook in self._met:
            self._met.remove(hook)
            if hook.name in self.held:
                self._held.append(hook)
            else:
                self._run(hook)
            return
        self.hooks.append(hook.name)
        if isinstance(hook, EngineSpokeUnaskedHook):
            self.unasked.append(hook.data)
        elif hook.name in self.held:
            self._held.append(hook)
        else:
            self._run(hook)

    def _run(self, hook: commands.StartHook) -> None:
        self._act(hook)
        if hook.blocking:
            self._events.append(events.HookCompleted(hook))

    def _act(self, hook: commands.StartHook) -> None:
        (argument,) = hook.args()
        if isinstance(argument, http.HTTPFlow):
            if argument not in self.flows:
                self.flows.append(argument)
            action: Callable[[Any], object] | None = self.actions.get(hook.name)
            if action:
                action(argument)
        if isinstance(argument, tls.TlsData) and argument.conn in self._tls and not argument.ssl_conn:
            argument.ssl_conn = proxys_half()
        if isinstance(hook, EngineHeardHook) and (waiting := self.waiting.get(argument)):
            self._events.append(events.DataReceived(argument, waiting.popleft()))


class _AtOnce:
    """Calls the hooks of a playbook where its layers meet them. Nobody watches."""

    def __init__(self, book: Playbook) -> None:
        self._book = book

    def is_plain(self) -> bool:
        """Say so."""
        return True

    def call(self, hook: commands.StartHook) -> bool:
        """Call a hook. Returns whether it is over."""
        return self._book.call_at_once(hook)


@contextmanager
def guarded() -> Iterator[None]:
    """Have the guard in mitmproxy for as long as the context lasts."""
    with pytest.MonkeyPatch.context() as patch:
        for each in guard.replacements():
            patch.setattr(each.owner, each.name, each.ours)
        yield
