"""Waiting for what tells nobody that it has come: it is looked at again and again, within bounds."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from rater_service.database.database import Connection, Pool

WAIT_S = 30.0
"""How long something may take to come about, also on a busy machine."""
_LOOK_EVERY_S = 0.01
_HAS_WORKERS = "SELECT to_regclass('pg_catalog.pg_dist_node') IS NOT NULL"
_WAITING_ON_WORKERS = """
SELECT coalesce(sum(result::bigint), 0)::bigint
FROM run_command_on_workers(format(
    'SELECT count(*) FROM pg_locks WHERE NOT granted AND (%1$L IS NULL OR locktype = %1$L)', $1::text))
"""
_WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted AND ($1::text IS NULL OR locktype = $1)"


async def until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)


async def until_told(ask: Callable[[], Awaitable[object]]) -> None:
    """Wait until the answer to a question is a true one. Raises TimeoutError."""
    async with asyncio.timeout(WAIT_S):
        while not await ask():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY_S)


async def until_found(database: Pool | Connection, query: str, *arguments: object) -> None:
    """Wait until the value that a query finds is a true one. Raises TimeoutError.

    Within a transaction, statements see the sessions of others always as the first of them saw them.
    """
    await until_told(lambda: database.fetchval(query, *arguments))


async def until_statements_wait(database: Pool | Connection, count: int = 1, kind: str | None = None) -> None:
    """Wait until so many statements, on the whole server, wait for a lock. Raises TimeoutError.

    kind: of lock, as in pg_locks; None: of any kind.
    """

    async def is_so() -> bool:
        waiting: int = await database.fetchval(_WAITING, kind)
        if await database.fetchval(_HAS_WORKERS):
            waiting += await database.fetchval(_WAITING_ON_WORKERS, kind)
        return waiting == count

    await until_told(is_so)


def wait_until(condition: Callable[[], object]) -> None:
    """Block the thread until a condition holds. Raises AssertionError."""
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"it did not come about within {WAIT_S:g} s"
        time.sleep(_LOOK_EVERY_S)
