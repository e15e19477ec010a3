"""The numbers that the database gives its rows: they must go on behind those that are there.

Logical replication copies rows but not sequences, and so does whoever restores a single table: the next row
would get a number that another has.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from rater_service.database.sessions import Connection
from rater_service.errors import OperatorError
from rater_service.statements import bound, statement

logger = logging.getLogger(__name__)


async def set_numbers_right(connection: Connection) -> tuple[str, ...]:
    """Let all sequences go on behind the numbers that are there; returns the tables where one was behind."""
    behind = await _behind(connection, await _numbered(connection))
    for table in behind:
        await connection.execute(statement("database/numbers_set_right", **table.parts()).text)
    return tuple(table.numbered for table in behind)


async def refuse_numbers_behind(connection: Connection) -> None:
    """Raise OperatorError if a row that is added would get a number that another has.

    What this role may not know is warned of.
    """
    tables = await _numbered(connection)
    if unknown := _names(table for table in tables if not table.can_be_told):
        logger.warning(
            "this role may not see which numbers new rows of %s will get: whether they are behind those that "
            "are there, as after a restore of single tables, is not checked; docs/roles.md says which rights "
            "it needs",
            unknown,
        )
    if behind := await _behind(connection, [table for table in tables if table.can_be_told]):
        raise OperatorError(
            f"the numbers of new rows of {_names(behind)} are behind those that are there, as after a "
            "logical replication or a restore of single tables; run `phoebe migrate`, which sets them right"
        )


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A table whose rows the database numbers; all names as SQL takes them.

    number: the column; sequence: what gives the numbers; can_be_told: whether this role may look at both.
    """

    numbered: str
    number: str
    sequence: str
    can_be_told: bool

    def parts(self) -> dict[str, str]:
        """Give what statements have places for."""
        return {"numbered": self.numbered, "number": self.number, "sequence": self.sequence}


async def _numbered(connection: Connection) -> list[_Numbered]:
    return [_Numbered(**row) for row in await connection.fetch(*bound("database/numbered_tables"))]


async def _behind(connection: Connection, tables: Iterable[_Numbered]) -> list[_Numbered]:
    return [
        table
        for table in tables
        if await connection.fetchval(statement("database/numbers_behind", **table.parts()).text)
    ]


def _names(tables: Iterable[_Numbered]) -> str:
    return ", ".join(table.numbered for table in tables)
