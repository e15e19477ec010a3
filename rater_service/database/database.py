"""Sessions with PostgreSQL, the operator's or an embedded server when none is named.

asyncpg raises the same classes when a session was lost and when it is used wrongly. Here, where the session
is at hand, the two are told apart: a lost one is a DatabaseUnavailableError, and a bug stays what it is.
"""

import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast, override

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from rater_service.database import embedded
from rater_service.errors import OperatorError

logger = logging.getLogger(__name__)

type Session = asyncpg.Connection[asyncpg.Record]
type _Lent = PoolConnectionProxy[asyncpg.Record]
type Connection = Session | _Lent
type _Sessions = asyncpg.Pool[asyncpg.Record]

# A batch of events or a page of rollups needs one connection for milliseconds, a rating run one for longer.
POOL_CONNECTIONS_MAX = 16
CONNECT_TIMEOUT_S = 10
# Far beyond what any statement but a rating run's needs; those state their own.
COMMAND_TIMEOUT_S = 60
PROBE_TIMEOUT_S = 5

# A machine that loses its power says nothing. After half a minute of silence each side asks whether the other
# is there, and after a minute it gives up. The default is two hours, in which a run's lock is held.
KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_COUNT = 3
UNACKNOWLEDGED_MAX_S = 60
# Keepalive does not find a process that is stopped or swapped out, because its kernel still answers. No
# transaction that holds locks pauses this long between two statements.
IDLE_IN_TRANSACTION_MAX_S = 600

# Set by statements: poolers refuse to start a session with parameters that they do not know.
SETTINGS = f"""
SET tcp_keepalives_idle = '{KEEPALIVE_IDLE_S}s';
SET tcp_keepalives_interval = '{KEEPALIVE_INTERVAL_S}s';
SET tcp_keepalives_count = {KEEPALIVE_COUNT};
SET tcp_user_timeout = '{UNACKNOWLEDGED_MAX_S}s';
SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_MAX_S}s';
-- Compiling plans costs more than these short statements take.
SET jit = off;
"""
_SOCKET_OPTIONS = {
    "TCP_KEEPIDLE": KEEPALIVE_IDLE_S,
    "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_S,
    "TCP_KEEPCNT": KEEPALIVE_COUNT,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED_MAX_S * 1000,
}


class DatabaseUnavailableError(Exception):
    """The database can't be reached, a session was lost, or it took too long; trying again may help."""


UNAVAILABLE_ERRORS = (
    DatabaseUnavailableError,
    # What the server says of itself: it is stopping, full, or was the primary until a moment ago.
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
    # Somebody else was in the way.
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    # A migration changed what a statement was prepared for; asyncpg prepares it anew.
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
"""What means that the database can't be used now, and that trying again may help; never a bug."""

OPERATOR_ERRORS = (*UNAVAILABLE_ERRORS, asyncpg.PostgresError)
"""What a command says in words instead of a traceback: the database is away, or it refused a statement."""

# What asyncpg raises for a session that was lost, and for wrong use as well.
_AMBIGUOUS_ERRORS = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)


class _Session(asyncpg.Connection):
    """A session that has our settings for whoever gets it."""

    @override
    def get_reset_query(self) -> str:
        return super().get_reset_query() + SETTINGS


async def connect(url: str, **options: Any) -> Session:
    """Open a session. Raises DatabaseUnavailableError, and ClientConfigurationError for what is no URL."""
    options.setdefault("timeout", CONNECT_TIMEOUT_S)
    options.setdefault("connection_class", _Session)
    try:
        session: Session = await asyncpg.connect(url, **options)
        try:
            await session.execute(SETTINGS)
        except BaseException:
            session.terminate()
            raise
    except asyncpg.ClientConfigurationError:
        raise
    # Whatever else it is, a wrong password too: what was to be done is right, and an operator can mend it.
    except (asyncpg.PostgresError, *_AMBIGUOUS_ERRORS) as error:
        raise DatabaseUnavailableError(_reason(error)) from error
    _keep_alive(session)
    return session


def _keep_alive(session: Session) -> None:
    """Notice also on our side when the other machine is gone."""
    # asyncpg has no public way to its socket.
    line: socket.socket = session._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    if line.family == socket.AF_UNIX:
        return
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _SOCKET_OPTIONS.items():
        if hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Pool:
    """A bounded number of sessions, opened when needed and lent one at a time."""

    def __init__(self, sessions: _Sessions) -> None:
        self._sessions = sessions

    @classmethod
    async def open(cls, url: str) -> "Pool":
        """Open a first session. Raises what `connect` raises."""
        sessions = asyncpg.create_pool(
            url,
            min_size=1,
            max_size=POOL_CONNECTIONS_MAX,
            connect=cast("Any", connect),
            connection_class=_Session,
            command_timeout=COMMAND_TIMEOUT_S,
            server_settings={"application_name": "phoebe"},
        )
        await sessions
        return cls(sessions)

    async def close(self) -> None:
        """Close all sessions, once they were given back."""
        await self._sessions.close()

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Connection]:
        """Lend a session. Raises DatabaseUnavailableError if there is none, or if it is lost in use.

        What else goes wrong in its use is raised as it is.
        """
        session = await self._lend()
        try:
            yield session
        except TimeoutError as error:
            raise DatabaseUnavailableError("a statement took longer than it may") from error
        except _AMBIGUOUS_ERRORS as error:
            if await _is_lost(session):
                raise DatabaseUnavailableError(f"the session was lost: {_reason(error)}") from error
            raise
        finally:
            await self._take_back(session)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Lend a session in which all statements see the same state and change nothing; see `acquire`."""
        async with (
            self.acquire() as session,
            session.transaction(isolation="repeatable_read", readonly=True),
        ):
            # It keeps nobody waiting, and whoever takes the rows of an export may be slow.
            await session.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            yield session

    async def _lend(self) -> _Lent:
        try:
            return await self._sessions.acquire()
        except asyncpg.InterfaceError as error:
            if self._sessions.is_closing():
                raise DatabaseUnavailableError("this process is stopping") from error
            raise

    async def _take_back(self, session: _Lent) -> None:
        try:
            await self._sessions.release(session)
        except (asyncpg.PostgresError, *_AMBIGUOUS_ERRORS) as error:
            # What was done with it is done; asyncpg has closed it, and opens another one for the next.
            logger.info("a session was lost as it was given back: %s", _reason(error))

    async def execute(self, query: str, *arguments: object) -> str:
        """Execute a statement in a session of its own; see `acquire`."""
        async with self.acquire() as session:
            return await session.execute(query, *arguments)

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Execute a statement in a session of its own and return its rows; see `acquire`."""
        async with self.acquire() as session:
            return await session.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: object) -> asyncpg.Record | None:
        """Execute a statement in a session of its own and return its first row; see `acquire`."""
        async with self.acquire() as session:
            return await session.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: object) -> Any:
        """Execute a statement in a session of its own and return its first value; see `acquire`."""
        async with self.acquire() as session:
            return await session.fetchval(query, *arguments)


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
    """Open a pool of sessions; OperatorError if the database can't be reached with this URL."""
    with explained_connection_errors():
        pool = await Pool.open(url)
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
    except UNAVAILABLE_ERRORS as error:
        raise OperatorError(
            f"the database that DATABASE_URL names can't be used: {_reason(error)}"
        ) from error


async def _is_lost(session: _Lent) -> bool:
    """Tell whether a session was lost, or is alive and was used wrongly."""
    try:
        if session.is_closed():
            return True
    except asyncpg.InterfaceError:
        # asyncpg takes a session away from whoever has it when its connection breaks.
        return True
    try:
        # The server may have said why it goes and not have hung up yet.
        await session.execute("SELECT 1", timeout=PROBE_TIMEOUT_S)
    except (OSError, asyncpg.InternalClientError, asyncpg.PostgresConnectionError):
        return True
    except (asyncpg.InterfaceError, asyncpg.PostgresError):
        return False
    return False


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
