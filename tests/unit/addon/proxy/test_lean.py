"""Lean hooks: the same functions in the same order, whoever is asked for them."""

from types import SimpleNamespace

import pytest
from mitmproxy import exceptions, hooks, optmanager
from mitmproxy.addonmanager import AddonManager

from phoebe_addon.proxy import lean


class Recorder:
    """An addon that writes down what it is asked. addons: inside it."""

    def __init__(self, name: str, calls: list[str], *addons: object) -> None:
        self.name = name
        self.calls = calls
        self.addons = list(addons)

    def running(self) -> None:
        self.calls.append(self.name)


class Halting(Recorder):
    def running(self) -> None:
        super().running()
        raise exceptions.AddonHalt


class Failing(Recorder):
    def running(self) -> None:
        super().running()
        raise ValueError("as mitmproxy would have it")


class Without:
    """An addon without the hook, until one is given to it."""


@pytest.fixture(params=[True, False], ids=["lean", "as mitmproxy does"])
def manager(request: pytest.FixtureRequest) -> AddonManager:
    """What is tested holds with and without the lean hooks."""
    made = new_manager()
    if request.param:
        lean.install(made)
    return made


def new_manager() -> AddonManager:
    return AddonManager(SimpleNamespace(options=optmanager.OptManager()))


async def triggered(manager: AddonManager, *addons: object) -> None:
    for addon in addons:
        manager.chain.append(addon)
    await manager.trigger_event(hooks.RunningHook())


async def test_addons_are_asked_in_their_order(manager: AddonManager) -> None:
    calls: list[str] = []
    await triggered(manager, Recorder("a", calls), Without(), Recorder("b", calls, Recorder("c", calls)))
    assert calls == ["a", "b", "c"]


async def test_an_addon_that_halts_ends_it(manager: AddonManager) -> None:
    calls: list[str] = []
    await triggered(manager, Halting("a", calls), Recorder("b", calls))
    assert calls == ["a"]


async def test_an_addon_that_fails_does_not(manager: AddonManager, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    await triggered(manager, Failing("a", calls), Recorder("b", calls))
    assert calls == ["a", "b"]
    assert "as mitmproxy would have it" in caplog.text


async def test_an_addon_that_comes_later_is_asked(manager: AddonManager) -> None:
    calls: list[str] = []
    await triggered(manager, Recorder("a", calls))
    await triggered(manager, Recorder("b", calls))
    assert calls == ["a", "a", "b"]


async def test_an_addon_that_went_is_not(manager: AddonManager) -> None:
    calls: list[str] = []
    gone = Recorder("a", calls)
    await triggered(manager, gone, Recorder("b", calls))
    manager.chain.remove(gone)
    await triggered(manager)
    assert calls == ["a", "b", "b"]


async def test_a_script_that_is_loaded_again_is_asked(manager: AddonManager) -> None:
    calls: list[str] = []
    scripts = Recorder("scripts", calls, Recorder("before", calls))
    await triggered(manager, scripts)
    scripts.addons[:] = [Recorder("after", calls)]
    await triggered(manager)
    assert calls == ["scripts", "before", "scripts", "after"]


def test_hooks_that_are_not_awaited_are_the_same(manager: AddonManager) -> None:
    calls: list[str] = []
    manager.chain += [Recorder("a", calls), Without(), Failing("b", calls), Recorder("c", calls)]
    manager.trigger(hooks.RunningHook())
    assert calls == ["a", "b", "c"]


async def test_an_addon_without_the_hook_is_not_asked() -> None:
    manager = new_manager()
    asked: list[object] = []
    invoke = manager.invoke_addon

    async def counting(addon: object, event: hooks.Hook) -> None:
        asked.append(addon)
        await invoke(addon, event)

    manager.invoke_addon = counting  # type: ignore[method-assign]
    lean.install(manager)
    recorder = Recorder("a", [])
    await triggered(manager, Without(), recorder, Without())
    assert asked == [recorder]
