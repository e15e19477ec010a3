"""The numbers that the database gives its rows: they must go on behind those that are there.

Logical replication copies rows but not sequences, and so does whoever restores a single table: the next row
would get a number that another has.
"""

import asyncpg

from rater_service.database.sessions import Connection
from rater_service.errors import OperatorError
from rater_service.statements import bound, statement


async def set_numbers_right(connection: Connection) -> tuple[str, ...]:
    """Let all sequences go on behind the numbers that are there; returns the tables where one was behind."""
    behind = await _behind(connection)
    for table in behind:
        await connection.execute(statement("database/numbers_set_right", **table).text)
    return tuple(table["numbered"] for table in behind)


async def refuse_numbers_behind(connection: Connection) -> None:
    """Raise OperatorError if a row that is added would get a number that another has."""
    try:
        behind = await _behind(connection)
    except asyncpg.InsufficientPrivilegeError:
        return  # the role may take numbers and not look at them; a row with a number twice is refused anyway
    if behind:
        names = ", ".join(table["numbered"] for table in behind)
        raise OperatorError(
            f"the numbers of new rows of {names} are behind those that are there, as after a logical "
            "replication or a restore of single tables; run `phoebe migrate`, which sets them right"
        )


async def _behind(connection: Connection) -> list[dict[str, str]]:
    tables = [dict(row) for row in await connection.fetch(*bound("database/numbered_tables"))]
    return [
        table
        for table in tables
        if await connection.fetchval(statement("database/numbers_behind", **table).text)
    ]
