"""Objects that mitmproxy makes for every request, made without what nobody reads."""

import time
from dataclasses import fields
from functools import cache
from typing import Any, Protocol, override

import uuid_utils
from mitmproxy import connection, flow, http
from mitmproxy.proxy import commands
from mitmproxy.proxy.context import Context


class HooksAtOnce(Protocol):
    """Calls hooks where the layers of a client's connection meet them."""

    def is_plain(self) -> bool:
        """Whether nobody but Phoebe looks at what passes."""

    def call(self, hook: commands.StartHook) -> bool:
        """Call a hook. Returns whether it is over. If not, it is to be yielded, and is not called again."""


class LeanContext(Context):
    """mitmproxy's context of a layer. It is forked for each request. hooks: calls those of the connection."""

    hooks: HooksAtOnce | None = None

    @override
    def fork(self) -> "LeanContext":
        # mitmproxy would make a connection to a server first, with an id, and replace it at once.
        fork = LeanContext.__new__(LeanContext)
        fork.client = self.client
        fork.options = self.options
        fork.server = self.server
        fork.layers = self.layers.copy()
        fork.hooks = self.hooks
        return fork


def hooks_of(context: Context) -> HooksAtOnce | None:
    """Give what calls the hooks of a connection where they are met. None: mitmproxy calls them."""
    return context.hooks if isinstance(context, LeanContext) else None


def begin_flow(
    new: flow.Flow, client_conn: connection.Client, server_conn: connection.Server, live: bool = False
) -> None:
    """Do as mitmproxy's own start of a flow does.

    mitmproxy would ask the kernel for each id, which takes as long as reading the head of a request.
    """
    new.id = str(uuid_utils.uuid4())
    new.client_conn = client_conn
    new.server_conn = server_conn
    new.live = live
    new.timestamp_created = time.time()
    new.intercepted = False
    new._resume_event = None
    new._backup = None
    new.marked = ""
    new.is_replay = None
    new.metadata = {}
    new.comment = ""


def check_types(message: http.MessageData) -> None:
    """Do as mitmproxy's own check of a new message: raise TypeError for a field of another type.

    mitmproxy would read each type's notation for every message anew.
    """
    if not all(isinstance(getattr(message, name), kind) for name, kind in _types_of(type(message))):
        _check_types(message)  # type: ignore[no-untyped-call]


@cache
def _types_of(kind: type[http.MessageData]) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.type) for field in fields(kind))


_check_types = http.MessageData.__post_init__
