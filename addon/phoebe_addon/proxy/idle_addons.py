"""Addons of mitmproxy that look at each request and hardly ever do something: asked without a coroutine.

mitmproxy's pages for new users, and applications that are served like them, have an asynchronous hook that
first asks whether the request is theirs. Here that is asked before. If it is not, there is nothing to await.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Any

from mitmproxy import http

# What these do is all in a condition on `should_serve`. Those of other classes may do more.
_SERVING = (("mitmproxy.addons.asgiapp", "ASGIApp"), ("mitmproxy.addons.onboarding", "Onboarding"))


def without_idle_wait(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a hook, or one that does the same and gives nothing to await where it is idle."""
    hook = getattr(function, "__func__", None)
    if hook is None or hook not in _serving_hooks():
        return function
    app = function.__self__  # type: ignore[attr-defined]

    def request(flow: http.HTTPFlow) -> Awaitable[None] | None:
        return function(flow) if app.should_serve(flow) else None

    return request


def _serving_hooks() -> list[object]:
    # What was never imported is no addon, and to import it brings along much that is slow to load.
    return [getattr(sys.modules[module], name).request for module, name in _SERVING if module in sys.modules]
