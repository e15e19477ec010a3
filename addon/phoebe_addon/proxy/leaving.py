"""Clients that leave within an answer: what their engines still have to say is read without them.

mitmproxy cuts an engine off as soon as its client has gone, and ends all connections to engines with that of
the client. So two things are different here. A stream whose answer is worth it goes on without its client,
and what comes is shown to the metering and thrown away. And the handler of a client's connection outlives the
connection until its last stream has come to its end; to everyone who looks, that exchange is under way.

How long and how much is read is bounded by the guard's rules. Nothing is kept of it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import override

from mitmproxy import flow as mitmproxy_flow
from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer, server
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestProtocolError,
    ResponseData,
    ResponseEndOfMessage,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook

from phoebe_addon.answer.body import STEP_BYTES
from phoebe_addon.exchange.exchange import Stage
from phoebe_addon.proxy.backpressure import http_layer_of
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.silence import time_left_s
from phoebe_addon.proxy.unfolding import UnfoldingConnectionHandler, UnfoldingHttpStream

logger = logging.getLogger(__name__)

# A stream looks at the clock so often. mitmproxy's timers can't be taken back, and each keeps its stream.
_LOOK_AT_CLOCK_EVERY_S = 5.0


class LeavableHttpStream(UnfoldingHttpStream):
    """mitmproxy's HTTP stream, which may go on without its client."""

    def __init__(self, context: Context, stream_id: int) -> None:
        super().__init__(context, stream_id)
        self._left_at_s = 0.0
        self._left_because = ""
        self._clock: commands.RequestWakeup | None = None
        self._turn: commands.RequestWakeup | None = None
        self._unread = bytearray()
        self._read_bytes = 0  # of what is unread
        self._is_whole = False

    @property
    def reads_on(self) -> bool:
        """Whether it goes on without its client."""
        return bool(self.server_state == self.state_read_on)

    @override
    def check_killed(self, emit_error_hook: bool) -> layer.CommandGenerator[bool]:
        if self.exchange.stage is Stage.ANSWERING and self._is_at_head() and self._client_leaves():
            # mitmproxy would end the exchange here and not tell its engine. That the client has gone is among
            # the next events, and then the answer has begun.
            return False
        killed: bool = yield from super().check_killed(emit_error_hook)
        return killed

    @override
    def handle_protocol_error(
        self, event: RequestProtocolError | ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        if self.reads_on:
            if isinstance(event, ResponseProtocolError):
                yield from self._end()
        elif isinstance(event, RequestProtocolError) and self._answer_has_begun() and self._leave_it():
            yield from self._begin_to_read_on(event.message)
        else:
            yield from super().handle_protocol_error(event)

    @override
    def state_read_on(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, ResponseEndOfMessage):
            self._is_whole = True
        if self._unread:
            self._unread += event.data if isinstance(event, ResponseData) else b""
        elif isinstance(event, ResponseData):
            yield from self._read_on(event.data)
        elif self._is_whole:
            yield from self._finish()

    @override
    def _woken(self, event: events.Wakeup) -> layer.CommandGenerator[None]:
        if event.command is self._turn:
            if self.reads_on:
                yield from self._read_unread()
        elif event.command is not self._clock:
            if not self.exchange.read_on or self.reads_on:
                yield from super()._woken(event)
        elif self.reads_on:
            yield from self._look_at_clock()

    def _is_at_head(self) -> bool:
        return self.flow.error is None and self.server_state == self.state_wait_for_response_headers

    def _client_leaves(self) -> bool:
        return any(isinstance(event, RequestProtocolError) for event in self._paused_event_queue)

    def _answer_has_begun(self) -> bool:
        return self.client_state == self.state_done and self.server_state in (
            self.state_stream_response_body,
            self.state_consume_response_body,
        )

    def _leave_it(self) -> bool:
        return self.exchange.leave(GuardRules.in_force.abort.policy)

    def _begin_to_read_on(self, why: str) -> layer.CommandGenerator[None]:
        yield commands.Log("phoebe: a client has left; the rest of its answer is read without it")
        self._left_because = why
        self._left_at_s = time.monotonic()
        self.server_state = self.state_read_on
        # Nobody needs these any more. The flow may live for as long as the answer takes.
        self.flow.request.data.content = None
        self._unread += bytes(self.response_body_buf)
        self.response_body_buf.clear()
        yield from self._look_at_clock()
        if self._unread and self.reads_on:
            yield from self._read_unread()

    def _read_unread(self) -> layer.CommandGenerator[None]:
        """Read the next step of what was held back, and ask for another turn if there is more."""
        begin, self._read_bytes = self._read_bytes, self._read_bytes + STEP_BYTES
        yield from self._read_on(bytes(self._unread[begin : self._read_bytes]))
        if not self.reads_on:
            return
        if self._read_bytes < len(self._unread):
            self._turn = commands.RequestWakeup(0)
            yield self._turn
            return
        self._unread.clear()
        if self._is_whole:
            yield from self._finish()

    def _finish(self) -> layer.CommandGenerator[None]:
        self._show_end()
        yield from self._end()

    def _look_at_clock(self) -> layer.CommandGenerator[None]:
        left_s = time_left_s(self._left_at_s, GuardRules.in_force.abort.timeout_s)
        if left_s <= 0:
            yield from self._cut_off("it took too long")
            return
        self._clock = commands.RequestWakeup(min(left_s, _LOOK_AT_CLOCK_EVERY_S))
        yield self._clock

    def _read_on(self, data: bytes) -> layer.CommandGenerator[None]:
        metering = self.exchange.metering
        assert metering
        try:
            bytes_read = yield from self.take_in_turns(metering.read_on(data))
        except Exception:
            logger.exception("phoebe: an answer can't be read; its engine is cut off")
            yield from self._cut_off("it can't be read")
            return
        if bytes_read > GuardRules.in_force.abort.bytes_max:
            yield from self._cut_off("it is too long")

    def _show_end(self) -> None:
        metering = self.exchange.metering
        assert metering
        try:
            metering.read_to_end()
        except Exception:
            logger.exception("phoebe: the end of an answer can't be read")

    def _cut_off(self, why: str) -> layer.CommandGenerator[None]:
        yield commands.Log(f"phoebe: an answer is read no further without its client: {why}")
        engine = self.context.server
        if engine in self.http_layer.connections:
            error = RequestProtocolError(self.stream_id, self._left_because, ErrorCode.CANCEL)
            yield http_layers.SendHttp(error, engine)
        yield from self._end()

    def _end(self) -> layer.CommandGenerator[None]:
        self.server_state = self.state_errored
        self.flow.error = mitmproxy_flow.Error(self._left_because)
        yield HttpErrorHook(self.flow)
        # Until here it was under way: its event had to be written.
        self.client_state = self.state_errored
        self.flow.live = False
        yield http_layers.DropStream(self.stream_id)


class OutlivingConnectionHandler(UnfoldingConnectionHandler):
    """mitmproxy's handler of a client connection, which outlives it while answers are read on."""

    @override
    async def handle_connection(self, connection: Connection) -> None:
        if connection is not self.client:
            await super().handle_connection(connection)
            return
        io = self.transports[connection]
        try:
            await super().handle_connection(connection)
        finally:
            if any(_left(self)):
                # Whoever waits until what is left for the client is written must not wait for it any more,
                # nor cancel this task for the failure.
                io.handler = None
                assert isinstance(io.writer, asyncio.StreamWriter)
                io.writer.transport.abort()
                self.forget_held()
                await self._until_read()

    async def _until_read(self) -> None:
        # A layer closes a connection by cancelling the task that reads it. That is this one, and it may hear
        # of it only now.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        while any(_left(self)):
            self.hook_ended.clear()
            await self.hook_ended.wait()


def _left(handler: server.ConnectionHandler) -> Iterator[LeavableHttpStream]:
    """Return the streams that go on without their client, up to the end of their last hook.

    One that reads what came before has not heard yet that its client has gone.
    """
    http_layer = http_layer_of(handler)
    for stream in http_layer.streams.values() if http_layer else ():
        if isinstance(stream, LeavableHttpStream) and (stream.exchange.read_on or stream.reads_in_turns):
            yield stream
