from collections.abc import Iterator

import pytest
from mitmproxy import http, options
from mitmproxy.proxy import context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.test import tflow

from phoebe_addon.proxy.guard import exchange_of, forget_dead_connections
from tests.harness.exchanges import PASSED, admission
from tests.harness.http_layer import GuardedLayer, the_guard_in_place


def test_connections_to_engines_that_are_over_are_forgotten_and_failures_with_them() -> None:
    client = tflow.tclient_conn()
    layer = http_layers.HttpLayer(
        context.Context(client, options.Options()), http_layers.HTTPMode.transparent
    )
    alive, over, unreachable = (tflow.tserver_conn() for _ in range(3))
    alive.timestamp_end = unreachable.timestamp_end = None
    unreachable.error = "no route to host"
    layer.connections = dict.fromkeys((client, alive, over, unreachable), layer)

    forget_dead_connections(layer)

    assert list(layer.connections) == [client, alive, unreachable]
    assert unreachable.error is None


REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: proxy\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\n\r\n{}"
)
LAST_WORD = "phoebe: a request was about to go to its engine while it was arrived; it was refused"


@pytest.fixture(autouse=True)
def guarded() -> Iterator[None]:
    with the_guard_in_place():
        yield


class Hooks:
    """Lets a request through, as the addon would, if it is told to. flows: those that were seen."""

    def __init__(self, *, let_through: bool) -> None:
        self._let_through = let_through
        self.flows: list[http.HTTPFlow] = []

    def __call__(self, hook: str, flow: http.HTTPFlow) -> None:
        if hook == "requestheaders":
            self.flows.append(flow)
        if hook == "request" and self._let_through:
            exchange = exchange_of(flow)
            assert exchange
            exchange.pass_head(PASSED)
            exchange.admit(admission())


def nobody(_hook: str, _flow: http.HTTPFlow) -> None:
    """Stand in for an addon that is not there, or whose hooks fail."""


def test_what_nobody_let_through_gets_no_connection_to_an_engine() -> None:
    layer = GuardedLayer(nobody)
    layer.receive(REQUEST)

    assert layer.engines == []
    assert layer.sent.startswith(b"HTTP/1.1 500 ")
    assert b'"code": "internal"' in layer.sent
    assert LAST_WORD in layer.said


def test_what_was_let_through_gets_one() -> None:
    layer = GuardedLayer(Hooks(let_through=True))
    layer.receive(REQUEST)

    assert layer.engines == [("engine.test", 80)]
    assert layer.hooks == ["requestheaders", "request", "error"]
    assert layer.sent.startswith(b"HTTP/1.1 502 ")
    assert LAST_WORD not in layer.said


def test_an_exchange_knows_what_its_client_asked_for() -> None:
    hooks = Hooks(let_through=False)
    layer = GuardedLayer(hooks)
    layer.receive(REQUEST.replace(b"/completions", b"/completions?a=b"))

    (flow,) = hooks.flows
    exchange = exchange_of(flow)
    assert exchange
    assert exchange.path == "/v1/chat/completions"
    assert exchange.connection_id == layer.client.id


def test_a_flow_that_is_sent_again_was_not_let_through() -> None:
    hooks = Hooks(let_through=True)
    GuardedLayer(hooks).receive(REQUEST)
    (flow,) = hooks.flows
    flow.response = None
    assert flow.metadata == {}

    for again in (flow, flow.copy()):
        layer = GuardedLayer(nobody)
        layer.send_again(again)

        assert layer.engines == []
        assert layer.hooks == ["requestheaders", "request", "response"]
        assert LAST_WORD in layer.said


def test_a_flow_that_no_client_sent_is_no_exchange() -> None:
    assert exchange_of(tflow.tflow()) is None
