"""The clients: they send chat requests over keep-alive connections and follow the answers to their ends."""

import asyncio
import json
import time
from dataclasses import dataclass
from statistics import median
from typing import override

from bench.engine import MODEL, Steps
from bench.errors import BenchError

IDENTITY = {"X-Saturn-Auth-Id": "bench", "X-Saturn-Resource-Id": "llama"}
# Far beyond what an answer takes, so that a proxy that hangs ends the run.
ANSWER_TIMEOUT_S = 30.0

_HEAD_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_EVENT_END = b"\n\n"


@dataclass(frozen=True, slots=True)
class Work:
    """What to send through each side: plain requests for so many seconds, or streams on every connection.

    tokens: what every answer shall have. running: the engine says the usage so far in every chunk. streams:
    on every connection, one after the other. headers: of each request, besides.
    """

    connections: int
    tokens: int
    seconds: float | None
    running: bool = False
    streams: int = 1
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def streamed(self) -> bool:
        """Whether the answers are streams."""
        return self.seconds is None


@dataclass(frozen=True, slots=True)
class Seen:
    """What came back: answers with status 200, server-sent events in them, reads of a socket.

    elapsed_s: how long it was this side's turn. first_s: from a request to the first of its answer, an
    event or all of it, the median. chunk_s: from the engine's write of a chunk to the client's read, what 99
    of 100 stay below; 0: there were no streams.
    """

    answers: int
    events: int
    reads: int
    elapsed_s: float
    first_s: float
    chunk_s: float


def request_bytes(work: Work, number: int) -> bytes:
    """The request that one connection sends again and again. number: tells connections apart."""
    messages = [
        {"role": "system", "content": "You are a patient assistant who explains how inference is metered."},
        {"role": "user", "content": "What becomes of a request whose client hangs up?"},
    ]
    document = {"model": MODEL, "messages": messages, "max_tokens": work.tokens, "seed": number}
    body = json.dumps(document | ({"stream": True} if work.streamed else {})).encode()
    headers = {
        "Host": "127.0.0.1",
        "Accept": "*/*",
        "Content-Type": "application/json",
        **IDENTITY,
        **dict(work.headers),
        "Content-Length": str(len(body)),
    }
    lines = ["POST /v1/chat/completions HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + _HEAD_END + body


class AnswerReader:
    """Takes the bytes of one answer as they come; nothing may follow it."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._body_start = 0  # 0: the head is not complete
        self._length: int | None = None  # None: chunked
        self._counted = 0  # no event that ends before this place is still to be counted
        self.events = 0

    def feed(self, data: bytes) -> bool:
        """Takes the next bytes; says whether the answer is complete. BenchError if its status is not 200."""
        self._received += data
        if not self._body_start:
            self._read_head()
        if not self._body_start:
            return False
        if self._length is not None:
            return len(self._received) >= self._body_start + self._length
        self.events += self._received.count(_EVENT_END, max(self._counted - 1, self._body_start))
        self._counted = len(self._received)
        return self._received.endswith(_LAST_CHUNK, self._body_start)

    def _read_head(self) -> None:
        head, end, _ = bytes(self._received).partition(_HEAD_END)
        if not end:
            return
        if not head.startswith(b"HTTP/1.1 200 "):
            raise BenchError(f"a request was answered with {self._received[:400].decode(errors='replace')!r}")
        self._body_start = len(head) + len(_HEAD_END)
        lines = [line.lower().partition(b": ") for line in head.split(b"\r\n")]
        headers = {name: value for name, _, value in lines}
        if headers.get(b"transfer-encoding") != b"chunked":
            self._length = int(headers[b"content-length"])


class Load:
    """The clients of one side. They work in turns with those of the other, over connections that stay open.

    steps: of the engine, which is told whose turn it is and what the clients see. first_number: of the
    numbers that the connections get. Needs a running event loop.
    """

    def __init__(self, work: Work, steps: Steps, first_number: int) -> None:
        self._work = work
        self._steps = steps
        self._numbers = range(first_number, first_number + work.connections)
        self._connections: list[Connection] = []
        self._deadline = 0.0
        self._under_way = 0
        self._idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting: list[Connection] = []
        self._answers = self._events = self._reads = 0
        self._elapsed_s = 0.0
        self._first_bytes_s: list[float] = []
        self._chunks_s: list[float] = []

    @property
    def seen(self) -> Seen:
        """What came back so far."""
        first_s = median(self._first_bytes_s) if self._first_bytes_s else 0.0
        chunk_s = sorted(self._chunks_s)[len(self._chunks_s) * 99 // 100] if self._chunks_s else 0.0
        return Seen(self._answers, self._events, self._reads, self._elapsed_s, first_s, chunk_s)

    def is_complete(self) -> bool:
        """Whether all of the work is done."""
        if self._work.seconds is None:
            return self._answers == self._work.connections * self._work.streams
        return self._elapsed_s >= self._work.seconds

    async def open(self, port: int) -> None:
        """Opens the connections to a port of loopback. OSError if nobody listens."""
        self._connections = [await self._connect(port, number) for number in self._numbers]

    async def take_turn(self, seconds: float) -> None:
        """Works for some seconds. Plain requests are all answered at the end, streams go on in the next turn.

        Does nothing when the work is done: the last chunks may come after the turn. BenchError if an answer
        is not as it must be, TimeoutError if there is none.
        """
        if self.is_complete():
            return
        started = time.perf_counter()
        self._deadline = started + seconds
        self._steps.turn = self._numbers
        if not self._under_way:
            self._idle = asyncio.get_running_loop().create_future()
        waiting = self._waiting or ([] if self._under_way else self._connections)
        self._waiting = []
        for connection in waiting:
            self._send(connection)
        timeout_s = seconds if self._work.streamed else ANSWER_TIMEOUT_S
        done, _ = await asyncio.wait({self._idle}, timeout=timeout_s)
        if done:
            self._idle.result()
        elif not self._work.streamed:
            raise TimeoutError
        self._elapsed_s += time.perf_counter() - started

    def read(self, number: int, events: int) -> None:
        """A connection has read something, with so many events in it."""
        self._reads += 1
        self._events += events
        self._chunks_s += self._steps.seen(number, events)

    def began(self, seconds: float) -> None:
        """The first of an answer has come, so long after its request."""
        self._first_bytes_s.append(seconds)

    def answered(self, connection: "Connection") -> None:
        """A connection has its answer."""
        self._answers += 1
        self._under_way -= 1
        goes_on = not self._work.streamed or connection.answers < self._work.streams
        if goes_on and time.perf_counter() < self._deadline:
            self._send(connection)
        elif goes_on and self._work.streamed:
            self._waiting.append(connection)
        if not self._under_way and not self._idle.done():
            self._idle.set_result(None)

    def failed(self, error: BenchError) -> None:
        """Something went wrong: the turn is over."""
        if not self._idle.done():
            self._idle.set_exception(error)

    def close(self) -> None:
        """Closes the connections."""
        for connection in self._connections:
            connection.close()

    async def _connect(self, port: int, number: int) -> "Connection":
        connection = Connection(self, number, request_bytes(self._work, number))
        await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)
        return connection

    def _send(self, connection: "Connection") -> None:
        self._under_way += 1
        connection.send()


class Connection(asyncio.Protocol):
    """One keep-alive connection, with one request on its way at a time. answers: how many it has got."""

    def __init__(self, load: Load, number: int, request: bytes) -> None:
        self._load = load
        self._number = number
        self._request = request
        self._answer = AnswerReader()
        self._transport: asyncio.Transport | None = None
        self._closing = False
        self._sent_s: float | None = None  # None: the first of the answer is here
        self.answers = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @override
    def data_received(self, data: bytes) -> None:
        events_before = self._answer.events
        try:
            complete = self._answer.feed(data)
        except BenchError as error:
            self._load.failed(error)
            return
        if self._sent_s is not None and (complete or self._answer.events):
            self._load.began(time.perf_counter() - self._sent_s)
            self._sent_s = None
        self._load.read(self._number, self._answer.events - events_before)
        if complete:
            self._answer = AnswerReader()
            self.answers += 1
            self._load.answered(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closing:
            self._load.failed(BenchError(f"the proxy closed a connection: {exc or 'without an error'}"))

    def send(self) -> None:
        """Sends the connection's request."""
        assert self._transport
        self._sent_s = time.perf_counter()
        self._transport.write(self._request)

    def close(self) -> None:
        """Closes the connection."""
        self._closing = True
        assert self._transport
        self._transport.close()
