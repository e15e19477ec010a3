"""Addons that hardly ever do something: they are asked the same, and what they do is waited for."""

import inspect
from collections.abc import Iterator

import pytest
from mitmproxy import http
from mitmproxy.test import tflow

from phoebe_addon.proxy.idle_addons import without_idle_wait
from tests.harness.addon_in_mitmproxy import asgiapp, onboarding, taddons


@pytest.fixture
def pages() -> Iterator[onboarding.Onboarding]:
    addon = onboarding.Onboarding()
    with taddons.context(addon) as context:
        context.configure(addon)
        yield addon


def flow_to(host: str) -> http.HTTPFlow:
    flow = tflow.tflow()
    flow.live = True
    flow.request.host, flow.request.path = host, "/"
    flow.request.headers.pop("host", None)
    return flow


def test_there_is_nothing_to_wait_for_where_the_request_is_for_somebody_else(
    pages: onboarding.Onboarding,
) -> None:
    assert without_idle_wait(pages.request)(flow_to("engine")) is None


async def test_what_is_for_the_pages_is_answered_by_them(pages: onboarding.Onboarding) -> None:
    flow = flow_to(onboarding.APP_HOST)
    waits_for = without_idle_wait(pages.request)(flow)
    assert inspect.isawaitable(waits_for)
    await waits_for

    assert flow.response
    assert flow.response.status_code == 200


def test_a_hook_that_may_do_more_is_called_as_it_is() -> None:
    class Counting(asgiapp.WSGIApp):
        async def request(self, flow: http.HTTPFlow) -> None: ...

    counting = Counting(lambda *_: [], "host", None)
    assert without_idle_wait(counting.request) == counting.request
    assert without_idle_wait(len) is len
