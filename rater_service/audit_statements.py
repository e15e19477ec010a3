"""How an audit asks the database: every statement may take as long as a long window needs."""

import asyncpg

from rater_service.database import Connection
from rater_service.statements import statement

STATEMENT_TIMEOUT_S = 3600


async def audit_fetch(connection: Connection, name: str, *arguments: object) -> list[asyncpg.Record]:
    """Run sql/<name>.sql and return its rows."""
    return await connection.fetch(statement(name), *arguments, timeout=STATEMENT_TIMEOUT_S)


async def audit_row(connection: Connection, name: str, *arguments: object) -> asyncpg.Record:
    """Run sql/<name>.sql and return its one row."""
    (row,) = await audit_fetch(connection, name, *arguments)
    return row


async def audit_value(connection: Connection, name: str, *arguments: object) -> object:
    """Run sql/<name>.sql and return its one value."""
    return (await audit_row(connection, name, *arguments))[0]
