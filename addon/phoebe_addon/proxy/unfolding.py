"""Chunks of an answer that unfold to a hundred times their size: they are read in turns, and others go on.

mitmproxy shows a chunk to the addon and sends it on in one go. For such a chunk the stream waits instead, as
it does for a hook. What comes of the same answer meanwhile waits in order, and once that is more than a
little, the engine is not listened to.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, override

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http._events import ResponseData

from phoebe_addon.formats.steps import Steps, at_once
from phoebe_addon.proxy.backpressure import HELD_BYTES_MAX, http_layer_of
from phoebe_addon.proxy.silence import TimedHttpStream
from phoebe_addon.proxy.watchdog import WatchedConnectionHandler
from phoebe_addon.proxy.watched_answer import AnswerWatch


class LongReading[T]:
    """Reading that is done in steps, of which the first is taken at once."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._results: list[T] = []
        self._error: Exception | None = None
        self._taking = self._take()
        next(self._taking, None)

    @property
    def is_over(self) -> bool:
        """Whether all steps are taken."""
        return bool(self._results or self._error)

    @property
    def steps(self) -> Steps[None]:
        """The steps that are left, for whoever takes them."""
        return self._taking

    def result(self) -> T:
        """Return what they give, or raise what they raise. What nobody has taken is taken now."""
        at_once(self._taking)
        if self._error:
            raise self._error
        return self._results[0]

    def _take(self) -> Steps[None]:
        try:
            self._results.append((yield from self._steps))
        except Exception as error:
            self._error = error


@dataclass
class LongReadingHook(commands.StartHook):
    """The addon's hook `long_reading`: it takes the steps while others go on."""

    data: LongReading[Any]


class UnfoldingHttpStream(TimedHttpStream):
    """mitmproxy's HTTP stream, in which an answer may be read in turns.

    reads_in_turns: whether that is going on.
    """

    reads_in_turns = False

    def waiting_bytes(self) -> int:
        """Return how much of its answer waits for what came before it to be read."""
        if not self.reads_in_turns:
            return 0
        return sum(len(event.data) for event in self._paused_event_queue if isinstance(event, ResponseData))

    @override
    def state_stream_response_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        # This runs for every chunk: no generator of its own.
        assert self.flow.response
        watch = self.flow.response.stream
        if isinstance(watch, AnswerWatch) and watch.unfolds and isinstance(event, ResponseData):
            return self._pass_on(watch, event.data)
        passing: layer.CommandGenerator[None] = super().state_stream_response_body(event)
        return passing

    def _pass_on(self, watch: AnswerWatch, chunk: bytes) -> layer.CommandGenerator[None]:
        passed = yield from self.take_in_turns(watch.steps(chunk))
        if self.context.options.store_streamed_bodies:
            self.response_body_buf += passed
        if passed:
            yield http_layers.SendHttp(ResponseData(self.stream_id, passed), self.context.client)

    def take_in_turns[T](self, steps: Steps[T]) -> layer.CommandGenerator[T]:
        """Take steps while others go on, unless there is only one. Returns what they give."""
        reading = LongReading(steps)
        if not reading.is_over:
            self.reads_in_turns = True
            yield LongReadingHook(reading)
            self.reads_in_turns = False
        return reading.result()


class UnfoldingConnectionHandler(WatchedConnectionHandler):
    """mitmproxy's handler of a client connection; it reads no engine that is far ahead of the reading."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.hook_ended = asyncio.Event()

    @override
    async def hook_task(self, hook: commands.StartHook) -> None:
        await super().hook_task(hook)
        self.hook_is_over()

    @override
    def hook_is_over(self) -> None:
        self.hook_ended.set()  # with it a stream may have read on, or come to its end

    @override
    async def until_engine_may_go_on(self, engine: Connection) -> None:
        while any(stream.waiting_bytes() > HELD_BYTES_MAX for stream in self._streams_of(engine)):
            self.hook_ended.clear()
            await self.hook_ended.wait()

    def _streams_of(self, engine: Connection) -> Iterator[UnfoldingHttpStream]:
        http_layer = http_layer_of(self)
        for stream in http_layer.streams.values() if http_layer else ():
            if isinstance(stream, UnfoldingHttpStream) and stream.context.server is engine:
                yield stream
