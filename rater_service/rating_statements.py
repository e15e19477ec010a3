"""Sends the statements of a rating run, which may take longer than others."""

import asyncpg

from rater_service.database import Connection
from rater_service.statements import statement

# A run over a long window reads and writes many rows.
STATEMENT_TIMEOUT_S = 3600


async def run(connection: Connection, name: str, *arguments: object) -> None:
    """Execute sql/<name>.sql. Raises TimeoutError after STATEMENT_TIMEOUT_S."""
    await connection.execute(statement(name), *arguments, timeout=STATEMENT_TIMEOUT_S)


async def fetch(connection: Connection, name: str, *arguments: object) -> list[asyncpg.Record]:
    """Execute sql/<name>.sql and return its rows. Raises TimeoutError after STATEMENT_TIMEOUT_S."""
    return await connection.fetch(statement(name), *arguments, timeout=STATEMENT_TIMEOUT_S)


async def fetch_one(connection: Connection, name: str, *arguments: object) -> asyncpg.Record:
    """Execute sql/<name>.sql and return its only row. Raises TimeoutError after STATEMENT_TIMEOUT_S."""
    (row,) = await fetch(connection, name, *arguments)
    return row
