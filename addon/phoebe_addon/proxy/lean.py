"""mitmproxy's hooks, without asking the addons that have none.

mitmproxy asks each of its fifty addons at every hook whether it has a function for it, which takes about
half of its time for a request. Here the answer is kept. Nothing else changes: the same functions are called,
in the same order, and what they raise is treated the same. An addon that has addons of its own (scripts,
which can be loaded again) is asked every time.
"""

from mitmproxy import addonmanager, exceptions, hooks


class LeanDispatch:
    """Triggers hooks in place of a manager of addons, and remembers who has which."""

    def __init__(self, manager: addonmanager.AddonManager) -> None:
        self._manager = manager
        self._chain: list[object] = []
        self._with_hook: dict[str, list[object]] = {}

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
        for addon in self._addons_with(event.name):
            try:
                with addonmanager.safecall():
                    self._manager.invoke_addon_sync(addon, event)
            except exceptions.AddonHalt:
                return

    def _addons_with(self, hook: str) -> list[object]:
        chain = self._manager.chain
        if chain != self._chain:
            self._chain = list(chain)
            self._with_hook = {}
        addons = self._with_hook.get(hook)
        if addons is None:
            addons = [addon for addon in chain if hasattr(addon, "addons") or hasattr(addon, hook)]
            self._with_hook[hook] = addons
        return addons


def install(manager: addonmanager.AddonManager) -> None:
    """Make a manager of addons lean, for as long as it lives."""
    dispatch = LeanDispatch(manager)
    manager.trigger_event = dispatch.trigger_event  # type: ignore[method-assign]
    manager.trigger = dispatch.trigger  # type: ignore[method-assign]
