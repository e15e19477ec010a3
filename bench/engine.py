"""The scripted engine: answers chat requests with bytes made in advance, at almost no cost.

Answers have vLLM's wire form. A streamed answer has `max_tokens` chunks of text, each a write of its own. All
streams move in step: engines with continuous batching compute one token for every running sequence at a time.
The usage chunk comes whether it was asked for or not, so that Phoebe and the reference get the same bytes.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import override

from rig.chat_answers import CHAT, DONE, Answer, compact, event, usage_of

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
"""A model that the demo's price file has a price for."""
PROMPT_TOKENS = 120
# Real steps take 5 to 30 ms. A slow one, so that most proxies are through with it when the next begins.
STEP_S = 0.025
# Chunks around those with text: the role before them; the finish reason, the usage and [DONE] after them.
CHUNKS_AROUND = 4

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
)
_ANSWER_ID = "chatcmpl-8f14e45fceea467fa5c5a1b1b1c0ffee"
_CREATED = 1_790_000_000
_TEXT = "It counts what was read and what was written, once, and keeps the receipt for whoever asks. " * 7


@cache
def plain_answer(tokens: int) -> bytes:
    """A whole answer with head and body; the body has about 1 kB, whatever the count in its usage."""
    body = compact(_answer([_TEXT], tokens).whole())
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@cache
def stream_writes(tokens: int, *, running: bool = False) -> tuple[bytes, ...]:
    """The writes of a streamed answer after its head, one for each chunk; the last one ends the body.

    running: each chunk says the usage up to it.
    """
    words = _TEXT.split()
    answer = _answer([f" {words[number % len(words)]}" for number in range(tokens)], tokens)
    events = [*map(event, answer.chunks(include_usage=True, running_usage=running)), DONE]
    writes = [b"%x\r\n%s\r\n" % (len(each), each) for each in events]
    return (*writes[:-1], writes[-1] + b"0\r\n\r\n")


@dataclass(slots=True)
class _Stream:
    """A streamed answer under way.

    unseen: events its client must have seen, and has not yet. written_s: when each of them was written, as
    far as that is known.
    """

    transport: asyncio.Transport
    writes: Iterator[bytes]
    unseen: int = 0
    written_s: deque[float] = field(default_factory=deque)


class Steps:
    """Lets every stream whose turn it is write one chunk at every step, for as long as there are any.

    A stream whose client has not seen all that was written sits a step out: a proxy that falls behind would
    otherwise read several chunks at once, and look cheaper per chunk than it is.

    Streams are known by number. turn: the numbers of those whose turn it is.
    """

    def __init__(self) -> None:
        self.turn = range(0)
        self._streams: dict[int, _Stream] = {}
        self._next: asyncio.TimerHandle | None = None
        self._due = 0.0

    def begin(
        self, number: int, transport: asyncio.Transport, writes: Iterator[bytes], *, written: int = 0
    ) -> None:
        """Lets a stream take part from the next step on. written: so many of its events were just now."""
        if self._next is None:
            self._due = asyncio.get_running_loop().time()
            self._plan()
        self._streams[number] = _Stream(transport, writes, written, deque([time.perf_counter()] * written))

    def seen(self, number: int, events: int) -> list[float]:
        """A stream's client has seen so many more events; gives how many seconds each was on its way.

        What only one side's clients see is not among them.
        """
        stream = self._streams.get(number)
        if stream is None:
            return []
        stream.unseen -= events
        now = time.perf_counter()
        known = min(events, len(stream.written_s))
        return [now - stream.written_s.popleft() for _ in range(known)]

    def leave(self, transport: asyncio.Transport) -> None:
        """Forgets the stream on a connection that is gone."""
        for number, stream in list(self._streams.items()):
            if stream.transport is transport:
                del self._streams[number]

    def _plan(self) -> None:
        self._due = max(self._due + STEP_S, asyncio.get_running_loop().time())
        self._next = asyncio.get_running_loop().call_at(self._due, self._step)

    def _step(self) -> None:
        self._next = None
        for number, stream in list(self._streams.items()):
            if number not in self.turn or stream.unseen > 0:
                continue
            chunk = next(stream.writes, None)
            if chunk is None:
                del self._streams[number]
                continue
            # What nobody asked for may be taken out on the way.
            if b'"choices":[]' not in chunk:
                stream.unseen += 1
                stream.written_s.append(time.perf_counter())
            stream.transport.write(chunk)
        if self._streams:
            self._plan()


class EngineConnection(asyncio.Protocol):
    """One keep-alive connection; requests come one after the other, each with a Content-Length."""

    def __init__(self, steps: Steps, *, running: bool) -> None:
        self._steps = steps
        self._running = running
        self._received = b""
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        length = _content_length(head)
        if end and len(rest) >= length:
            self._received = rest[length:]
            self._answer(json.loads(rest[:length]))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport
        self._steps.leave(self._transport)

    def _answer(self, request: dict[str, int]) -> None:
        assert self._transport
        if request.get("stream"):
            first, *writes = stream_writes(request["max_tokens"], running=self._running)
            # Together, because mitmproxy may wait with the head for the first of the body.
            self._transport.write(STREAM_HEAD + first)
            self._steps.begin(request["seed"], self._transport, iter(writes), written=1)
        else:
            self._transport.write(plain_answer(request["max_tokens"]))


async def start_engine(port: int, steps: Steps, *, running: bool = False) -> asyncio.Server:
    """Listens on a port of loopback; 0 takes a free one. OSError if it can't be had.

    running: streams say the usage so far in every chunk, whoever asks.
    """
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: EngineConnection(steps, running=running), "127.0.0.1", port)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _answer(pieces: list[str], tokens: int) -> Answer:
    return Answer(CHAT, _ANSWER_ID, _CREATED, MODEL, pieces, "stop", usage_of(PROMPT_TOKENS, tokens, 64))
