"""Where commands read bills: in the database, or in a standby of it that the options name."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import named_database, open_store
from rater_service.cli.period import explained_read_errors
from rater_service.database.database import (
    UNAVAILABLE_ERRORS,
    Pool,
    explained_connection_errors,
    open_pool,
)
from rater_service.database.freshness import (
    READ_DATABASE_URL,
    Freshness,
    PrimaryMark,
    read_freshness,
    read_mark,
)
from rater_service.database.sessions import connect, reason
from rater_service.database.source import Source
from rater_service.database.standby_conflicts import ATTEMPTS, read_again
from rater_service.errors import OperatorError
from rater_service.views.terminal import complain

ReadDatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--read-database-url",
        envvar=READ_DATABASE_URL,
        metavar="URL",
        show_default=False,
        callback=lambda url: named_database(url, READ_DATABASE_URL, "to read from DATABASE_URL"),
        help="A standby of the database: bills, runs and audits are read from it, also by the console. How "
        "far it is behind is said. Default: the database itself.",
    ),
]


@dataclass(frozen=True, slots=True)
class Databases:
    """What the options say. url: None for the embedded PostgreSQL in data_dir; read_url: None: there is none.

    They may hold passwords.
    """

    url: str | None = field(repr=False)
    read_url: str | None = field(repr=False)
    data_dir: Path


type Reading[Result] = Callable[[Source], Awaitable[Result]]


async def read_bills[Result](
    databases: Databases,
    read: Reading[Result],
    *,
    once: bool = False,
    explained: Callable[[], AbstractContextManager[None]] = explained_read_errors,
) -> tuple[Result, Freshness | None]:
    """Read what a command shows, with how current it is; None: it is of the present.

    once: it can't be read again if a standby cancels it. explained: turns what goes wrong in the database
    into an OperatorError.
    """
    async with _opened(databases) as (pool, primary_url):

        async def attempt() -> tuple[Result, Freshness | None]:
            source = Source(pool, await _freshness(pool, primary_url, is_named=bool(databases.read_url)))
            return await read(source), source.freshness

        with explained():
            return await read_again(attempt, attempts=1 if once else ATTEMPTS)


@asynccontextmanager
async def _opened(databases: Databases) -> AsyncIterator[tuple[Pool, str | None]]:
    """Open what is to be read from, and give the URL of its primary too; None: it was not named."""
    if databases.read_url is None:
        async with open_store(databases.url, databases.data_dir, writes=False) as pool:
            yield pool, None
        return
    from rater_service.database.schema import require_fitting_schema  # noqa: PLC0415 - slow to import

    async with open_pool(
        databases.read_url, writes=False, read_only=True, variable=READ_DATABASE_URL
    ) as pool:
        try:
            await require_fitting_schema(pool)
        except OperatorError as error:
            raise OperatorError(
                f"{READ_DATABASE_URL}: {error}. A standby gets the schema of its primary as it replays"
            ) from error
        yield pool, databases.url or None


async def _freshness(pool: Pool, primary_url: str | None, *, is_named: bool) -> Freshness | None:
    mark = None if primary_url is None else await _mark(primary_url)
    async with pool.acquire() as connection:
        freshness = await read_freshness(connection, mark)
    return freshness if is_named or freshness.is_standby else None


async def _mark(primary_url: str) -> PrimaryMark | None:
    """Ask the primary where it stands. A standby is of use without it, too."""
    with explained_connection_errors():
        try:
            session = await connect(primary_url, writes=False)
            try:
                return await read_mark(session)
            finally:
                await session.close()
        except UNAVAILABLE_ERRORS as error:
            complain(
                "DATABASE_URL can't be asked, so it is not known whether "
                f"{READ_DATABASE_URL} names a standby of it: {reason(error)}"
            )
            return None
