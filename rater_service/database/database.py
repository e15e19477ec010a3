"""Connections to PostgreSQL: the operator's, or an embedded server when none is named."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from rater_service.database import embedded
from rater_service.errors import OperatorError

type Pool = asyncpg.Pool[asyncpg.Record]
type Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]

# A batch of events or a page of rollups needs one connection for milliseconds, a rating run one for longer.
POOL_CONNECTIONS_MAX = 16
CONNECT_TIMEOUT_S = 10
# Far beyond what any statement but a rating run's needs; those state their own.
COMMAND_TIMEOUT_S = 60

# What asyncpg raises when the server is unreachable, stopping, full or broke off: sending again may succeed.
UNAVAILABLE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    # What asyncpg makes of a server that has said why it goes, and has not hung up yet.
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    # The server was the primary until a moment ago.
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.PostgresSystemError,
)


@asynccontextmanager
async def open_database(database_url: str | None, data_dir: Path) -> AsyncIterator[str]:
    """Give the URL of the database: the one named, or that of an embedded server kept in `data_dir`.

    The embedded server runs as long as the context; its data stays.
    """
    if database_url is not None:
        yield database_url
        return
    async with embedded.server(data_dir) as url:
        yield url


@asynccontextmanager
async def open_pool(url: str) -> AsyncIterator[Pool]:
    """Open a bounded pool of connections; OperatorError if the database can't be reached with this URL."""
    with explained_connection_errors():
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=POOL_CONNECTIONS_MAX,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            # Compiling plans costs more than these short statements take.
            server_settings={"application_name": "phoebe", "jit": "off"},
        )
    try:
        yield pool
    finally:
        await pool.close()


@contextmanager
def explained_connection_errors() -> Iterator[None]:
    """Turn errors of connecting into an OperatorError, without the URL: it may hold a password."""
    try:
        yield
    except (ValueError, asyncpg.ClientConfigurationError):
        # The parser's own words may quote a part of the password.
        raise OperatorError(
            "DATABASE_URL is not a PostgreSQL URL; expected postgresql://user:password@host:port/database, "
            "with special characters percent-encoded"
        ) from None
    except (asyncpg.PostgresError, *UNAVAILABLE_ERRORS) as error:
        reason = str(error) or type(error).__name__
        raise OperatorError(f"the database that DATABASE_URL names can't be used: {reason}") from error
