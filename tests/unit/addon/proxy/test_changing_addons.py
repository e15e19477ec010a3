"""Addons that change while mitmproxy runs are asked as mitmproxy asks them."""

from types import SimpleNamespace

import pytest
from mitmproxy import hooks
from mitmproxy.addonmanager import AddonManager
from mitmproxy.proxy import events

from phoebe_addon.proxy.lean import LeanDispatch, LeanHooks
from tests.unit.addon.proxy.test_lean_hooks import Addon, Layer, manager_of, request_hook


def test_a_hook_that_an_addon_gives_itself_when_it_is_configured_is_called() -> None:
    calls: list[str] = []
    late = Addon("late", "nothing", calls)
    late.configure = lambda _updated: setattr(late, "request", late.notes)  # type: ignore[attr-defined]
    dispatch = LeanDispatch(manager_of(late))
    layer = Layer(request_hook())
    asked = LeanHooks(layer, dispatch)  # type: ignore[arg-type]
    list(asked.handle_event(events.Start()))

    dispatch.trigger(hooks.ConfigureHook({"option"}))
    layer.hook = request_hook()
    list(asked.handle_event(events.Start()))

    assert calls == ["late"]


@pytest.mark.parametrize("of", [lambda manager: manager, LeanDispatch])
def test_an_addon_that_is_added_in_a_hook_has_that_hook_too(of: type[LeanDispatch | AddonManager]) -> None:
    calls: list[str] = []
    manager = manager_of()
    added = SimpleNamespace(configure=lambda _updated: calls.append("added"))
    first = SimpleNamespace(configure=lambda _updated: manager.chain.append(added))
    manager.chain.append(first)

    of(manager).trigger(hooks.ConfigureHook({"option"}))

    assert calls == ["added"]
