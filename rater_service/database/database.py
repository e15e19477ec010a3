"""Sessions with PostgreSQL, the operator's or an embedded server when none is named.

asyncpg raises the same classes when a session was lost and when it is used wrongly. Here, where the session
is at hand, the two are told apart: a lost one is a DatabaseUnavailableError, and a bug stays what it is.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast

import asyncpg
from asyncpg.pool import PoolConnectionHolder

from rater_service.database import embedded
from rater_service.database.sessions import (
    AMBIGUOUS_ERRORS,
    DATABASE_URL,
    ConfiguredSession,
    Connection,
    DatabaseUnavailableError,
    Lent,
    ReadOnlySession,
    ServerState,
    SessionLostError,
    TakesNoWritesError,
    connect,
    is_distributed,
    read_state,
    reason,
    refuse_shared_sessions,
)
from rater_service.distribution import installed_version
from rater_service.errors import OperatorError

__all__ = [
    "APPLICATION",
    "OPERATOR_ERRORS",
    "UNAVAILABLE_ERRORS",
    "Connection",
    "DatabaseUnavailableError",
    "Pool",
    "explained_connection_errors",
    "open_database",
    "open_pool",
]

logger = logging.getLogger(__name__)

type _Sessions = asyncpg.Pool[asyncpg.Record]

# By this a migration finds services of other versions.
APPLICATION = f"phoebe {installed_version()}"
# A batch of events or a page of rollups needs one connection for milliseconds, a rating run one for longer.
POOL_CONNECTIONS_MAX = 16
# Far beyond what any statement but a rating run's needs; those state their own.
COMMAND_TIMEOUT_S = 60
PROBE_TIMEOUT_S = 5
# Also of a session whose server is gone without a word and can't be told to cancel its statement.
TAKE_BACK_TIMEOUT_S = 10
# A server that does not hang up when it is told goodbye must not keep a process from ending.
CLOSE_TIMEOUT_S = 20

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


# A session that another caller is just being given is not given back to anybody yet.
LOOK_AGAIN_S = 1.0


class Pool:
    """A bounded number of sessions, opened when needed and lent one at a time.

    writes: they are for a server that takes writes, and those that turn out to be of another are dropped.
    """

    def __init__(self, sessions: _Sessions, *, writes: bool) -> None:
        self._sessions = sessions
        self._writes = writes
        self._lent = 0
        self._asking = 0
        self._given_back = asyncio.Event()
        self._said_too_few = False

    @classmethod
    async def open(  # noqa: PLR0913 - what may be chosen of sessions
        cls,
        url: str,
        *,
        writes: bool = True,
        connections_max: int = POOL_CONNECTIONS_MAX,
        command_timeout_s: float = COMMAND_TIMEOUT_S,
        read_only: bool = False,
        variable: str = DATABASE_URL,
    ) -> "Pool":
        """Open a first session. Raises what `connect` raises, and OperatorError where sessions are shared."""
        sessions = asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections_max,
            connect=cast("Any", partial(connect, writes=writes, variable=variable)),
            connection_class=ReadOnlySession if read_only else ConfiguredSession,
            command_timeout=command_timeout_s,
            server_settings={"application_name": APPLICATION},
        )
        await sessions
        pool = cls(sessions, writes=writes)
        try:
            async with pool.acquire() as session:
                await refuse_shared_sessions(url, session, writes=writes)
        except BaseException:
            sessions.terminate()
            raise
        return pool

    async def close(self) -> None:
        """Close all sessions, once they were given back. What takes too long is cut off."""
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._sessions.close()
        except TimeoutError:
            logger.warning("sessions with the database did not end in %d seconds; cut off", CLOSE_TIMEOUT_S)

    @asynccontextmanager
    async def acquire(self, *, changes_session: bool = True) -> AsyncIterator[Lent]:
        """Lend a session. Raises DatabaseUnavailableError if there is none, or if it is lost in use.

        What else goes wrong in its use is raised as it is. changes_session: False for a use that leaves no
        setting, lock or listener behind once its transactions ended.
        """
        session = await self._lend()
        try:
            yield session
            if not changes_session:
                session.leave()  # type: ignore[attr-defined] # a ConfiguredSession
        except TimeoutError as error:
            raise DatabaseUnavailableError("a statement took longer than it may") from error
        except asyncpg.ReadOnlySQLTransactionError as error:
            if not self._writes:
                raise
            await self._drop_all(session)
            raise TakesNoWritesError("the server became a standby, or read-only") from error
        except asyncpg.InternalServerError as error:
            if not is_distributed(session):
                raise
            # Citus has no better code for a worker that went away in the middle of a statement.
            raise DatabaseUnavailableError(f"the distributed database: {reason(error)}") from error
        except AMBIGUOUS_ERRORS as error:
            if await _is_lost(session, error):
                raise SessionLostError(f"the session was lost: {reason(error)}") from error
            raise
        finally:
            await self._take_back(session)

    async def look(self) -> ServerState | None:
        """Ask the server how it stands; None: all sessions are in use, so nothing new is known of it.

        Raises DatabaseUnavailableError, after which no session from before is lent again.
        """
        if self._sessions.get_size() >= self._sessions.get_max_size() and not self._sessions.get_idle_size():
            return None
        async with self.acquire() as session:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    state = await read_state(session)
                if self._writes:
                    state.refuse_read_only()
            except (TimeoutError, TakesNoWritesError):
                await self._drop_all(session)
                raise
        return state

    async def _drop_all(self, session: Lent) -> None:
        """Never lend this session again, and none of those that there are: they go the same way."""
        session.terminate()
        await self._sessions.expire_connections()

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

    async def _lend(self) -> Lent:
        """Lend a session. If the server allows no more of them, wait for one that is lent."""
        until_s = time.monotonic() + COMMAND_TIMEOUT_S
        while True:
            self._given_back.clear()
            self._asking += 1
            try:
                session = await self._sessions.acquire()
            except asyncpg.InterfaceError as error:
                if self._sessions.is_closing():
                    raise DatabaseUnavailableError("this process is stopping") from error
                raise
            except DatabaseUnavailableError as error:
                idle = self._sessions.get_idle_size()
                there_are = self._lent or idle or self._asking > 1
                if not there_are or not _allows_no_more(error) or time.monotonic() > until_s:
                    raise
                self._say_too_few(error)
                self._lend_open_ones_first()
                with suppress(TimeoutError):
                    if not idle:
                        await asyncio.wait_for(self._given_back.wait(), LOOK_AGAIN_S)
            else:
                self._lent += 1
                return session
            finally:
                self._asking -= 1

    def _lend_open_ones_first(self) -> None:
        """Put places without a session behind those with one: asyncpg lends what came last first, and a place
        for which no session could be opened comes last.
        """
        # asyncpg has no public way to its places.
        self._sessions._queue._queue.sort(key=PoolConnectionHolder.is_connected)  # type: ignore[attr-defined]

    def _say_too_few(self, error: DatabaseUnavailableError) -> None:
        if not self._said_too_few:
            self._said_too_few = True
            logger.warning(
                "the database allows no more sessions than there are (%s): calls wait for each other. Allow "
                "more, or set --db-connections to what it allows",
                error,
            )

    async def _take_back(self, session: Lent) -> None:
        self._lent -= 1
        try:
            await self._sessions.release(session, timeout=TAKE_BACK_TIMEOUT_S)
        except (asyncpg.PostgresError, *AMBIGUOUS_ERRORS) as error:
            # What was done with it is done; asyncpg has closed it, and opens another one for the next.
            logger.info("a session was lost as it was given back: %s", reason(error))
        finally:
            self._given_back.set()

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
    async with embedded.server(data_dir) as server:
        logger.info("the database is %s; psql '%s'", server, server.url)
        yield server.url


@asynccontextmanager
async def open_pool(  # noqa: PLR0913 - what may be chosen of sessions
    url: str,
    *,
    writes: bool = True,
    connections_max: int = POOL_CONNECTIONS_MAX,
    command_timeout_s: float = COMMAND_TIMEOUT_S,
    read_only: bool = False,
    variable: str = DATABASE_URL,
) -> AsyncIterator[Pool]:
    """Open a pool of sessions; OperatorError if the database can't be reached with this URL.

    writes: False for what a standby can do too. command_timeout_s: how long a statement may take that does
    not say so itself. read_only: nothing can be changed by these sessions. variable: where the URL comes
    from, for messages.
    """
    with explained_connection_errors(variable):
        pool = await Pool.open(
            url,
            writes=writes,
            connections_max=connections_max,
            command_timeout_s=command_timeout_s,
            read_only=read_only,
            variable=variable,
        )
    try:
        yield pool
    finally:
        await pool.close()


@contextmanager
def explained_connection_errors(variable: str = DATABASE_URL) -> Iterator[None]:
    """Turn errors of connecting into an OperatorError, without the URL: it may hold a password.

    variable: where the URL comes from.
    """
    try:
        yield
    except (ValueError, asyncpg.ClientConfigurationError):
        # The parser's own words may quote a part of the password.
        raise OperatorError(
            f"{variable} is not a PostgreSQL URL; expected postgresql://user:password@host:port/database, "
            "with special characters percent-encoded"
        ) from None
    except UNAVAILABLE_ERRORS as error:
        raise OperatorError(f"the database that {variable} names can't be used: {reason(error)}") from error


def _allows_no_more(error: DatabaseUnavailableError) -> bool:
    """Whether the server, or a limit of the role, allows no more sessions than there are."""
    return isinstance(error.__cause__, asyncpg.TooManyConnectionsError)


async def _is_lost(session: Lent, error: BaseException) -> bool:
    """Tell whether a session was lost, or is alive and was used wrongly. error: what its use has raised."""
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
    except asyncpg.InterfaceError:
        # "Another operation is in progress", which is also said of a session that two use at once.
        return _met_its_end(error)
    except asyncpg.PostgresError:
        return False
    return False


def _met_its_end(error: BaseException | None) -> bool:
    """Tell whether asyncpg began an operation in a session that the server had ended and not hung up yet.

    It then takes the server's last words for an operation that is under way.
    """
    while error is not None:
        if isinstance(error, asyncpg.InternalClientError):
            return True
        error = error.__context__
    return False
