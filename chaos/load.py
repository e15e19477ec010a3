"""The load: clients that send the script's requests and note what they get."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import h11

from chaos.script import Exchange

PATH = "/v1/chat/completions"
ADVISED_PATH = "/v1/messages"
# Far beyond what any exchange of a script takes, a failing disk at its end included.
EXCHANGE_TIMEOUT_S = 40.0
# After a refusal or a connection that broke, so that a fault does not use the script up.
BACK_OFF_S = 0.3
_READ_BYTES = 65536

type PortOf = Callable[[int], Awaitable[int]]
"""Waits until an addon, or another if there are more, serves; gives the port."""


@dataclass(slots=True)
class Received:
    """What a client got.

    status: None: no answer began. request_id: the answer's X-Request-Id; None: it has none. complete: the
    answer came to its end. timed_out: it did not end in any way.
    """

    tag: str
    status: int | None = None
    request_id: str | None = None
    complete: bool = False
    timed_out: bool = False

    @property
    def refused(self) -> bool:
        """Whether this is the addon's word that the exchange was not admitted."""
        return self.status == 503 and self.complete and self.request_id is None


class Progress:
    """How much of the load has begun, for those who wait for a moment in it."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._begun = 0
        self._over = False

    async def begin(self) -> None:
        """One more exchange begins."""
        async with self._changed:
            self._begun += 1
            self._changed.notify_all()

    async def finish(self) -> None:
        """No exchange will begin any more."""
        async with self._changed:
            self._over = True
            self._changed.notify_all()

    async def until_begun(self, exchanges: int) -> None:
        """Wait until so many have begun, or no more will."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._begun >= exchanges or self._over)


async def send_all(
    exchanges: tuple[Exchange, ...], workers: int, port_of: PortOf, progress: Progress
) -> list[Received]:
    """Send each request once, so many at a time. Returns what came back, in the script's order."""
    received = [Received(exchange.tag) for exchange in exchanges]
    work = iter(list(zip(exchanges, received, strict=True)))
    async with asyncio.TaskGroup() as clients:
        for _ in range(workers):
            clients.create_task(_send_in_turn(work, port_of, progress))
    await progress.finish()
    return received


async def _send_in_turn(
    work: Iterator[tuple[Exchange, Received]], port_of: PortOf, progress: Progress
) -> None:
    for exchange, received in work:
        await asyncio.sleep(exchange.pause_ms / 1000)
        port = await port_of(exchange.addon)
        await progress.begin()
        try:
            # A proxy that is killed breaks off at any point.
            with suppress(OSError, h11.RemoteProtocolError):
                async with asyncio.timeout(EXCHANGE_TIMEOUT_S):
                    await _send(exchange, received, port)
        except TimeoutError:
            received.timed_out = True
        if received.status in {None, 503} and exchange.leaves_after is None:
            await asyncio.sleep(BACK_OFF_S)


async def _send(exchange: Exchange, received: Received, port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        http = h11.Connection(h11.CLIENT)
        body = _body(exchange)
        path = ADVISED_PATH if exchange.advice else PATH
        for event in (h11.Request(method="POST", target=path, headers=_headers(exchange, len(body))),
                      h11.Data(body), h11.EndOfMessage()):  # fmt: skip
            writer.write(http.send(event) or b"")
        await writer.drain()
        if exchange.leaves_after != 0:
            await _receive(exchange, received, http, reader)
    finally:
        writer.transport.abort()


async def _receive(
    exchange: Exchange, received: Received, http: h11.Connection, reader: asyncio.StreamReader
) -> None:
    length = 0
    while not received.complete:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(_READ_BYTES))
        elif isinstance(event, h11.Response):
            received.status = event.status_code
            request_id = dict(event.headers).get(b"x-request-id")
            received.request_id = request_id.decode() if request_id else None
        elif isinstance(event, h11.Data):
            length += len(event.data)
            if exchange.leaves_after is not None and length >= exchange.leaves_after:
                return
        elif isinstance(event, h11.EndOfMessage):
            received.complete = True


def _headers(exchange: Exchange, length: int) -> list[tuple[str, str]]:
    headers = [
        ("Host", "chaos"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(length)),
        ("X-Request-Id", exchange.tag),
        ("X-Saturn-Auth-Id", exchange.auth_id),
        ("X-Saturn-Resource-Id", exchange.resource_id),
    ]
    if exchange.model.base:
        headers.append(("X-Saturn-Base-Model", exchange.model.base))
    return headers


def _body(exchange: Exchange) -> bytes:
    body = {
        "model": exchange.model.id,
        "user": exchange.tag,
        "stream": exchange.chunks > 0,
        "messages": [{"role": "user", "content": "What is it that keeps the receipt?"}],
    }
    return json.dumps(body).encode()
