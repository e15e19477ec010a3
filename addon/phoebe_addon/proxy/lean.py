"""mitmproxy's hooks, without asking the addons that have none, and without a task for what is over at once.

mitmproxy asks each of its fifty addons at every hook whether it has a function for it, and runs each hook in
a task of its own. Together that takes about half of its time for a request. Here the answers are kept, and
the functions of a hook are called where the hook is met. What has to be waited for gets a task, unless it is
ours and needs none. Nothing else changes: the same functions are called, in the same order, and what they
raise is treated the same.

Scripts can be loaded again: the addons within an addon are compared at every hook. An addon that gets or
loses a hook while it runs is asked accordingly once an option has changed.
"""

import asyncio
import gc
import inspect
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack
from dataclasses import fields
from enum import Enum, auto
from functools import cache, partial
from typing import Any, override
from weakref import WeakKeyDictionary

from mitmproxy import addonmanager, exceptions, flow, hooks
from mitmproxy.proxy import commands, events, layer, mode_servers
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers

from phoebe_addon.proxy.driving import Drive, is_driven
from phoebe_addon.proxy.idle_addons import without_idle_wait
from phoebe_addon.proxy.lean_objects import LeanContext
from phoebe_addon.proxy.plain_lane import plain_http_in
from phoebe_addon.proxy.quiet_engines import EngineHeardHook
from phoebe_addon.proxy.watchers import nobody_watches
from phoebe_runtime.background import spawn

type Function = Callable[..., Any]
type Groups = list[list[Function]]
"""For each addon that is not within another, the functions of itself and of those within it."""
type Awaited = tuple[Awaitable[object], bool]
"""What a function wants to be waited for, and whether that needs no task."""
type Calls = Generator[Awaited, None, None]
"""Functions that are called one after the other. It gives what one of them wants to be waited for."""
type Driver = Callable[[commands.StartHook, Coroutine[Any, Any, None]], bool]
"""Drives what is left of a hook, without a task. Returns whether it is over at once."""


class _Left(Enum):
    """What is left of a hook that was met."""

    NOTHING = auto()
    TASK = auto()
    """A task waits for the rest of it, or mitmproxy calls it."""
    DRIVEN = auto()


class LeanDispatch:
    """Triggers hooks in place of a manager of addons, and remembers who has which."""

    def __init__(self, manager: addonmanager.AddonManager) -> None:
        self._manager = manager
        self._chain: list[object] = []
        self._within: list[tuple[Any, list[object]]] = []
        self._with_hook: dict[str, list[object]] = {}
        self._groups: dict[str, Groups | None] = {}
        self._is_plain = False

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Do as the manager's own `trigger_event` does."""
        for addon in self._addons_with(event.name):
            try:
                with addonmanager.safecall():
                    await self._manager.invoke_addon(addon, event)
            except exceptions.AddonHalt:
                return

    def trigger(self, event: hooks.Hook) -> None:
        """Do as the manager's own `trigger` does, by which every line of the log is passed on."""
        try:
            self._trigger(event)
        finally:
            if isinstance(event, hooks.ConfigureHook):
                # With their options addons may change which hooks they have. All is found out anew.
                self._chain = []

    def _trigger(self, event: hooks.Hook) -> None:
        for addon in self._addons_with(event.name):
            try:
                with addonmanager.safecall():
                    self._manager.invoke_addon_sync(addon, event)
            except exceptions.AddonHalt:
                return

    def calls(self, event: hooks.Hook, argument: object) -> Calls | None:
        """Give the calls that `handle_lifecycle` of the manager would make for a hook.

        None: it must make them itself, because an addon is told of every change of a flow, or what an addon
        has by the name of the hook can't be called.
        """
        self._forget_if_changed()
        groups = self._groups_of(event.name)
        if groups is None or self._groups_of(hooks.UpdateHook.name) != []:
            return None
        return _calls(groups, argument)

    def is_plain(self) -> bool:
        """Whether nobody but Phoebe looks at what passes."""
        self._forget_if_changed()
        return self._is_plain

    def _groups_of(self, hook: str) -> Groups | None:
        """List the functions of a hook, as `invoke_addon` finds them. None: one of them can't be called."""
        if hook not in self._groups:
            inside = (addonmanager.traverse([addon]) for addon in self._chain)
            found = [
                [function for addon in group if (function := getattr(addon, hook, None))] for group in inside
            ]
            is_plain = all(callable(function) for group in found for function in group)
            plain = [[without_idle_wait(function) for function in group] for group in found if group]
            self._groups[hook] = plain if is_plain else None
        return self._groups[hook]

    def _addons_with(self, hook: str) -> Iterator[object]:
        self._forget_if_changed()
        chain = self._manager.chain
        addons = self._with_hook.get(hook)
        if addons is None:
            addons = [addon for addon in chain if hasattr(addon, "addons") or hasattr(addon, hook)]
            self._with_hook[hook] = addons
        known = len(chain)
        yield from addons
        while known < len(chain):  # added by one of them: mitmproxy goes through the list as it grows
            yield chain[known]
            known += 1

    def _forget_if_changed(self) -> None:
        chain = self._manager.chain
        if chain == self._chain and not self._has_changed_within():
            return
        self._chain = list(chain)
        every = addonmanager.traverse(chain)
        self._within = [(addon, list(addon.addons)) for addon in every if hasattr(addon, "addons")]
        self._with_hook = {}
        self._groups = {}
        self._is_plain = nobody_watches(chain, self._manager.master.options)

    def _has_changed_within(self) -> bool:
        for addon, addons in self._within:  # noqa: SIM110 - each hook asks for it: no generator
            if addon.addons != addons:
                return True
        return False


def _calls(groups: Groups, argument: object) -> Calls:
    for group in groups:
        try:
            for function in group:
                result = function(argument)
                if result is not None and inspect.isawaitable(result):
                    yield result, is_driven(function)  # what it raises is raised here
        except exceptions.AddonHalt:
            return
        except Exception as error:
            with addonmanager.safecall():
                raise error


async def _wait_for(awaited: Awaited, calls: Calls, data: object, *, in_task: bool) -> None:
    """Wait for what a function of a hook wants to be waited for, and make the other calls."""
    waiting: Awaited | None = awaited
    while waiting is not None:
        waits_for, needs_no_task = waiting
        try:
            await (waits_for if in_task or needs_no_task else spawn(_await(waits_for), "hook"))
        except Exception as error:
            try:
                waiting = calls.throw(error)
            except StopIteration:
                waiting = None
        else:
            waiting = next(calls, None)
    if isinstance(data, flow.Flow):
        await data.wait_for_resume()


async def _await(waits_for: Awaitable[object]) -> object:
    return await waits_for


async def _fail(error: BaseException) -> None:
    """Fail the task of a hook, as mitmproxy does with what it does not catch."""
    raise error


class LeanHooks:
    """The outermost layer of a client's connection: it calls the hooks that mitmproxy's layers ask for.

    called: called when a hook is over at once. drive: takes what is left of hooks that need no task; None:
    all get one. begun: the hooks for which a task has to wait, with what is left of them. They are passed on.
    """

    def __init__(
        self,
        outermost: layer.Layer,
        dispatch: LeanDispatch,
        called: Callable[[], None] = lambda: None,
        drive: Driver | None = None,
    ) -> None:
        self._layer = outermost
        self._dispatch = dispatch
        self._called = called
        self._drive = drive
        self.begun: dict[hooks.Hook, Awaitable[None]] = {}
        self._called_already: dict[hooks.Hook, _Left] = {}
        self._http: http_layers.HttpLayer | None = None

    @property
    def context(self) -> Context:
        """The context of mitmproxy's outermost layer."""
        return self._layer.context

    def handle_event(self, event: events.Event) -> Iterator[commands.Command]:
        """Show an event to mitmproxy's layers, and then that hooks are over, as long as they ask for some."""
        over: deque[events.Event] = deque((event,))
        while over:
            for command in self._shown(over.popleft()):
                if not isinstance(command, commands.StartHook):
                    yield command
                    continue
                left = self._called_already.pop(command, None) or self._call(command)
                if left is _Left.TASK:
                    yield command
                elif left is _Left.NOTHING and command.blocking:
                    over.append(events.HookCompleted(command))

    def _shown(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Show an event to the layers: to that of HTTP at once, if those around it only pass it on."""
        if self._http is None:
            self._http = plain_http_in(self.context.layers)
            return self._layer.handle_event(event)
        shown: layer.CommandGenerator[None] = self._http._handle_event(event)  # it waits for nothing itself
        return shown

    def is_plain(self) -> bool:
        """Whether nobody but Phoebe looks at what passes."""
        return self._dispatch.is_plain()

    def call(self, hook: commands.StartHook) -> bool:
        """Call a hook where a layer meets it. Returns whether it is over; if not, the layer yields it."""
        left = self._call(hook)
        if left is not _Left.NOTHING:
            self._called_already[hook] = left
        return left is _Left.NOTHING

    def _call(self, hook: commands.StartHook) -> _Left:
        """Call a hook. Returns what is left of it to be waited for, or to be done by mitmproxy."""
        if isinstance(hook, EngineHeardHook) or (name := _argument_of(type(hook))) is None:  # type: ignore[arg-type]
            return _Left.TASK
        data = getattr(hook, name)
        if (calls := self._dispatch.calls(hook, data)) is None:
            return _Left.TASK
        try:
            awaited = next(calls, None)
            if awaited is not None:
                return self._wait(hook, awaited, calls, data)
        except (Exception, asyncio.CancelledError) as error:
            self.begun[hook] = _fail(error)
            return _Left.TASK
        if isinstance(data, flow.Flow) and data.intercepted:
            self.begun[hook] = data.wait_for_resume()
            return _Left.TASK
        self._called()
        return _Left.NOTHING

    def _wait(self, hook: commands.StartHook, awaited: Awaited, calls: Calls, data: object) -> _Left:
        """Wait for what a function wants to be waited for, without a task if it needs none."""
        if not (self._drive and awaited[1]):
            self.begun[hook] = _wait_for(awaited, calls, data, in_task=True)
            return _Left.TASK
        is_over = self._drive(hook, _wait_for(awaited, calls, data, in_task=False))
        return _Left.NOTHING if is_over else _Left.DRIVEN


@cache
def _argument_of(hook: type) -> str | None:
    """Give the name of a hook's one argument. None: it has not one, and mitmproxy does not know it either."""
    names = [field.name for field in fields(hook)]
    return names[0] if len(names) == 1 else None


class LeanConnectionHandler(mode_servers.ProxyConnectionHandler):
    """mitmproxy's handler of a client connection, which calls hooks where they are met."""

    _hooks: LeanHooks | None = None

    @property
    def is_lean(self) -> bool:
        """Whether hooks are called where they are met."""
        return self._hooks is not None

    def hook_is_over(self) -> None:
        """Called when a hook was called where it was met; its end is shown in the same event."""

    @override
    async def handle_client(self) -> None:
        if dispatch := _dispatches.get(self.master.addons):
            self._hooks = LeanHooks(self.layer, dispatch, self.hook_is_over, self._drive)
            if isinstance(self.layer.context, LeanContext):
                self.layer.context.hooks = self._hooks
            self.layer = self._hooks  # type: ignore[assignment]
        await super().handle_client()

    @override
    async def handle_hook(self, hook: commands.StartHook) -> None:
        begun = self._hooks.begun.pop(hook, None) if self._hooks else None
        if begun is None:
            await super().handle_hook(hook)
            return
        with self.timeout_watchdog.disarm():
            await begun

    def _drive(self, hook: commands.StartHook, rest: Coroutine[Any, Any, None]) -> bool:
        """Do what `hook_task` does, without a task."""
        disarmed = ExitStack()
        if Drive(rest, partial(self._complete, hook), disarmed.close).begin():
            self.hook_is_over()
            return True
        disarmed.enter_context(self.timeout_watchdog.disarm())
        return False

    def _complete(self, hook: commands.StartHook) -> None:
        Drive(self._tell_layers(hook), lambda: None, lambda: None).begin()

    async def _tell_layers(self, hook: commands.StartHook) -> None:
        # It waits only while the layers are at work already, further up in the same call.
        if hook.blocking:
            await self.server_event(events.HookCompleted(hook))
        self.hook_is_over()


_dispatches: WeakKeyDictionary[addonmanager.AddonManager, LeanDispatch] = WeakKeyDictionary()
"""By the manager that is lean."""


def spare_collections() -> None:
    """Keep what is there at the start, and stays, out of Python's collections of garbage."""
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()


def install(manager: addonmanager.AddonManager) -> None:
    """Make a manager of addons lean, for as long as it lives."""
    dispatch = _dispatches[manager] = LeanDispatch(manager)
    manager.trigger_event = dispatch.trigger_event  # type: ignore[method-assign]
    manager.trigger = dispatch.trigger  # type: ignore[method-assign]
