"""What a revision does before its transaction, in steps that nobody waits for: fill columns, make indexes.

Whatever stands in a revision's `prepare` is done again from where it stopped, if it was cut short.
"""

import re
from collections.abc import Callable

import asyncpg

from rater_service.database.database import Connection
from rater_service.errors import OperatorError

type Tell = Callable[[str], None]

BATCH_ROWS = 5_000
"""Rows of one batch: some tenths of a second at most, in which somebody may wait for one of these rows."""
TOLD_EVERY_ROWS = 200_000


async def fill(connection: Connection, statement: str, tell: Tell) -> int:
    """Execute a statement until it changes no row any more, each time in a transaction of its own.

    statement: changes at most $1 rows of those that are still to be changed. Returns how many it changed.
    """
    rows = told = 0
    while changed := _row_count(await connection.execute(statement, BATCH_ROWS)):
        rows += changed
        if rows >= told + TOLD_EVERY_ROWS:
            tell(f"{rows:,} rows changed so far")
            told = rows
    return rows


async def make_index(  # noqa: PLR0913 - what CREATE INDEX takes
    connection: Connection, name: str, table: str, definition: str, tell: Tell, *, unique: bool = False
) -> None:
    """Make an index without keeping anybody from writing; on a table in partitions, for each of them.

    definition: what stands behind the table's name in CREATE INDEX. unique: for a constraint, on a table
    without partitions. An index that an interrupted attempt left behind is made again. Raises OperatorError
    if it is not valid in the end.
    """
    if await connection.fetchval("SELECT relkind = 'p' FROM pg_class WHERE oid = $1::regclass", table):
        await _make_in_partitions(connection, name, table, definition, tell)
    else:
        await _make_plain_index(connection, name, table, definition, unique=unique)
    if not await _is_valid(connection, name):
        raise OperatorError(f"the index {name} is not valid yet: run `phoebe migrate` again")


async def _make_in_partitions(
    connection: Connection, name: str, table: str, definition: str, tell: Tell
) -> None:
    # On the table alone it is not valid until every partition has its part. From here on new partitions get
    # one by themselves: those that are listed now are all the others.
    await connection.execute(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY {table} {definition}")
    partitions = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1",
        table,
    )
    for number, partition in enumerate(partitions, 1):
        tell(f"index {name}: partition {number} of {len(partitions)}")
        part = f"{partition['name']}_{name.removeprefix(f'{table}_')}"
        if await _is_part(connection, part, name):
            continue
        await _make_plain_index(connection, part, partition["name"], definition)
        await connection.execute(f"ALTER INDEX {name} ATTACH PARTITION {part}")


async def _make_plain_index(
    connection: Connection, name: str, table: str, definition: str, *, unique: bool = False
) -> None:
    if await _is_valid(connection, name) is False:
        # On a distributed table it may be left on some shards only: without IF EXISTS Citus stops at others.
        await _wait_long(connection, f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    kind = "UNIQUE INDEX" if unique else "INDEX"
    await _wait_long(connection, f"CREATE {kind} CONCURRENTLY IF NOT EXISTS {name} ON {table} {definition}")


async def _is_valid(connection: Connection, index: str) -> bool | None:
    """Tell whether an index can be used; None: there is none of this name."""
    valid: bool | None = await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", index
    )
    return valid


async def _wait_long(connection: Connection, statement: str) -> None:
    """Execute a statement that waits for the transactions of others while nobody waits behind it."""
    lock_timeout = await connection.fetchval("SHOW lock_timeout")
    await connection.execute("SET lock_timeout = 0")
    try:
        await connection.execute(statement)
    finally:
        await connection.execute("SELECT set_config('lock_timeout', $1, false)", lock_timeout)


async def _is_part(connection: Connection, part: str, index: str) -> bool:
    """Tell whether a partition has its part; those that are made from now on get one by themselves."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1)"
            " AND inhparent = to_regclass($2))",
            part,
            index,
        )
    )


def _row_count(status: str) -> int:
    """Read how many rows a statement changed from what PostgreSQL says of it: `UPDATE 5000`."""
    found = re.fullmatch(r"(?:INSERT 0|UPDATE|DELETE|MERGE) (\d+)", status)
    if found is None:
        raise asyncpg.InterfaceError(
            f"a statement that fills in batches changes rows; this one said {status!r}"
        )
    return int(found[1])
