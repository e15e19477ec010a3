from mitmproxy import options
from mitmproxy.proxy import context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.test import tflow

from phoebe_addon.proxy.guard import forget_dead_connections


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
