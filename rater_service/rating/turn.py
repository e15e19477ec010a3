"""Whose turn it is: rating runs follow each other, over all processes that use the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rater_service.database.database import Connection, Pool

# Any number, as long as every Phoebe takes the same and migrations another.
RATING_LOCK = 7_463_310_582_117
# A run over a long window takes its time, and several may be ahead.
TURN_TIMEOUT_S = 3600


@asynccontextmanager
async def rating_turn(pool: Pool) -> AsyncIterator[Connection]:
    """Wait for the turn and give a connection that has it, outside of any transaction.

    The lock belongs to the session, not to a transaction: who waits inside a transaction finds that its
    snapshot is older than what the run before it wrote. Handing the connection back ends it, since the pool
    resets connections, and so does the server when the connection breaks, however this process ended. Raises
    TimeoutError when it takes longer than TURN_TIMEOUT_S.
    """
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", RATING_LOCK, timeout=TURN_TIMEOUT_S)
        yield connection
