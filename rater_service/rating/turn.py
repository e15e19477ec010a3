"""Whose turn it is: rating runs follow each other, over all processes that use the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg

from rater_service.database.database import Connection, DatabaseUnavailableError, Pool

# Any number, as long as every Phoebe takes the same and migrations another.
RATING_LOCK = 7_463_310_582_117
# A run over a long window takes its time, and several may be ahead.
TURN_TIMEOUT_S = 3600
# How long the lock of a process that was killed in the middle of a statement is kept.
CHECK_INTERVAL_S = 10


@asynccontextmanager
async def rating_turn(pool: Pool) -> AsyncIterator[Connection]:
    """Wait for the turn and give a connection that has it, outside of any transaction.

    The lock belongs to the session, not to a transaction: who waits inside a transaction finds that its
    snapshot is older than what the run before it wrote. Handing the connection back ends it, since the pool
    resets connections, and so does the server when the connection breaks, however this process ended. Raises
    DatabaseUnavailableError when it takes longer than TURN_TIMEOUT_S.
    """
    async with pool.acquire() as connection:
        # Without it a server first ends the statement that it is at, which may take long. Windows has it not.
        with suppress(asyncpg.InvalidParameterValueError):
            await connection.execute(f"SET client_connection_check_interval = '{CHECK_INTERVAL_S}s'")
        await connection.execute("SELECT pg_advisory_lock($1)", RATING_LOCK, timeout=TURN_TIMEOUT_S)
        yield connection


async def require_turn(connection: Connection) -> None:
    """Prove in a transaction that it has the turn; raises DatabaseUnavailableError if it has not.

    A pooler can give a transaction another session than the one that waited for the turn. The service finds
    such poolers when it starts, but the mode of one can be changed later. The proof is a lock of the
    transaction, which other sessions can't get while one of them has the turn.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", RATING_LOCK):
        raise DatabaseUnavailableError(
            "the run has lost its turn: a pooler in between gives each transaction another session; "
            "use its session mode"
        )
