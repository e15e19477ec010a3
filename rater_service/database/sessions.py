"""Sessions with PostgreSQL: opened where they can do what they are for, and set alike for whoever gets them.

asyncpg raises the same classes when a session was lost and when it is used wrongly. `AMBIGUOUS_ERRORS` are
those; `database` tells the two apart, where the session is at hand.
"""

import socket
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, override

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from rater_service.database.addresses import one_by_one
from rater_service.database.url_parameters import parse_url
from rater_service.errors import OperatorError
from rater_service.statements import Bound, Statement, as_distributed, bound

type Session = asyncpg.Connection[asyncpg.Record]
type Lent = PoolConnectionProxy[asyncpg.Record]
type Connection = Session | Lent

CONNECT_TIMEOUT_S = 10
# One of several servers that does not answer must not keep us from the others.
CONNECT_TIMEOUT_OF_SEVERAL_S = 3

# A machine that loses its power says nothing. After half a minute of silence each side asks whether the other
# is there, and after a minute it gives up. The default is two hours, in which a run's lock is held.
KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_COUNT = 3
UNACKNOWLEDGED_MAX_S = 60
# Keepalive does not find a process that is stopped or swapped out, because its kernel still answers. No
# transaction that holds locks pauses this long between two statements.
IDLE_IN_TRANSACTION_MAX_S = 600

# A session whose uses change nothing of it is set anew no more often. To do it takes as long as some
# statements; never to do it would keep from the session what an operator sets meanwhile.
RESET_PERIOD_S = 1.0

# PostgreSQL's own types have the same numbers below this one in all versions; above it even databases differ.
OWN_TYPES_END = 10_000

# Set by statements: poolers refuse to start a session with parameters that they do not know.
SETTINGS = f"""
SET tcp_keepalives_idle = '{KEEPALIVE_IDLE_S}s';
SET tcp_keepalives_interval = '{KEEPALIVE_INTERVAL_S}s';
SET tcp_keepalives_count = {KEEPALIVE_COUNT};
SET tcp_user_timeout = '{UNACKNOWLEDGED_MAX_S}s';
SET idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_MAX_S}s';
-- Compiling plans costs more than these short statements take.
SET jit = off;
-- What is answered for must be on disk. Where more than that is asked for, it stays. It is set in any case:
-- then nobody can switch it off for this session.
SELECT set_config('synchronous_commit', CASE setting WHEN 'off' THEN 'on' ELSE setting END, false)
FROM current_setting('synchronous_commit') AS setting;
"""  # noqa: S608 - of constants
READ_ONLY_SETTINGS = f"{SETTINGS}SET default_transaction_read_only = on;\n"
"""Of sessions that are for reading only: a fault in Phoebe, or a way into it, changes nothing by them."""
DISTRIBUTED_SETTINGS = """
SET citus.max_adaptive_executor_pool_size = 1;
SET citus.override_table_visibility = off;
"""
"""Of sessions with a distributed database. The first: one connection with each node, so that all that a
transaction reads of a node is of one snapshot. What belongs together, a producer's events and sums, is on one
node. The second: else Citus looks up for each row of pg_class that is read whether it is a shard, and what
asyncpg asks of the types of arrays, of which each session meets some, takes seconds instead of milliseconds.
"""
_SOCKET_OPTIONS = {
    "TCP_KEEPIDLE": KEEPALIVE_IDLE_S,
    "TCP_KEEPINTVL": KEEPALIVE_INTERVAL_S,
    "TCP_KEEPCNT": KEEPALIVE_COUNT,
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED_MAX_S * 1000,
}


class DatabaseUnavailableError(Exception):
    """The database can't be reached, a session was lost, or it took too long; trying again may help."""


class SessionLostError(DatabaseUnavailableError):
    """The session ended while it was in use."""


class TakesNoWritesError(DatabaseUnavailableError):
    """The server is a standby, or was told to be read-only; another one may be the primary."""


# What asyncpg raises for a session that was lost, and for wrong use as well.
AMBIGUOUS_ERRORS = (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_SHARED = (
    "between Phoebe and the database is a pooler that gives each transaction another session (PgBouncer's "
    "pool_mode=transaction, or a port for that mode); Phoebe needs sessions of its own: use "
    "pool_mode=session for its database or user, or connect to PostgreSQL itself"
)


@dataclass(frozen=True, slots=True)
class ServerState:
    """What a server says of itself and of a session; pid: of the process that serves it.

    has_citus: the database could be distributed over several servers.
    """

    pid: int
    in_recovery: bool
    read_only: bool
    fsync: bool
    full_page_writes: bool
    has_citus: bool

    def refuse_read_only(self) -> None:
        """Raise TakesNoWritesError for a server that takes no writes."""
        if self.in_recovery:
            raise TakesNoWritesError("the server is a standby and takes no writes")
        if self.read_only:
            raise TakesNoWritesError(
                "the session is read-only (default_transaction_read_only), so it takes no writes"
            )


# By the numbers of types that were asked about: what the server said.
_own_types: dict[frozenset[int], Any] = {}
# Stands for the statement of a question. One with a name left alone what was prepared without one.
_NOT_ASKED = SimpleNamespace(name="not asked")


class ConfiguredSession(asyncpg.Connection):
    """A session that has our settings for whoever gets it, and sends statements in the form that its
    database takes.

    distributed: whether that is the form for one whose events are distributed over several servers.
    """

    settings = SETTINGS
    distributed = False
    _is_as_it_was = False
    _reset_at_s = float("-inf")

    def leave(self) -> None:
        """Say of a use that ends that it changed nothing of the session: it is hardly ever set anew then."""
        self._is_as_it_was = True

    @override
    def get_reset_query(self) -> str:
        is_as_it_was, self._is_as_it_was = self._is_as_it_was, False
        now_s = time.monotonic()
        if is_as_it_was and now_s - self._reset_at_s < RESET_PERIOD_S:
            return ""
        self._reset_at_s = now_s
        more = DISTRIBUTED_SETTINGS if self.distributed else ""
        return super().get_reset_query() + self.settings + more

    def _form(self, query: str, arguments: tuple[object, ...]) -> Bound:
        return as_distributed(query, arguments) if self.distributed else (query, *arguments)

    # No public name of asyncpg's: should it be called otherwise, every session asks again, as it did before.
    async def _introspect_types(self, typeoids: Collection[int], *options: Any) -> Any:
        """Ask about types that asyncpg does not know, as arrays; about PostgreSQL's own once in a process.

        Each session asks before it sends its first statement with one of them, and the server takes longer
        to plan that question than it does for most statements.
        """
        asked = frozenset(typeoids)
        if asked in _own_types:
            return _own_types[asked], _NOT_ASKED
        told, question = await super()._introspect_types(typeoids, *options)  # type: ignore[misc]
        if max(asked) < OWN_TYPES_END:
            _own_types[asked] = told
        return told, question

    @override
    async def execute(self, query: str, *args: object, **options: Any) -> Any:
        return await super().execute(*self._form(query, args), **options)

    @override
    async def fetch(self, query: str, *args: object, **options: Any) -> Any:
        return await super().fetch(*self._form(query, args), **options)

    @override
    async def fetchrow(self, query: str, *args: object, **options: Any) -> Any:
        return await super().fetchrow(*self._form(query, args), **options)

    @override
    async def fetchval(self, query: str, *args: object, **options: Any) -> Any:
        return await super().fetchval(*self._form(query, args), **options)

    @override
    def cursor(self, query: str, *args: object, **options: Any) -> Any:
        return super().cursor(*self._form(query, args), **options)


class ReadOnlySession(ConfiguredSession):
    """A session in which nothing can be changed."""

    settings = READ_ONLY_SETTINGS


DATABASE_URL = "DATABASE_URL"


async def connect(
    url: str,
    *,
    writes: bool = True,
    variable: str = DATABASE_URL,
    connection_class: type[ConfiguredSession] = ConfiguredSession,
    **options: Any,
) -> Session:
    """Open a session with the database, on the first of the URL's servers that will do.

    writes: only on one that takes writes, whatever the URL says of target_session_attrs. variable: where the
    URL comes from, for messages. Raises DatabaseUnavailableError, and ClientConfigurationError for what is no
    URL.
    """
    parsed = parse_url(url, variable)
    servers = one_by_one(parsed.url) if writes else (parsed.url,)
    timeout_s = parsed.connect_timeout_s
    if timeout_s is None:
        timeout_s = CONNECT_TIMEOUT_S if len(servers) == 1 else CONNECT_TIMEOUT_OF_SEVERAL_S
    options.setdefault("timeout", timeout_s or None)
    options["connection_class"] = connection_class
    if writes:
        # Asked by a statement: a pooler passes on what some server said of itself when the pooler met it.
        options["target_session_attrs"] = "any"
    failures: list[str] = []
    for server in servers:
        try:
            session = await _connect(server, writes, options)
        except DatabaseUnavailableError as error:
            if len(servers) == 1:
                raise
            failures.append(f"server {len(failures) + 1}: {error}")
        else:
            _keep_alive(session, parsed.socket_options)
            return session
    raise DatabaseUnavailableError(f"none of the {len(servers)} servers can be used: {'; '.join(failures)}")


async def _connect(url: str, writes: bool, options: dict[str, Any]) -> Session:
    try:
        session: ConfiguredSession = await asyncpg.connect(url, **options)
        try:
            await session.execute(options["connection_class"].settings)
            state = await read_state(session)
            if writes:
                state.refuse_read_only()
            if state.has_citus and await session.fetchval(*bound("database/is_distributed")):
                session.distributed = True
                await session.execute(DISTRIBUTED_SETTINGS)
        except BaseException:
            session.terminate()
            raise
    except asyncpg.ClientConfigurationError:
        raise
    # A pooler gave the next statement another session than the one that was prepared.
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError) as error:
        raise OperatorError(_SHARED) from error
    # Whatever else it is, a wrong password too: what was to be done is right, and an operator can mend it.
    except (asyncpg.PostgresError, *AMBIGUOUS_ERRORS) as error:
        raise DatabaseUnavailableError(reason(error)) from error
    return session


def is_distributed(session: Connection) -> bool:
    """Tell whether a session is with a database whose events are distributed over several servers."""
    return bool(getattr(session, "distributed", False))


async def execute_all(session: Connection, commands: Statement) -> None:
    """Execute the commands of a file that has several, and no arguments."""
    if not is_distributed(session):
        await session.execute(commands.text)
        return
    # With one of several commands Citus sends its workers the text of all.
    text, *_ = as_distributed(commands.text, ())
    for command in filter(str.strip, text.split(";\n")):
        await session.execute(command)


def _keep_alive(session: Session, given: Mapping[str, int]) -> None:
    """Notice also on our side when the other machine is gone.

    given: what the URL says of it; 0: as the machine has it.
    """
    # asyncpg has no public way to its socket.
    line: socket.socket = session._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    if line.family == socket.AF_UNIX:
        return
    options = {**_SOCKET_OPTIONS, **given}
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, options.pop("SO_KEEPALIVE", 1))
    for name, value in options.items():
        if value and hasattr(socket, name):
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


async def read_state(connection: Connection) -> ServerState:
    """Ask a server how it stands; outside of a transaction."""
    row = await connection.fetchrow(*bound("database/server_state"))
    assert row is not None
    return ServerState(**row)


async def refuse_shared_sessions(url: str, first: Connection, *, writes: bool = True) -> None:
    """Raise OperatorError if a pooler lends one session of the database to several of us.

    Locks and settings of a session then are somebody else's too. first: one of our sessions.
    """
    try:
        if await _pid(first) == first.get_server_pid():
            return  # no pooler: one that is in between makes up the number that it tells at the start
        second = await connect(url, writes=writes)
        try:
            if await _is_shared(first, second):
                raise OperatorError(_SHARED)
        finally:
            await second.close()
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError) as error:
        raise OperatorError(_SHARED) from error


async def _is_shared(first: Connection, second: Connection) -> bool:
    """Use two sessions in turns: in whatever order a pooler lends, what is shared changes or serves both."""
    turns: Sequence[Connection] = (first, first, second, first, second, second)
    seen: dict[int, set[int]] = {id(first): set(), id(second): set()}
    for session in turns:
        seen[id(session)].add(await _pid(session))
    pids = [pid for of_one in seen.values() for pid in of_one]
    return len(pids) != len(seen) or len(set(pids)) != len(pids)


async def _pid(session: Connection) -> int:
    return (await read_state(session)).pid


def reason(error: Exception) -> str:
    """Say in a few words what went wrong."""
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return f"{error}; docs/roles.md says which role may do what"
    if isinstance(error, asyncpg.DiskFullError):
        return f"{error}; that is the disk of the PostgreSQL server, not the rater's"
    return str(error) or type(error).__name__
