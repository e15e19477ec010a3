"""Downloads of tables with many rows: whole, in bounded memory, and broken off where something goes wrong."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from starlette.types import Message

from rater_service.console.streamed_table import FETCHED_ROWS
from tests.harness.ledger import Ledger, make_event
from tests.harness.served_rater import ServedRater, served_rater
from tests.integration.rater.console.test_pages import WINDOW, application_of
from tests.integration.rater.console.test_serving import address

pytestmark = pytest.mark.one_postgres

# Far more than what sockets keep for somebody who does not read.
ROLLUPS = 20_000
COPY = """
INSERT INTO rated_usage
    (auth_id, resource_id, model_id, window_start, window_end, prompt_tokens, cached_tokens,
     completion_tokens, billable_prompt_tokens, cost, applied_prompt_rate, applied_cached_rate,
     applied_completion_rate, event_count, price_book, run, rated_at)
SELECT
    'customer-' || number, resource_id, model_id, window_start, window_end, prompt_tokens, cached_tokens,
    completion_tokens, billable_prompt_tokens, cost, applied_prompt_rate, applied_cached_rate,
    applied_completion_rate, event_count, price_book, run, rated_at
FROM rated_usage
CROSS JOIN generate_series(1, {}) AS number
"""
READING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND xact_start IS NOT NULL AND pid <> pg_backend_pid()
"""


@pytest.fixture
async def many(ledger: Ledger) -> Ledger:
    await ledger.store(make_event(auth_id="alice"))
    await ledger.rate()
    async with ledger.pool.acquire() as session:
        await session.execute(COPY.format(ROLLUPS - 1))
    return ledger


@dataclass(slots=True)
class Client:
    """Asks the application itself. leaves_after: so many pieces; None: it takes all."""

    ledger: Ledger
    version: str = "1.1"
    leaves_after: int | None = None
    status: int = 0
    pieces: list[bytes] = field(default_factory=list)
    _is_leaving: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, path: str, query: str = WINDOW) -> bytes:
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
        await application_of(self.ledger)({**scope, "http_version": self.version}, self._receive, self._send)
        return b"".join(self.pieces)

    async def _send(self, message: Message) -> None:
        self.status = message.get("status", self.status)
        self.pieces.append(message.get("body", b""))
        if len(self.pieces) == self.leaves_after:
            self._is_leaving.set()

    async def _receive(self) -> Message:
        await self._is_leaving.wait()
        return {"type": "http.disconnect"}


async def test_all_rows_are_written_some_at_a_time_and_make_the_total(many: Ledger) -> None:
    client = Client(many)
    answer = await client.get("/rollups.json")
    told = json.loads(answer)
    assert len({one["auth_id"] for one in told["rows"]}) == ROLLUPS
    assert sum(Decimal(one["cost"]) for one in told["rows"]) == Decimal(told["total"]["cost"])
    assert max(map(len, client.pieces)) < 2 * len(answer) * FETCHED_ROWS / ROLLUPS

    gone = Client(many, leaves_after=3)
    await gone.get("/rollups.json")
    assert len(gone.pieces) < ROLLUPS / FETCHED_ROWS / 2, "nobody reads on for one who has left"

    old = Client(many, version="1.0")
    assert b"proxy_http_version 1.1" in await old.get("/rollups.csv")
    assert old.status == 505, "it could not tell a part of the file from all of it"
    small = Client(many, version="1.0")
    assert (await small.get("/rollups.csv", f"{WINDOW}&customer=alice")).count(b"\n") == 2
    assert small.status == 200


async def test_a_download_that_breaks_off_is_no_whole_answer(
    many: Ledger, database_url: str, tmp_path: Path
) -> None:
    options = ("--console", "127.0.0.1:0")
    async with served_rater(tmp_path, {"DATABASE_URL": database_url}, *options) as served:
        for form in ("csv", "json"):
            async with asked(served, f"/rollups.{form}?{WINDOW}") as reader:
                # It has begun, and more of it than sockets hold is still to be read.
                answer = await reader.readexactly(2_000)
                (session,) = await many.pool.fetch(READING)
                await many.pool.execute("SELECT pg_terminate_backend($1::int)", session["pid"])
                answer += await reader.read(-1)
            head, *_ = answer.partition(b"\r\n\r\n")
            assert b" 200 OK" in head
            assert b"transfer-encoding: chunked" in head.lower()
            assert not answer.endswith(b"0\r\n\r\n")
        served.wait_for_log("a download is broken off: The database can't be used now.")


@asynccontextmanager
async def asked(rater: ServedRater, path: str) -> AsyncIterator[asyncio.StreamReader]:
    """Ask for a path, and read nothing yet of what is answered."""
    host, port = address(rater).removeprefix("http://").split(":")
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=connection, limit=4096)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
    try:
        yield reader
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
