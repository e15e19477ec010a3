"""The engine: it answers as the script says, and its own memory is the truth of what was served."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import h11

from chaos.script import Advice, Conduct, Exchange, Usage
from rig.chat_answers import CHAT, DONE, Answer, compact, event, usage_of

_READ_BYTES = 65536
_CREATED = 1_790_000_000


@dataclass(slots=True)
class Served:
    """A request that reached the engine. complete: it has written the whole of a good answer."""

    tag: str
    complete: bool = False


class Engine:
    """An OpenAI-compatible engine on loopback.

    served: by the request id that came with them. arrivals: how often each request id came.
    """

    def __init__(self, exchanges: tuple[Exchange, ...]) -> None:
        self._exchanges: Mapping[str, Exchange] = {exchange.tag: exchange for exchange in exchanges}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.served: dict[str, Served] = {}
        self.arrivals: Counter[str] = Counter()

    async def start(self) -> int:
        """Serve; gives the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Serve no more."""
        if self._server:
            self._server.close()
            for connection in self._connections:
                connection.transport.abort()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        # A proxy that is killed, or whose client left, breaks off at any point.
        with suppress(OSError, h11.RemoteProtocolError):
            while await self._serve_one(h11.Connection(h11.SERVER), reader, writer):
                pass
        self._connections.discard(writer)
        writer.close()

    async def _serve_one(
        self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request. Returns whether another may follow."""
        request_id, body = "", b""
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await reader.read(_READ_BYTES))
            elif isinstance(event, h11.Request):
                request_id = dict(event.headers).get(b"x-request-id", b"").decode()
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return False
        exchange = self._exchanges[json.loads(body)["user"]]
        self.arrivals[request_id] += 1
        served = self.served[request_id] = Served(exchange.tag)
        return await _answer(exchange, served, http, writer)


async def _answer(
    exchange: Exchange, served: Served, http: h11.Connection, writer: asyncio.StreamWriter
) -> bool:
    await asyncio.sleep(exchange.think_ms / 1000)
    if exchange.conduct is Conduct.HANGS_UP:
        return False
    pieces = _pieces(exchange)
    streamed = exchange.chunks > 0 and exchange.status == 200
    framing = ("Transfer-Encoding", "chunked") if streamed else ("Content-Length", str(len(pieces[0])))
    content_type = ("Content-Type", "text/event-stream" if streamed else "application/json")
    head = h11.Response(status_code=exchange.status, headers=[content_type, framing])
    writer.write(http.send(head) or b"")
    for number, piece in enumerate(pieces):
        if exchange.conduct is Conduct.CUTS and number == exchange.cut_at:
            writer.write((http.send(h11.Data(piece)) or b"")[: len(piece) // 2])
            await writer.drain()
            return False
        writer.write(http.send(h11.Data(piece)) or b"")
        await writer.drain()
        if streamed:
            await asyncio.sleep(exchange.think_ms / 1000)
    writer.write(http.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    served.complete = exchange.status == 200
    return True


def _pieces(exchange: Exchange) -> list[bytes]:
    """The body, in the pieces it is written in: at least `cut_at` + 1 of them."""
    if exchange.status != 200:
        return [compact({"error": {"message": "as the script says", "code": exchange.status}})]
    if exchange.advice:
        return [compact(_message(exchange, exchange.advice))]
    usage = usage_of(exchange.usage.prompt, exchange.usage.completion, exchange.usage.cached)
    words = [f" word {number}" for number in range(exchange.chunks)] or ["It keeps the receipt. "] * 20
    answer = Answer(CHAT, "chatcmpl-chaos", _CREATED, exchange.model.id, words, "stop", usage)
    if not exchange.chunks:
        return [compact(answer.whole())]
    *events, last = map(event, answer.chunks(include_usage=True))
    return [*events, last + DONE]


def _message(exchange: Exchange, advice: Advice) -> dict[str, object]:
    """A message of Anthropic's API whose model asked another one."""
    own = _counts(exchange.usage)
    advised = {"type": "advisor_message", "model": advice.model.id, **_counts(advice.usage)}
    return {
        "id": "msg_chaos",
        "type": "message",
        "role": "assistant",
        "model": exchange.model.id,
        "content": [{"type": "text", "text": "It keeps the receipt. " * 20}],
        "stop_reason": "end_turn",
        "usage": {**own, "iterations": [{"type": "message", **own}, advised]},
    }


def _counts(usage: Usage) -> dict[str, object]:
    return {
        "input_tokens": usage.prompt - (usage.cached or 0),
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.completion,
    }
