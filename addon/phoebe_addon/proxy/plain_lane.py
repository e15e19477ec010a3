"""The plain lane: an exchange whose messages come in one piece goes through its stream in one go.

mitmproxy shows a stream each part of a message by itself, stops it at each hook, and lets it go on by a walk
through all layers from the outside. Where nobody but Phoebe looks, hooks are called where the stream meets
them, it goes on at once with those that are over, and it is given and gives each message as a whole.

What the stream does is mitmproxy's own code, state by state, and each command that does not belong to this
goes the way it always went. So hooks, their order, what they find in the flow, and every byte are the same.
"""

from collections.abc import Callable, Sequence
from typing import Any, override

from mitmproxy.connection import Connection, Server
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers import modes
from mitmproxy.proxy.layers.http._events import (
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    ResponseData,
    ResponseEndOfMessage,
    ResponseHeaders,
)

from phoebe_addon.proxy.http1 import BoundedHttp1Client, BoundedHttp1Server
from phoebe_addon.proxy.lean_objects import hooks_of
from phoebe_addon.proxy.quiet_engines import QuietEngineStream
from phoebe_addon.proxy.whole_messages import Commands, WholeAnswer, WholeRequest, nothing

_HEADS = (RequestHeaders, ResponseHeaders)
_DATA = (RequestData, ResponseData)
_ENDS = (RequestEndOfMessage, ResponseEndOfMessage)


def plain_http_in(layers: Sequence[layer.Layer]) -> http_layers.HttpLayer | None:
    """Find the layer of HTTP right behind that of a reverse proxy. None: it is not there, or is not plain."""
    if len(layers) != 2 or any(each.debug is not None or each._paused for each in layers):
        return None
    around, http = layers
    return http if type(around) is modes.ReverseProxy and type(http) is http_layers.HttpLayer else None


class _Outgoing:
    """The parts of a message that goes out, as long as its end is not there. speaker: of its connection."""

    __slots__ = ("parts", "speaker")

    def __init__(self, head: http_layers.SendHttp, speaker: BoundedHttp1Server | BoundedHttp1Client) -> None:
        self.parts = [head]
        self.speaker = speaker

    def takes(self, command: http_layers.SendHttp) -> bool:
        """Whether a part is the next one; then it is kept."""
        kind = type(command.event)
        is_next = kind in _ENDS or (kind in _DATA and len(self.parts) == 1)
        if is_next:
            self.parts.append(command)
        return is_next

    def whole(self) -> Commands | None:
        """Send the message if it is whole. None: it is not."""
        head, *behind = (part.event for part in self.parts)
        if not behind or type(behind[-1]) not in _ENDS:
            return None
        body = behind[0].data if len(behind) > 1 else b""  # type: ignore[attr-defined]
        if isinstance(head, RequestHeaders):
            assert isinstance(self.speaker, BoundedHttp1Client)
            return self.speaker.send_whole(WholeRequest.of(head.stream_id, head.request, body))
        assert isinstance(head, ResponseHeaders)
        assert isinstance(self.speaker, BoundedHttp1Server)
        return self.speaker.send_whole(WholeAnswer.of(head.stream_id, head.response, body, nothing))


class PlainLaneStream(QuietEngineStream):
    """mitmproxy's HTTP stream, which takes whole messages in one go.

    more_follows: whether it takes parts of a whole message, and more of them follow. whole_bytes: of the body
    of its request, if that came whole.
    """

    more_follows = False
    whole_bytes: int | None = None
    _outgoing: _Outgoing | None = None

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        kind = type(event)
        if kind is WholeRequest:
            self.whole_bytes = len(event.body)  # type: ignore[attr-defined]
            return self._in_one_go(self._steps(event, "client_state"), nothing)  # type: ignore[arg-type]
        if kind is WholeAnswer:
            return self._in_one_go(self._steps(event, "server_state"), event.on_read)  # type: ignore[arg-type,attr-defined]
        handled: layer.CommandGenerator[None] = super()._handle_event(event)
        return handled

    def _steps(self, whole: WholeRequest | WholeAnswer, side: str) -> layer.CommandGenerator[None]:
        self.more_follows = True
        yield from getattr(self, side)(whole)
        for part in whole.behind_head():
            self.more_follows = type(part) not in _ENDS
            yield from getattr(self, side)(part)

    def _in_one_go(
        self, steps: layer.CommandGenerator[None], on_read: Callable[[], Commands]
    ) -> layer.CommandGenerator[None]:
        """Take steps. on_read: what comes behind the first hook, or behind all."""
        hooks = hooks_of(self.context)
        assert hooks
        reply: object = None
        while (command := _next(steps, reply)) is not None:
            reply = None
            kind = type(command)
            if kind is http_layers.SendHttp and self._keeps(command):
                yield from self._whole_outgoing()
                continue
            if kind is http_layers.GetHttpConnection and (kept := self._kept_connection(command)):
                reply = kept, None
                continue
            if kind is not http_layers.DropStream:  # nobody outside hears of it
                yield from self._unfinished()
            if isinstance(command, commands.StartHook) and command.blocking is True:
                is_over = hooks.call(command)
                # mitmproxy calls a hook first, and then its connection goes on.
                yield from on_read()
                on_read = nothing
                if is_over:
                    continue
            reply = yield command
        yield from self._unfinished()
        yield from on_read()

    def _keeps(self, command: http_layers.SendHttp) -> bool:
        """Whether a part of a message that goes out is kept until all of it is there."""
        if self._outgoing:
            return self._outgoing.takes(command)
        if type(command.event) not in _HEADS or (speaker := self._speaker(command.connection)) is None:
            return False
        self._outgoing = _Outgoing(command, speaker)
        return True

    def _whole_outgoing(self) -> Commands:
        """Send the message that is kept, if it is whole."""
        assert self._outgoing
        sent = self._outgoing.whole()
        if sent is None:
            return nothing()
        self._outgoing = None
        return sent

    def _unfinished(self) -> Commands:
        """Send what is kept, part by part."""
        outgoing, self._outgoing = self._outgoing, None
        return iter(outgoing.parts) if outgoing else nothing()

    def _speaker(self, connection: Connection) -> BoundedHttp1Server | BoundedHttp1Client | None:
        """Give the layer that sends whole messages on a connection. None: it has to be given their parts."""
        speaker = self.http_layer.connections.get(connection)
        if type(speaker) is http_layers.HttpClient and not speaker._paused:
            speaker = speaker.child_layer
        if not isinstance(speaker, BoundedHttp1Server | BoundedHttp1Client):
            return None
        return speaker if speaker.sends_whole else None

    def _kept_connection(self, wanted: http_layers.GetHttpConnection) -> Server | None:
        """Find the open connection that mitmproxy would find. None: it has to look itself."""
        for connection in self.http_layer.connections:
            if wanted.connection_spec_matches(connection):
                if connection in self.http_layer.waiting_for_establishment or connection.error:
                    return None
                if connection.connected:
                    assert isinstance(connection, Server)
                    return connection
        return None


def _next(steps: layer.CommandGenerator[None], reply: object) -> Any:
    """Take the next step. Returns its command; None: there is none any more."""
    try:
        return steps.send(reply)
    except StopIteration:
        return None
