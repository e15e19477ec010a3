"""Hooks that are called where mitmproxy's layers ask for them: the same calls as mitmproxy makes."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import exceptions, http, optmanager
from mitmproxy.addonmanager import AddonManager
from mitmproxy.connection import Server
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.test import tflow

from phoebe_addon.proxy.driving import Drive, driven
from phoebe_addon.proxy.lean import LeanDispatch, LeanHooks
from phoebe_addon.proxy.quiet_engines import EngineHeardHook


class Addon:
    """An addon that writes down that it was asked, and then does what it is made for."""

    def __init__(self, name: str, does: str, calls: list[str], *addons: object) -> None:
        self.calls = calls
        self.name = name
        if addons:
            self.addons = list(addons)
        if does != "nothing":
            self.request: Callable[[http.HTTPFlow], Any] = getattr(self, does)

    def notes(self, _flow: http.HTTPFlow) -> None:
        self.calls.append(self.name)

    async def waits(self, _flow: http.HTTPFlow) -> None:
        self.calls.append(f"{self.name} begins")
        self.calls.append(self.name)

    def fails(self, _flow: http.HTTPFlow) -> None:
        self.calls.append(self.name)
        raise ValueError(f"{self.name} fails")

    @driven
    async def is_driven(self, _flow: http.HTTPFlow) -> None:
        self.calls.append(f"{self.name} begins")
        await asyncio.sleep(0)
        self.calls.append(self.name)

    @driven
    async def is_driven_and_fails(self, _flow: http.HTTPFlow) -> None:
        self.calls.append(self.name)
        raise ValueError(f"{self.name} fails")

    @driven
    async def is_driven_and_halts(self, _flow: http.HTTPFlow) -> None:
        await asyncio.sleep(0)
        self.calls.append(self.name)
        raise exceptions.AddonHalt

    async def knows_its_task(self, _flow: http.HTTPFlow) -> None:
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
        self.calls.append(self.name)

    async def fails_later(self, _flow: http.HTTPFlow) -> None:
        self.calls.append(self.name)
        raise ValueError(f"{self.name} fails")

    def halts(self, _flow: http.HTTPFlow) -> None:
        self.calls.append(self.name)
        raise exceptions.AddonHalt

    async def halts_later(self, _flow: http.HTTPFlow) -> None:
        self.calls.append(self.name)
        raise exceptions.AddonHalt

    def intercepts(self, flow: http.HTTPFlow) -> None:
        self.calls.append(self.name)
        flow.intercept()


class Layer:
    """The outermost layer: at its start it asks for a hook, and writes down what is over."""

    context = SimpleNamespace(layers=[])

    def __init__(self, hook: commands.StartHook) -> None:
        self.hook = hook
        self.over: list[events.Event] = []

    def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.Start):
            yield self.hook
        else:
            self.over.append(event)


def manager_of(*chain: object) -> AddonManager:
    manager = AddonManager(SimpleNamespace(options=optmanager.OptManager()))
    manager.chain = list(chain)
    return manager


def asked_of(hook: commands.StartHook, *chain: object) -> tuple[LeanHooks, Layer]:
    layer = Layer(hook)
    return LeanHooks(layer, LeanDispatch(manager_of(*chain))), layer  # type: ignore[arg-type]


def request_hook() -> HttpRequestHook:
    return HttpRequestHook(tflow.tflow())


def over(layer: Layer) -> bool:
    return [type(event) for event in layer.over] == [events.HookCompleted]


def test_what_is_over_at_once_is_over_in_the_same_event() -> None:
    calls: list[str] = []
    asked, layer = asked_of(request_hook(), Addon("a", "notes", calls), Addon("b", "notes", calls))

    assert list(asked.handle_event(events.Start())) == []
    assert calls == ["a", "b"]
    assert over(layer)


def test_a_hook_that_nobody_has_is_over_at_once() -> None:
    asked, layer = asked_of(request_hook(), Addon("a", "nothing", []))

    assert list(asked.handle_event(events.Start())) == []
    assert over(layer)


def test_a_layer_is_not_told_of_the_end_of_a_hook_that_it_does_not_wait_for() -> None:
    hook = request_hook()
    hook.blocking = False
    asked, layer = asked_of(hook, Addon("a", "notes", []))

    assert list(asked.handle_event(events.Start())) == []
    assert layer.over == []


async def test_what_has_to_be_waited_for_is_passed_on_and_the_rest_comes_behind_it() -> None:
    calls: list[str] = []
    hook = request_hook()
    asked, layer = asked_of(
        hook, Addon("a", "notes", calls), Addon("b", "waits", calls), Addon("c", "notes", calls)
    )

    assert list(asked.handle_event(events.Start())) == [hook]
    assert calls == ["a"]
    await asked.begun.pop(hook)
    assert calls == ["a", "b begins", "b", "c"]
    assert layer.over == []  # the task says so


async def test_a_flow_that_is_held_is_waited_for() -> None:
    hook = request_hook()
    asked, layer = asked_of(hook, Addon("a", "intercepts", []))

    assert list(asked.handle_event(events.Start())) == [hook]
    assert layer.over == []
    waited = asked.begun.pop(hook).__await__()
    next(waited)
    hook.flow.resume()
    with pytest.raises(StopIteration):
        next(waited)


def test_where_an_addon_is_told_of_every_change_mitmproxy_calls_itself() -> None:
    hook = request_hook()
    calls: list[str] = []
    asked, _ = asked_of(hook, Addon("a", "notes", calls), SimpleNamespace(update=lambda _flows: None))

    assert list(asked.handle_event(events.Start())) == [hook]
    assert not calls
    assert hook not in asked.begun


def test_where_what_has_the_name_of_a_hook_is_no_function_mitmproxy_calls_itself() -> None:
    hook = request_hook()
    asked, _ = asked_of(hook, SimpleNamespace(request="a text"))

    assert list(asked.handle_event(events.Start())) == [hook]
    assert hook not in asked.begun


def test_the_hook_by_which_a_stream_lets_its_engine_be_heard_takes_a_round_of_the_loop() -> None:
    hook = EngineHeardHook(Server(address=("engine", 80)))
    asked, layer = asked_of(hook, Addon("a", "notes", []))

    assert list(asked.handle_event(events.Start())) == [hook]
    assert layer.over == []


def test_a_script_that_is_loaded_again_is_asked_in_its_place() -> None:
    calls: list[str] = []
    scripts = Addon("scripts", "nothing", calls, Addon("before", "notes", calls))
    asked, layer = asked_of(request_hook(), scripts)
    list(asked.handle_event(events.Start()))

    scripts.addons[:] = [Addon("after", "notes", calls)]
    layer.hook = request_hook()
    list(asked.handle_event(events.Start()))

    assert calls == ["before", "after"]


deeds = st.sampled_from(
    (
        *("nothing", "notes", "waits", "fails", "fails_later", "halts", "halts_later", "intercepts"),
        *("is_driven", "is_driven_and_fails", "is_driven_and_halts", "knows_its_task"),
    )
)
chains = st.lists(st.tuples(deeds, st.lists(deeds, max_size=3)), max_size=5)


def addons_of(chain: list[tuple[str, list[str]]], calls: list[str]) -> list[Addon]:
    return [
        Addon(
            f"{number}",
            does,
            calls,
            *(Addon(f"{number}.{place}", each, calls) for place, each in enumerate(inside)),
        )
        for number, (does, inside) in enumerate(chain)
    ]


async def as_mitmproxy_calls(chain: list[tuple[str, list[str]]]) -> tuple[list[str], bool]:
    calls: list[str] = []
    hook = request_hook()
    await manager_of(*addons_of(chain, calls)).handle_lifecycle(hook)
    return calls, hook.flow.intercepted


async def resumed_at_once() -> None:
    """Stand in for the wait until somebody lets a held flow go on."""


async def as_it_is_called_here(chain: list[tuple[str, list[str]]]) -> tuple[list[str], bool]:
    calls: list[str] = []
    hook = request_hook()
    hook.flow.wait_for_resume = resumed_at_once  # type: ignore[method-assign]
    driving: list[asyncio.Future[None]] = []

    def drive(_: commands.StartHook, rest: Coroutine[Any, Any, None]) -> bool:
        end = asyncio.get_running_loop().create_future()
        if Drive(rest, lambda: end.set_result(None), lambda: None).begin():
            return True
        driving.append(end)
        return False

    layer = Layer(hook)
    dispatch = LeanDispatch(manager_of(*addons_of(chain, calls)))
    asked = LeanHooks(layer, dispatch, drive=drive)  # type: ignore[arg-type]
    passed_on = list(asked.handle_event(events.Start()))
    assert over(layer) == (not passed_on and not driving)
    assert not (passed_on and driving)
    if passed_on:
        await asked.begun.pop(hook)
    await asyncio.gather(*driving)
    return calls, hook.flow.intercepted


@given(chains)
async def test_the_same_calls_are_made_in_the_same_order_whatever_they_do(
    chain: list[tuple[str, list[str]]],
) -> None:
    assert await as_it_is_called_here(chain) == await as_mitmproxy_calls(chain)


class TwoCommands(Layer):
    """Goes on behind the hook, as HTTP/2 does with the frames of its other streams."""

    def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
        if isinstance(event, events.Start):
            yield self.hook
            yield commands.Log("another stream's")
        else:
            self.over.append(event)


@pytest.mark.parametrize("error", [exceptions.OptionsError("no such option"), asyncio.CancelledError()])
async def test_a_driven_hook_that_fails_so_fails_the_task_that_it_gets_for_that(error: BaseException) -> None:
    @driven
    async def request(_flow: object) -> None:
        raise error

    def drive(_: commands.StartHook, rest: Coroutine[Any, Any, None]) -> bool:
        return Drive(rest, lambda: None, lambda: None).begin()

    hook = request_hook()
    dispatch = LeanDispatch(manager_of(SimpleNamespace(request=request)))
    asked = LeanHooks(Layer(hook), dispatch, drive=drive)  # type: ignore[arg-type]

    assert list(asked.handle_event(events.Start())) == [hook]
    with pytest.raises(type(error)):
        await asked.begun.pop(hook)


@pytest.mark.parametrize("error", [exceptions.OptionsError("no such option"), asyncio.CancelledError()])
async def test_what_mitmproxy_lets_fail_the_task_of_a_hook_fails_no_more_than_that(
    error: BaseException,
) -> None:
    def request(_flow: object) -> None:
        raise error

    hook = request_hook()
    layer = TwoCommands(hook)
    asked = LeanHooks(layer, LeanDispatch(manager_of(SimpleNamespace(request=request))))  # type: ignore[arg-type]

    assert len(list(asked.handle_event(events.Start()))) == 2
    with pytest.raises(type(error)):
        await asked.begun.pop(hook)
    assert layer.over == []
