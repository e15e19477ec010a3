"""Brings the database schema up to date, and checks that it is."""

from dataclasses import dataclass
from importlib import import_module

import asyncpg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from rater_service.database.database import CONNECT_TIMEOUT_S, Connection, Pool, explained_connection_errors
from rater_service.errors import OperatorError

POSTGRES_VERSION_MIN = 15
# Any number, as long as every Phoebe takes the same: it makes migrations that start together take turns.
MIGRATION_LOCK = 7_463_310_582_116
# A migration that waits for a table lock makes all later readers of the table wait behind it.
LOCK_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 600_000


@dataclass(frozen=True, slots=True)
class MigrationResult:
    """The revision before (None: an empty database) and after; equal when there was nothing to do."""

    before: str | None
    after: str


async def migrate(url: str) -> MigrationResult:
    """Bring the schema up to date, in one transaction; safe to call from several processes at once.

    Raises OperatorError when the database can't be reached, is older than PostgreSQL 15, or was migrated by a
    newer program.
    """

    async def connect() -> Connection:
        with explained_connection_errors():
            return await asyncpg.connect(url, timeout=CONNECT_TIMEOUT_S)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    async with engine.begin() as connection:
        return await connection.run_sync(_migrate)


async def require_current_schema(pool: Pool) -> None:
    """Raise OperatorError unless the schema is the one this program was written for."""
    try:
        found = await pool.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        found = None
    if found == _head():
        return
    _refuse_unknown(found)
    raise OperatorError(
        f"the database schema is {found or 'empty'}, this program needs {_head()}; run `phoebe migrate`"
    )


def _migrate(connection: sqlalchemy.Connection) -> MigrationResult:
    _refuse_old_server(connection)
    # First the turn, which may take as long as another's migration, then the short limits for what follows.
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {STATEMENT_TIMEOUT_MS}")
    before = MigrationContext.configure(connection).get_current_revision()
    _refuse_unknown(before)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    return MigrationResult(before, _head())


def _refuse_old_server(connection: sqlalchemy.Connection) -> None:
    version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
    if version // 10_000 < POSTGRES_VERSION_MIN:
        raise OperatorError(
            f"the server is PostgreSQL {version // 10_000}; {POSTGRES_VERSION_MIN} or newer is needed"
        )


def _refuse_unknown(revision: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is not None and revision not in known:
        raise OperatorError(
            f"the database schema is {revision}, which this program does not know; use a newer Phoebe"
        )


def _head() -> str:
    head = _scripts().get_current_head()
    assert head is not None
    return head


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    location = import_module("rater_service.migrations").__path__[0]
    config.set_main_option("script_location", location.replace("%", "%%"))
    return config
