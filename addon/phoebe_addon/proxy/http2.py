"""mitmproxy's HTTP/2 connections.

Those to clients have a limit on what is begun only to be broken off, and hear of each stream that is reset.
When clients are to go over to another process they are told by a GOAWAY.
Those to engines tell the addon when an answer comes that nobody asked for.
"""

from typing import override

import h2.errors
import h2.events
from hyperframe.frame import GoAwayFrame
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers.http import _http2
from mitmproxy.proxy.layers.http._base import ReceiveHttp
from mitmproxy.proxy.layers.http._events import ErrorCode, RequestProtocolError, ResponseEndOfMessage

from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.unasked import engine_spoke_unasked

# A stream that is opened and reset at once costs its client nothing and the proxy a lot (CVE-2023-44487). The
# numbers are Envoy's: so many, and more than half of all that were opened.
_RESETS_MAX = 500
# No new streams; those that are under way to here are served (RFC 9113, 6.8). It is made past h2, which would
# take the connection for closed.
_GOAWAY = GoAwayFrame(stream_id=0, last_stream_id=2**31 - 1).serialize()


class BoundedHttp2Server(_http2.Http2Server):
    """A client's connection."""

    _opened = 0
    _reset = 0
    _told_to_go = False

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        handled: layer.CommandGenerator[None] = super()._handle_event(event)
        if GuardRules.in_force.last_answers and isinstance(event, ResponseEndOfMessage):
            return self._with_farewell(handled)
        return handled

    def _with_farewell(self, handled: layer.CommandGenerator[None]) -> layer.CommandGenerator[None]:
        """Tell the client, once, to open its next stream elsewhere.

        Only while none is open: some clients, such as those made with Python's h2, would break it off.
        """
        yield from handled
        if not self._told_to_go and not self.h2_conn.open_inbound_streams:
            self._told_to_go = True
            yield commands.SendData(self.conn, _GOAWAY)

    @override
    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, h2.events.RequestReceived):
            self._opened += 1
        elif isinstance(event, h2.events.StreamReset):
            if (yield from self._send_away_for_resets(event.stream_id)):
                return True
            if event.stream_id not in self.streams:
                # h2 has read all that came before mitmproxy sees any of it. If a request ended and was reset
                # in the same bytes, mitmproxy has taken its end for the stream's, and forgotten the stream.
                error = RequestProtocolError(event.stream_id, "stream reset by client", ErrorCode.CANCEL)
                yield ReceiveHttp(error)
        return (yield from super().handle_h2_event(event))

    def _send_away_for_resets(self, stream_id: int) -> layer.CommandGenerator[bool]:
        """Count a reset. Returns whether it was one too many, and the client is sent away."""
        if self._was_answered(stream_id):
            return False
        self._reset += 1
        if self._reset <= _RESETS_MAX or 2 * self._reset <= self._opened:
            return False
        yield from self.protocol_error(
            "the client opens streams only to reset them", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
        )
        return True

    def _was_answered(self, stream_id: int) -> bool:
        """Whether an answer has begun on a stream."""
        stream = self.h2_conn.streams.get(stream_id)
        return stream is not None and bool(stream.state_machine.headers_sent)


class BoundedHttp2Client(_http2.Http2Client):
    """An engine's connection."""

    _came = b""

    @override
    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        # This runs for every piece of an answer: no generator of its own.
        if isinstance(event, events.DataReceived):
            self._came = event.data
        handled: layer.CommandGenerator[None] = super()._handle_event(event)
        return handled

    @override
    def protocol_error(
        self, message: str, error_code: int = h2.errors.ErrorCodes.PROTOCOL_ERROR
    ) -> layer.CommandGenerator[None]:
        if not self.streams:
            yield engine_spoke_unasked(self.conn, self._came)
        yield from super().protocol_error(message, error_code)
