"""Objects that are made in another way than mitmproxy makes them: they are the same."""

import pytest
from mitmproxy import flow, http
from mitmproxy.test import tflow

from phoebe_addon.proxy.lean_objects import begin_flow


def test_a_flow_begins_as_mitmproxys_own_does(monkeypatch: pytest.MonkeyPatch) -> None:
    client, server = tflow.tclient_conn(), tflow.tserver_conn()
    monkeypatch.setattr(flow.Flow, "__init__", OWN)
    own = http.HTTPFlow(client, server, live=True)
    monkeypatch.setattr(flow.Flow, "__init__", begin_flow)
    ours = http.HTTPFlow(client, server, live=True)

    differing = {"id", "timestamp_created"}
    assert vars(own).keys() == vars(ours).keys()
    assert {name for name in vars(own) if vars(own)[name] != vars(ours)[name]} == differing
    assert len(ours.id) == len(own.id)
    assert abs(ours.timestamp_created - own.timestamp_created) < 60


OWN = flow.Flow.__init__
"""As it is before a test puts the guard in its place."""
