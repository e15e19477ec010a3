"""mitmproxy's HTTP/2 connections.

Those to clients have a limit on what is begun only to be broken off. Those to engines tell the addon when an
answer comes that nobody asked for.
"""

from typing import override

import h2.errors
import h2.events
from mitmproxy.proxy import events, layer
from mitmproxy.proxy.layers.http import _http2

from phoebe_addon.proxy.unasked import engine_spoke_unasked

# A stream that is opened and reset at once costs its client nothing and the proxy a lot (CVE-2023-44487). The
# numbers are Envoy's: so many, and more than half of all that were opened.
_RESETS_MAX = 500


class BoundedHttp2Server(_http2.Http2Server):
    """A client's connection."""

    _opened = 0
    _reset = 0

    @override
    def handle_h2_event(self, event: h2.events.Event) -> layer.CommandGenerator[bool]:
        if isinstance(event, h2.events.RequestReceived):
            self._opened += 1
        elif isinstance(event, h2.events.StreamReset) and not self._was_answered(event.stream_id):
            self._reset += 1
            if self._reset > _RESETS_MAX and 2 * self._reset > self._opened:
                yield from self.protocol_error(
                    "the client opens streams only to reset them", h2.errors.ErrorCodes.ENHANCE_YOUR_CALM
                )
                return True
        return (yield from super().handle_h2_event(event))

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
