"""A caller that speaks HTTP/2 by hand: it may say what no gRPC library would let it say."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

HEADERS = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/",
    ":authority": "rater",
    "te": "trailers",
    "content-type": "application/grpc",
}


@dataclass
class RawCall:
    """What has come of a call so far. `ended`: no more will come of it."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False

    @property
    def status(self) -> int | None:
        """The gRPC status, once it is known."""
        return int(self.headers["grpc-status"]) if "grpc-status" in self.headers else None


class RawCaller:
    """One connection. `gone`: the service closed it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        self._http = h2.connection.H2Connection(config)
        self._http.initiate_connection()
        self._calls: dict[int, RawCall] = {}
        self._pongs: set[bytes] = set()
        self.gone = False

    def open(
        self, path: str, headers: Sequence[tuple[str, str]] = (), pseudo: Mapping[str, str] | None = None
    ) -> int:
        """Begin a call; `pseudo` has other pseudo-headers than usual, without their colons."""
        values = HEADERS | {":path": path} | {f":{name}": value for name, value in (pseudo or {}).items()}
        stream = self._http.get_next_available_stream_id()
        self._calls[stream] = RawCall()
        self._http.send_headers(stream, [*values.items(), *headers])
        return stream

    async def send(self, stream: int, data: bytes, *, end: bool = True) -> None:
        """Send bytes of a call's body as fast as the service takes them."""
        call, left = self._calls[stream], memoryview(data)
        with suppress(h2.exceptions.StreamClosedError):
            while left and not call.ended and not self.gone:
                room = min(self._http.local_flow_control_window(stream), self._http.max_outbound_frame_size)
                if not room:
                    await self._receive()
                    continue
                self._http.send_data(stream, bytes(left[:room]))
                left = left[room:]
                await self.flush()
            if end and not call.ended and not self.gone:
                self._http.end_stream(stream)
        await self.flush()

    async def ping(self, number: int) -> None:
        """Ask whether the service is there, and wait until it answers."""
        content = number.to_bytes(8)
        self._http.ping(content)
        await self.until(lambda: content in self._pongs)

    def reset(self, stream: int) -> None:
        """Break a call off."""
        self._http.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)

    async def answer(self, stream: int) -> RawCall:
        """Wait until a call has ended, or the connection."""
        await self.until(lambda: self._calls[stream].ended)
        return self._calls[stream]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Read until a condition holds or the connection ends."""
        await self.flush()
        while not condition() and not self.gone:
            await self._receive()

    async def flush(self) -> None:
        with suppress(OSError):
            self._writer.write(self._http.data_to_send())
            await self._writer.drain()

    async def _receive(self) -> None:
        try:
            received = await self._reader.read(65536)
        except OSError:
            received = b""
        if not received:
            self.gone = True
            return
        for event in self._http.receive_data(received):
            self._take(event)
        await self.flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ConnectionTerminated):
            self.gone = True
        if isinstance(event, h2.events.PingAckReceived):
            self._pongs.add(event.ping_data)
        call = self._calls.get(getattr(event, "stream_id", None) or 0)
        if call is None:
            return
        if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
            call.headers |= {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h2.events.DataReceived):
            call.body += event.data
            self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
            call.ended = True


@asynccontextmanager
async def raw_caller(port: int) -> AsyncIterator[RawCaller]:
    """Open a connection, and close it without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(60):
            yield RawCaller(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
