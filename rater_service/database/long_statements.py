"""Sends statements that may take longer than others: runs, audits and exports read and write many rows."""

import asyncpg

from rater_service.database.database import Connection
from rater_service.statements import bound

STATEMENT_TIMEOUT_S = 3600
"""For one statement over a long window, and for the wait for a lock behind others that long."""


async def run(connection: Connection, name: str, /, **arguments: object) -> None:
    """Execute a statement ("rating/begin"). Raises TimeoutError after STATEMENT_TIMEOUT_S."""
    await connection.execute(*bound(name, **arguments), timeout=STATEMENT_TIMEOUT_S)


async def fetch(connection: Connection, name: str, /, **arguments: object) -> list[asyncpg.Record]:
    """Execute a statement and return its rows. Raises TimeoutError after STATEMENT_TIMEOUT_S."""
    return await connection.fetch(*bound(name, **arguments), timeout=STATEMENT_TIMEOUT_S)


async def fetch_one(connection: Connection, name: str, /, **arguments: object) -> asyncpg.Record:
    """Execute a statement and return its only row. Raises TimeoutError after STATEMENT_TIMEOUT_S."""
    (row,) = await fetch(connection, name, **arguments)
    return row


async def fetch_value(connection: Connection, name: str, /, **arguments: object) -> object:
    """Execute a statement and return its only value. Raises TimeoutError after STATEMENT_TIMEOUT_S."""
    return (await fetch_one(connection, name, **arguments))[0]
