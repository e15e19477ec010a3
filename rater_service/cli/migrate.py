"""The command that brings the schema up to date."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    duration_option,
    moment_option,
)
from rater_service.database.database import Pool, open_database, open_pool
from rater_service.database.installation import Installation, read_installation
from rater_service.errors import OperatorError
from rater_service.process_owner import user_name
from rater_service.views.documents import write_json
from rater_service.views.migration import (
    MIGRATION,
    MIGRATION_PLAN,
    migration_json,
    plan_json,
    show_migration,
    show_plan,
)
from rater_service.views.terminal import told_progress, write

if TYPE_CHECKING:
    from rater_service.database.plan import PlannedRevision
    from rater_service.database.revisions import Extent, Schema
    from rater_service.database.schema import MigrationResult, MigrationSettings


@dataclass(frozen=True, slots=True)
class _Migrated:
    """What was done, how wide new partitions are, and which installation the database is.

    distributed: whether events and sums were distributed just now.
    """

    schema: "MigrationResult"
    partitions_made: tuple[str, ...]
    partition_width: str | None
    installation: Installation
    distributed: bool


class _Widths(StrEnum):
    WEEK = "week"
    DAY = "day"


class _Phases(StrEnum):
    ALL = "all"
    EXPAND = "expand"
    NEEDED = "needed"


@dataclass(frozen=True, slots=True)
class _Partitions:
    """Which partitions to make: how wide from now on (None: as it is), and since when."""

    width: _Widths | None
    since: datetime | None


def migrate(  # noqa: PLR0913, PLR0917 - one parameter per option
    phase: Annotated[
        _Phases,
        typer.Option(
            help="`expand`: stop before the first revision with which the running version can't work; "
            "then replace the services, and migrate `all`. `needed`: as `expand`, and further where services "
            "of this version could not start else: from an empty database, or where a release was skipped."
        ),
    ] = _Phases.ALL,
    lock_timeout: Annotated[
        timedelta | None,
        duration_option(
            "--lock-timeout",
            "PHOEBE_MIGRATE_LOCK_TIMEOUT",
            "500ms",
            "How long to wait for a table's lock before others may go on; then it is tried again.",
        ),
    ] = None,
    statement_timeout: Annotated[
        timedelta | None,
        duration_option(
            "--statement-timeout",
            "PHOEBE_MIGRATE_STATEMENT_TIMEOUT",
            "10m",
            "How long a single statement may take that holds locks.",
        ),
    ] = None,
    wait_for_others: Annotated[
        timedelta | None,
        duration_option(
            "--wait-for-others",
            None,
            "do not wait",
            "How long to wait, before a revision with which other versions can't work, until none of them "
            "has a session with the database any more.",
        ),
    ] = None,
    partitions_since: Annotated[
        datetime | None,
        moment_option(
            "--partitions-since",
            "Also make the partitions of all weeks from this time on, for events that a restore brings.",
        ),
    ] = None,
    partitions: Annotated[
        _Widths | None,
        typer.Option(
            help="Make new partitions of events by the `day` or by the `week`, from now on, whoever makes "
            "them. Those that are there stay; the new width begins where they end. Default: as it is; at "
            "first by week.",
            show_default=False,
        ),
    ] = None,
    citus: Annotated[
        bool,
        typer.Option(
            "--citus",
            help="Also distribute events and sums over the workers of a Citus cluster, whose coordinator "
            "this server is. Stop the services before; all events are copied.",
        ),
    ] = False,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Show what would be done, which tables it locks and about for how long, and do nothing.",
        ),
    ] = False,
    database_url: DatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Bring the database schema up to date. Safe to run at any time, and on several machines at once.

    Each revision is applied whole or not at all. Also makes the partitions of coming weeks, as `phoebe serve`
    does where it may.

    Exit codes: 0 the schema is up to date, as far as it was asked for, or was only looked at; 1 failure.
    """
    from rater_service.database.revisions import Extent  # noqa: PLC0415 - slow to import
    from rater_service.database.schema import LOCK_TIMEOUT, STATEMENT_TIMEOUT, MigrationSettings  # noqa: PLC0415 - slow to import

    extent = Extent(phase.value)
    if plan:
        if citus or partitions is not None:
            raise OperatorError(
                "--plan tells of revisions only: leave out --citus and --partitions, of which it says nothing"
            )
        found = asyncio.run(_plan(database_url or None, data, extent))
        if as_json:
            write_json(MIGRATION_PLAN, plan_json(*found))
        else:
            show_plan(*found)
        return
    settings = MigrationSettings(
        extent=extent,
        wait_for_others=wait_for_others,
        lock_timeout=lock_timeout or LOCK_TIMEOUT,
        statement_timeout=statement_timeout or STATEMENT_TIMEOUT,
    )
    with told_progress("migrating") as tell:
        done = asyncio.run(
            _migrate(
                database_url or None,
                data,
                settings,
                _Partitions(partitions, partitions_since),
                tell,
                citus=citus,
            )
        )
    if as_json:
        write_json(
            MIGRATION,
            migration_json(
                done.schema,
                done.partitions_made,
                done.partition_width,
                done.installation,
                distributed=done.distributed,
            ),
        )
        return
    show_migration(done.schema, done.partitions_made, done.partition_width, done.installation)
    if done.distributed:
        write("events and sums are distributed over the workers; start the services now")
    elif citus:
        write("events and sums were distributed before; nothing was done")


async def _plan(
    database_url: str | None, data_dir: Path, extent: "Extent"
) -> "tuple[Schema, list[PlannedRevision]]":
    from rater_service.database.schema import plan_migration  # noqa: PLC0415 - slow to import

    async with open_database(database_url, data_dir) as url:
        return await plan_migration(url, extent)


async def _migrate(  # noqa: PLR0913 - one for each thing that is asked for
    database_url: str | None,
    data_dir: Path,
    settings: "MigrationSettings",
    partitions: _Partitions,
    tell: Callable[[str], None],
    *,
    citus: bool,
) -> "_Migrated":
    from rater_service.database.schema import migrate as run  # noqa: PLC0415 - slow to import
    from rater_service.events.partitions import try_to_make_partitions  # noqa: PLC0415 - slow to import

    async with open_database(database_url, data_dir) as url:
        result = await run(url, settings, tell=tell)
        if citus and result.left:
            raise OperatorError("--citus needs the whole schema: migrate `all` with it, not `expand`")
        distributed = citus and await _distribute(url, tell)
        async with open_pool(url) as pool:
            if not result.can_serve:
                # Tables that this version needs for that may not be there yet.
                if partitions.width is not None or partitions.since is not None:
                    raise OperatorError("partitions can be made once the rest is migrated: `phoebe migrate`")
                return _Migrated(result, (), None, await read_installation(pool), distributed)
            if partitions.width is not None:
                await _set_width(pool, partitions.width)
            made = await try_to_make_partitions(pool, datetime.now(UTC), partitions.since)
            width = await _read_width(pool)
            return _Migrated(result, made.made, width, await read_installation(pool), distributed)


async def _set_width(pool: Pool, wanted: _Widths) -> None:
    from rater_service.events.partitions import Width, set_width  # noqa: PLC0415 - slow to import

    async with pool.acquire() as connection:
        await set_width(connection, Width(wanted.value), user_name())


async def _read_width(pool: Pool) -> str:
    from rater_service.events.partitions import read_width  # noqa: PLC0415 - slow to import

    async with pool.acquire() as connection:
        return await read_width(connection)


async def _distribute(url: str, tell: Callable[[str], None]) -> bool:
    from rater_service.distributed.distribute import distribute  # noqa: PLC0415 - slow to import

    async with open_pool(url) as pool:
        return await distribute(pool, tell)
