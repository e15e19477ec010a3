"""Brings the database schema up to date, and checks that a program can work with it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

import asyncpg
import sqlalchemy
import tenacity
from alembic import command
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from rater_service.database.database import (
    Connection,
    Pool,
    explained_connection_errors,
)
from rater_service.database.lock_watch import LockWatch, named
from rater_service.database.numbers import set_numbers_right
from rater_service.database.other_versions import wait_for_other_versions
from rater_service.database.plan import PlannedRevision, plan_revisions
from rater_service.database.revisions import (
    Extent,
    Phase,
    Prepare,
    Revision,
    Revisions,
    Schema,
    alembic_config,
    load_revisions,
)
from rater_service.database.server_facts import read_server_facts
from rater_service.database.sessions import Session, connect, refuse_shared_sessions
from rater_service.errors import OperatorError
from rater_service.statements import bound

logger = logging.getLogger(__name__)

POSTGRES_VERSION_MIN = 15
# Any number, as long as every Phoebe takes the same: it makes migrations that start together take turns.
MIGRATION_LOCK = 7_463_310_582_116
# Whoever reads or writes the table waits behind a migration that waits for it: less than a second.
LOCK_TIMEOUT = timedelta(milliseconds=500)
STATEMENT_TIMEOUT = timedelta(minutes=10)
# Seconds in which the readers and writers that queue up behind a migration can go on.
PAUSE_MAX_S = 10
TURN_ASKED_EVERY_S = 0.2

_LOCK_FAILURES = {"55P03", "40P01"}  # lock_not_available, deadlock_detected
_QUERY_CANCELED = "57014"
_INSUFFICIENT_PRIVILEGE = "42501"

type Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MigrationSettings:
    """How to migrate.

    extent: how far. wait_for_others: how long to wait, before a revision that contracts, until no service of
    another version has a session with the database; None: it is not looked for. lock_timeout: how long to
    wait for a table's lock. A migration that waits for one makes all later readers and writers of the table
    wait behind it, so it gives up soon, pauses, and tries again, lock_attempts times in all.
    statement_timeout: how long a single statement may take that holds locks; what is done before a revision's
    transaction has no limit. All more than nothing.
    """

    extent: Extent = Extent.ALL
    wait_for_others: timedelta | None = None
    lock_timeout: timedelta = LOCK_TIMEOUT
    lock_attempts: int = 40
    statement_timeout: timedelta = STATEMENT_TIMEOUT


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """The revision before (None: an empty database) and after; equal when there was nothing to do.

    left: what the program has and the database does not, because not all was asked for.
    """

    before: str | None
    after: str
    left: tuple[Revision, ...] = ()

    @property
    def can_serve(self) -> bool:
        """Tell whether the program can work with the schema: what is left only takes away."""
        return all(revision.phase is Phase.CONTRACT for revision in self.left)


async def migrate(
    url: str,
    settings: MigrationSettings = MigrationSettings(),
    *,
    revisions: Revisions | None = None,
    tell: Tell = logger.info,
) -> MigrationResult:
    """Bring the schema up to date, each revision in a transaction of its own.

    Safe to call from several processes at once. A revision that fails changes nothing, and those before it
    stay. Numbers of rows that are behind, as after a replication, are set right. revisions: None: the
    program's own. tell: called with what is being done. Raises OperatorError when the database can't be
    reached, is older than PostgreSQL 15 or was migrated by a later version with which this one can't work;
    when a lock can't be had, a statement takes too long, or the role may not do it.
    """
    revisions = revisions or known_revisions()
    before: Schema | None = None
    async with _sessions(url) as sessions:
        watch = LockWatch(sessions.watching, tell)
        while True:
            await _wait_for_others(sessions.watching, revisions, settings, tell)
            found, applied = await _next_step(sessions, watch, revisions, settings, tell)
            before = before or found
            if applied is None:
                assert found.current is not None
                if behind := await set_numbers_right(sessions.watching):
                    tell(f"the numbers of new rows go on behind those that are there: {', '.join(behind)}")
                return MigrationResult(before.current, found.current, revisions.pending(found))


async def plan_migration(url: str, extent: Extent = Extent.ALL) -> tuple[Schema, list[PlannedRevision]]:
    """Find out what `migrate` would do, and change nothing. Gives the schema now, and what is to come.

    Raises OperatorError as `migrate` does for a database that it would refuse.
    """
    revisions = known_revisions()
    with explained_connection_errors():
        session = await connect(url)
    try:
        schema = await _read_schema(session)
        revisions.refuse_newer(schema)
        return schema, await plan_revisions(session, revisions.due(schema, extent))
    finally:
        await session.close()


async def require_fitting_schema(pool: Pool, revisions: Revisions | None = None) -> None:
    """Raise OperatorError unless this program can work with the schema.

    That is one with all that the program needs. It may be newer, as long as it was only expanded since; so
    services of two versions work side by side while one replaces the other.
    """
    revisions = revisions or known_revisions()
    async with pool.acquire() as connection:
        schema = await read_fitting_schema(connection, revisions)
    if revisions.is_newer(schema):
        logger.info("the database schema, %s, is of a later version; it is only expanded", schema.current)


async def read_fitting_schema(connection: Connection, revisions: Revisions) -> Schema:
    """Read what the schema is. Raises OperatorError if a program of these revisions can't work with it."""
    schema = await _read_schema(connection)
    revisions.refuse_newer(schema)
    revisions.refuse_older(schema)
    return schema


@cache
def known_revisions() -> Revisions:
    """Return the revisions that this program was written for."""
    return load_revisions()


@dataclass(frozen=True, slots=True)
class _Sessions:
    """The sessions of a migration.

    migrating: for the transactions of revisions; preparing: for what is done before them; watching: to look
    who is in the way.
    """

    migrating: AsyncConnection
    preparing: Session
    watching: Session


@asynccontextmanager
async def _sessions(url: str) -> AsyncIterator[_Sessions]:
    async def open_session() -> Session:
        with explained_connection_errors():
            return await connect(url)

    @asynccontextmanager
    async def session() -> AsyncIterator[Session]:
        opened = await open_session()
        try:
            yield opened
        finally:
            await opened.close()

    async with session() as watching:
        await refuse_shared_sessions(url, watching)
        engine = create_async_engine("postgresql+asyncpg://", async_creator=open_session, poolclass=NullPool)
        async with engine.connect() as migrating, session() as preparing:
            await _refuse_old_server(migrating)
            yield _Sessions(migrating, preparing, watching)


async def _refuse_old_server(connection: AsyncConnection) -> None:
    async with connection.begin():
        version = int((await connection.exec_driver_sql("SHOW server_version_num")).scalar_one())
    if version // 10_000 < POSTGRES_VERSION_MIN:
        raise OperatorError(
            f"the server is PostgreSQL {version // 10_000}; {POSTGRES_VERSION_MIN} or newer is needed"
        )


async def _wait_for_others(
    session: Session, revisions: Revisions, settings: MigrationSettings, tell: Tell
) -> None:
    """Before a revision that contracts, wait until services of other versions have gone, as long as they may.

    Outside of the turn: it may take as long as a rollout.
    """
    if settings.wait_for_others is None:
        return
    due = revisions.due(await _read_schema(session), settings.extent)
    if not due or due[0].phase is Phase.EXPAND:
        return
    await wait_for_other_versions(session, settings.wait_for_others, tell)


async def _next_step(
    sessions: _Sessions,
    watch: LockWatch,
    revisions: Revisions,
    settings: MigrationSettings,
    tell: Tell,
) -> tuple[Schema, Revision | None]:
    """Apply one more revision, with patience. Returns the schema before it; None: there was none to apply."""

    def say_pause(state: tenacity.RetryCallState) -> None:
        assert state.next_action is not None
        tell(
            f"no lock within {settings.lock_timeout.total_seconds():g} s; once more in "
            f"{state.next_action.sleep:.1f} s ({state.attempt_number + 1} of {settings.lock_attempts})"
        )

    try:
        async for attempt in tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(lambda error: _sqlstate(error) in _LOCK_FAILURES),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=PAUSE_MAX_S),
            stop=tenacity.stop_after_attempt(settings.lock_attempts),
            before_sleep=say_pause,
            reraise=True,
        ):
            with attempt:
                return await _step(sessions, watch, revisions, settings, tell)
    except (sqlalchemy.exc.DBAPIError, asyncpg.PostgresError) as error:
        if explained := _explain(error, watch, settings):
            raise explained from error
        raise
    raise AssertionError("the last attempt returns or raises")


async def _step(
    sessions: _Sessions,
    watch: LockWatch,
    revisions: Revisions,
    settings: MigrationSettings,
    tell: Tell,
) -> tuple[Schema, Revision | None]:
    connection = sessions.migrating
    async with _turn(connection, tell) as (pid, schema):
        revisions.refuse_newer(schema)
        due = revisions.due(schema, settings.extent)
        if not due:
            return schema, None
        revision = due[0]
        tell(f"{revision.id} ({revision.phase}): {revision.title}")
        (planned,) = await plan_revisions(sessions.watching, [revision])
        tell(f"{revision.id} {planned.describe()}")
        if revision.prepare is not None:
            await _prepare(revision.prepare, sessions.preparing, watch, settings, tell)
        async with watch.over(pid):
            await _set(connection, "lock_timeout", _milliseconds(settings.lock_timeout))
            await _set(connection, "statement_timeout", _milliseconds(settings.statement_timeout))
            await connection.run_sync(_apply, revisions, revision)
    return schema, revision


@asynccontextmanager
async def _turn(connection: AsyncConnection, tell: Tell) -> AsyncIterator[tuple[int, Schema]]:
    """Wait for the turn, which may take as long as another's revision, and have it within a transaction.

    Gives the number of the session, and how the schema is then. It is asked for again and again, each time in
    a transaction of its own: an index that the other migration makes waits for the end of each transaction
    that has, or once had, a snapshot. Only a lock that ends with its transaction is safe where a pooler gives
    each transaction another session.
    """
    is_told = False
    while True:
        async with connection.begin():
            if await _has_turn(connection):
                yield await _begin_turn(connection)
                return
        if not is_told:
            tell("another migration is under way; waiting for its end")
            is_told = True
        await asyncio.sleep(TURN_ASKED_EVERY_S)


async def _has_turn(connection: AsyncConnection) -> bool:
    """Take the turn until the end of the transaction, unless another migration has it."""
    taking = await connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({MIGRATION_LOCK})")
    return bool(taking.scalar_one())


async def _begin_turn(connection: AsyncConnection) -> tuple[int, Schema]:
    await _set(connection, "application_name", "phoebe migrate")
    # What is prepared meanwhile in another session may take hours.
    await _set(connection, "idle_in_transaction_session_timeout", "0")
    pid: int = (await connection.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    schema = await _read_schema(driver)
    if schema.current is None:
        (await read_server_facts(driver)).refuse_encoding()
    await _end_snapshot(driver)
    return pid, schema


async def _end_snapshot(session: Session) -> None:
    """Let go of the snapshot that a statement keeps until the next one; an index would wait for it."""
    await session.execute("SELECT")


async def _prepare(
    prepare: Prepare, session: Session, watch: LockWatch, settings: MigrationSettings, tell: Tell
) -> None:
    """Do what a revision does before its transaction; each of its statements is a transaction of its own."""
    async with watch.over(await session.fetchval("SELECT pg_backend_pid()")):
        await session.execute(
            "SELECT set_config('application_name', 'phoebe migrate', false),"
            " set_config('statement_timeout', '0', false), set_config('lock_timeout', $1, false)",
            _milliseconds(settings.lock_timeout),
        )
        await prepare(session, tell)


async def _set(connection: AsyncConnection, name: str, value: str) -> None:
    """Set a parameter until the end of the transaction."""
    await connection.exec_driver_sql("SELECT set_config($1, $2, true)", (name, value))


def _apply(connection: sqlalchemy.Connection, revisions: Revisions, revision: Revision) -> None:
    config = alembic_config(revisions.folders)
    config.attributes["connection"] = connection
    command.upgrade(config, revision.id)


async def _read_schema(connection: Connection) -> Schema:
    has_version, has_phases = await connection.fetchrow(  # type: ignore[misc] # it has one row
        "SELECT to_regclass('alembic_version') IS NOT NULL, to_regclass('schema_revision') IS NOT NULL"
    )
    current = await connection.fetchval("SELECT version_num FROM alembic_version") if has_version else None
    rows = await connection.fetch(*bound("database/applied_revisions")) if has_phases else []
    return Schema(current, tuple(Revision(row["id"], Phase(row["phase"])) for row in rows))


def _explain(error: Exception, watch: LockWatch, settings: MigrationSettings) -> OperatorError | None:
    """Say what an expected failure means and what to do; None for one that is a bug."""
    state = _sqlstate(error)
    if state in _LOCK_FAILURES:
        holders = named(watch.found) or "somebody who could not be seen"
        waited_s = settings.lock_timeout.total_seconds()
        return OperatorError(
            f"a lock that the migration needs is held by {holders}; nothing of this revision was changed. "
            "Wait until they are done or end them (SELECT pg_terminate_backend(PID)), then run `phoebe "
            f"migrate` again; with a longer --lock-timeout, now {waited_s:g} s, it waits longer"
        )
    if state == _QUERY_CANCELED:
        limit_s = settings.statement_timeout.total_seconds()
        return OperatorError(
            "a statement of the migration was cancelled: it took longer than --statement-timeout, "
            f"{limit_s:g} s, or somebody cancelled it. Nothing of this revision was changed; run `phoebe "
            "migrate` again, with more time"
        )
    if state == _INSUFFICIENT_PRIVILEGE:
        return OperatorError(
            f"this role may not change the schema ({_message(error)}): run `phoebe migrate` as the owner of "
            "the database and of its tables"
        )
    return None


def _sqlstate(error: BaseException) -> str | None:
    """Return what PostgreSQL calls an error, whether SQLAlchemy has wrapped it or not."""
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return getattr(cause, "sqlstate", None)


def _message(error: Exception) -> str:
    cause = error.orig.__cause__ if isinstance(error, sqlalchemy.exc.DBAPIError) and error.orig else error
    return str(cause)


def _milliseconds(duration: timedelta) -> str:
    return str(round(duration.total_seconds() * 1000))
