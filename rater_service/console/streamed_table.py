"""A table as a file, written while its rows are read: memory does not grow with them.

An answer that has begun can't say that something went wrong. It is broken off: its last chunk is missing, and
whoever downloads sees that the file is not whole.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from asyncpg.cursor import Cursor
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from phoebe_runtime.background import spawn
from rater_service.bills.rollups import reading
from rater_service.console.downloads import whole_file
from rater_service.console.faults import fault_of
from rater_service.console.table_forms import Form
from rater_service.console.tables import AllRows, Row, Source
from rater_service.database.database import Pool

logger = logging.getLogger(__name__)

DOWNLOAD_TIMEOUT_S = 600.0
"""How long a download may take, its wait for others included."""
FETCHED_ROWS = 1_000
"""As many rows are in memory at a time."""
_FETCH_TIMEOUT_S = 60.0
_NEEDS_HTTP_1_1 = (
    "This table is too large for HTTP/1.0, in which a part of a file looks like all of it. Ask by HTTP/1.1; "
    "nginx does so with proxy_http_version 1.1."
)


@dataclass(frozen=True, slots=True)
class StreamedTable:
    """Answers a request with all rows of a source.

    room: to be had before it takes a session of the pool. refused: gives the page that says a fault, by
    status and words.
    """

    pool: Pool
    room: AbstractAsyncContextManager[None]
    source: Source
    form: Form
    headers: Mapping[str, str]
    refused: Callable[[int, str], Response]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, for as long as somebody takes it: a session is not kept for one who has left."""
        answer = _Answer(send)
        writing = spawn(self._answer(scope, receive, answer), "download")
        leaving = spawn(_left(receive), "caller of a download")
        try:
            await asyncio.wait((writing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if answer.is_whole:
                # The end of an answer is told like somebody's leaving.
                await asyncio.wait((writing,))
            if writing.done():
                writing.result()
        finally:
            for task in (writing, leaving):
                task.cancel()
            await asyncio.gather(writing, leaving, return_exceptions=True)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            async with asyncio.timeout(DOWNLOAD_TIMEOUT_S), self.room, reading(self.pool) as connection:
                # All rows will be read: what gives the first ones soonest may take longest.
                await connection.execute("SET LOCAL cursor_tuple_fraction = 1")
                all_rows = await self.source(connection)
                cursor = await connection.cursor(*all_rows.statement, timeout=_FETCH_TIMEOUT_S)
                rows = await _fetch(cursor, all_rows)
                if len(rows) == FETCHED_ROWS and scope["http_version"] != "1.0":
                    await self._stream(answer, rows, cursor, all_rows)
                    return
            if len(rows) == FETCHED_ROWS:
                response = self.refused(505, _NEEDS_HTTP_1_1)
            else:
                response = whole_file(self.form, rows, all_rows.total, self.headers)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if answer.has_begun:
                logger.warning("a download is broken off: %s", fault[1])
                return
            response = self.refused(*fault)
        await response(scope, receive, answer.send)

    async def _stream(self, answer: "_Answer", rows: list[Row], cursor: Cursor, all_rows: AllRows) -> None:
        await answer.begin(self.form.media_type, self.headers)
        await answer.write(self.form.head() + self.form.rows(rows, first=True))
        while rows := await _fetch(cursor, all_rows):
            await answer.write(self.form.rows(rows, first=False))
        await answer.write(self.form.tail(all_rows.total), last=True)


@dataclass(slots=True)
class _Answer:
    """What was sent so far. has_begun: its status. is_whole: all of it."""

    to: Send
    has_begun: bool = False
    is_whole: bool = False

    async def send(self, message: Message) -> None:
        self.has_begun = True
        self.is_whole = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self.to(message)

    async def begin(self, media_type: str, headers: Mapping[str, str]) -> None:
        # It knows how a type is written out; its length is that of no body.
        told = Response(media_type=media_type, headers=dict(headers)).raw_headers
        kept = [(name, value) for name, value in told if name != b"content-length"]
        await self.send({"type": "http.response.start", "status": 200, "headers": kept})

    async def write(self, text: str, *, last: bool = False) -> None:
        await self.send({"type": "http.response.body", "body": text.encode(), "more_body": not last})


async def _fetch(cursor: Cursor, all_rows: AllRows) -> list[Row]:
    return [all_rows.row_of(one) for one in await cursor.fetch(FETCHED_ROWS, timeout=_FETCH_TIMEOUT_S)]


async def _left(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
