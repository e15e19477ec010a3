"""How it is shown what a migration did."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict
from uuid import UUID

from phoebe_runtime.counts import noun
from rater_service.views.documents import Kind
from rater_service.views.terminal import write

if TYPE_CHECKING:
    from rater_service.database.installation import Installation
    from rater_service.database.plan import PlannedRevision
    from rater_service.database.revisions import Schema
    from rater_service.database.schema import MigrationResult  # slow to import

MEBIBYTE = 1024 * 1024


class RevisionJson(TypedDict):
    """A revision of the schema."""

    id: str
    phase: str
    title: str


class MigrationJson(TypedDict):
    """What was migrated: the schema's last revision before and after. before: null: it was empty.

    left: revisions that wait until no earlier version runs. partition_width: `week` or `day`, of partitions
    that are made from now on; null: this version can't make any before the rest is migrated. installation:
    the id of the database's. distributed: whether events and sums were distributed over a cluster just now.
    """

    before: str | None
    after: str
    left: Sequence[RevisionJson]
    partitions_made: Sequence[str]
    partition_width: str | None
    installation: UUID
    distributed: bool


MIGRATION = Kind("migration", MigrationJson)


class LockJson(TypedDict):
    """A lock that a revision will take. rows, size_bytes: of the table, about.

    is_read: all of its rows are read while the lock is held.
    """

    table: str
    lock: str
    rows: int
    size_bytes: int
    is_read: bool


class PlannedRevisionJson(TypedDict):
    """A revision that is to come. locked_s: how long its locks are held, about.

    prepared_s: how long it works before, in steps that nobody waits for, about; null: it does not.
    """

    id: str
    phase: str
    title: str
    locks: Sequence[LockJson]
    locked_s: float
    prepared_s: float | None


class MigrationPlanJson(TypedDict):
    """What a migration would do. before: the schema's last revision; null: the database is empty."""

    before: str | None
    revisions: Sequence[PlannedRevisionJson]


MIGRATION_PLAN = Kind("migration-plan", MigrationPlanJson)


def plan_json(schema: "Schema", coming: "Sequence[PlannedRevision]") -> MigrationPlanJson:
    """Return what is written of a plan as JSON."""
    return {
        "before": schema.current,
        "revisions": [
            {
                "id": each.revision.id,
                "phase": each.revision.phase,
                "title": each.revision.title,
                "locks": [
                    {
                        "table": lock.table,
                        "lock": lock.lock,
                        "rows": lock.rows,
                        "size_bytes": lock.size_bytes,
                        "is_read": lock.is_read,
                    }
                    for lock in each.locks
                ],
                "locked_s": each.locked.total_seconds(),
                "prepared_s": None if each.prepared is None else each.prepared.total_seconds(),
            }
            for each in coming
        ],
    }


def show_plan(schema: "Schema", coming: "Sequence[PlannedRevision]") -> None:
    """Say what a migration would do."""
    if not coming:
        write(f"the schema is up to date: {schema.current}")
        return
    write(f"the schema is {schema.current or 'empty'}; to come:")
    for each in coming:
        write(f"{each.revision.id} ({each.revision.phase}): {each.revision.title}")
        write(f"    {each.describe()}")
        for lock in each.locks:
            rows = f"about {lock.rows:,} {noun(lock.rows, 'row')}"
            size = f"{rows}, {lock.size_bytes / MEBIBYTE:,.1f} MiB with its indexes"
            write(f"    {lock.table} has {size}")
    write("A lock that can't be had within --lock-timeout is given up, and asked for again after a pause.")


def migration_json(
    result: "MigrationResult",
    made: tuple[str, ...],
    width: str | None,
    installation: "Installation",
    *,
    distributed: bool,
) -> MigrationJson:
    """Return what is written of a migration as JSON."""
    return {
        "before": result.before,
        "after": result.after,
        "left": [{"id": each.id, "phase": each.phase, "title": each.title} for each in result.left],
        "partitions_made": made,
        "partition_width": width,
        "installation": installation.id,
        "distributed": distributed,
    }


def show_migration(
    result: "MigrationResult", made: tuple[str, ...], width: str | None, installation: "Installation"
) -> None:
    """Say what was migrated, what is left to do, which partitions were made, and which installation it is."""
    if result.before == result.after:
        write(f"the schema was up to date: {result.after}")
    else:
        write(f"migrated the schema: {result.before or 'empty'} -> {result.after}")
    if result.left:
        write(
            f"left, from {result.left[0].id} on: once no earlier version runs any more, run `phoebe migrate` "
            "without --phase"
        )
    if made:
        write(f"made partitions: {made[0]} to {made[-1]}")
    if width is None:
        write("services of this version can't start, and no partitions are made, before the rest is migrated")
    else:
        write(f"new partitions of events are by {width}")
    write(f"the database is the installation {installation.id}")
