"""The rules of the guard are those of the options that could be used last, all of them."""

from collections.abc import Iterator

import pytest

from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.silence import time_left_s
from tests.harness.addon_in_mitmproxy import PhoebeAddon, taddons


@pytest.fixture(autouse=True)
def rules_of_others() -> Iterator[None]:
    before = GuardRules.in_force
    yield
    GuardRules.in_force = before


def test_options_that_change_are_in_force_together() -> None:
    addon = PhoebeAddon()
    with taddons.context(addon) as context:
        context.configure(
            addon,
            phoebe_upstream="http://127.0.0.1:1",
            phoebe_body_limit="1k",
            phoebe_engine_timeout="5",
            phoebe_request_timeout="7.5",
        )
        first = GuardRules.in_force
        context.configure(addon, phoebe_engine_timeout="6")

    assert (first.body_bytes_max, first.engine_timeout_s, first.request_timeout_s) == (1024, 5, 7.5)
    assert GuardRules.in_force.engine_timeout_s == 6
    assert GuardRules.in_force.body_bytes_max == 1024


def test_options_that_cannot_be_used_change_none_of_them(caplog: pytest.LogCaptureFixture) -> None:
    addon = PhoebeAddon()
    with taddons.context(addon) as context:
        context.configure(addon, phoebe_upstream="http://127.0.0.1:1")
        before = GuardRules.in_force
        context.configure(addon, phoebe_engine_timeout="5", phoebe_body_limit="much")

    assert GuardRules.in_force is before
    assert "phoebe_body_limit: 'much' is not a size" in caplog.text


def test_without_a_limit_there_is_always_time_left() -> None:
    assert time_left_s(0, 1) < 0
    assert time_left_s(0, 0) > 10**9
