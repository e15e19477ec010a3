"""Who looks at exchanges: an addon with a hook for them, and every option that does something with them."""

from types import SimpleNamespace
from typing import Any

import pytest
from mitmproxy import optmanager

from phoebe_addon.proxy.watchers import nobody_watches
from tests.harness.addon_in_mitmproxy import PhoebeAddon, onboarding, proxyserver


def options(**given: Any) -> optmanager.OptManager:
    made = optmanager.OptManager()
    for name, kind, default in (
        ("flow_detail", int, 1),
        ("listen_port", int | None, None),
        ("phoebe_spool", str, ""),
        ("modify_body", str, ""),
        ("of_another_addon", bool, False),
    ):
        made.add_option(name, kind, default, "")
    made.update(**given)
    return made


def test_mitmproxys_own_addons_and_phoebe_watch_nothing() -> None:
    chain = [proxyserver.Proxyserver(), onboarding.Onboarding(), SimpleNamespace(addons=[PhoebeAddon()])]

    assert nobody_watches(chain, options())


@pytest.mark.parametrize(
    "hook", ["requestheaders", "request", "responseheaders", "response", "error", "update"]
)
def test_an_addon_watches_by_any_hook_of_exchanges_wherever_it_stands(hook: str) -> None:
    watching = SimpleNamespace(**{hook: lambda _flow: None})

    assert not nobody_watches([watching], options())
    assert not nobody_watches([SimpleNamespace(addons=[SimpleNamespace(addons=[watching])])], options())


def test_an_addon_without_such_a_hook_does_not_watch() -> None:
    addon = SimpleNamespace(client_connected=lambda _client: None, running=lambda: None, response=None)

    assert nobody_watches([addon], options())


@pytest.mark.parametrize("given", [{"flow_detail": 0}, {"listen_port": 80}, {"phoebe_spool": "/a"}], ids=str)
def test_where_to_listen_is_no_watching(given: dict[str, object]) -> None:
    assert nobody_watches([], options(**given))


@pytest.mark.parametrize(
    "given", [{"flow_detail": 2}, {"modify_body": "/a/b"}, {"of_another_addon": True}], ids=str
)
def test_any_other_option_is(given: dict[str, object]) -> None:
    assert not nobody_watches([], options(**given))
