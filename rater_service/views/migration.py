"""How it is shown what a migration did."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict
from uuid import UUID

from rater_service.views.documents import Kind
from rater_service.views.terminal import write

if TYPE_CHECKING:
    from rater_service.database.installation import Installation
    from rater_service.database.schema import MigrationResult  # slow to import


class RevisionJson(TypedDict):
    """A revision of the schema."""

    id: str
    phase: str
    title: str


class MigrationJson(TypedDict):
    """What was migrated: the schema's last revision before and after. before: null: it was empty.

    left: revisions that wait until no earlier version runs. installation: the id of the database's.
    """

    before: str | None
    after: str
    left: Sequence[RevisionJson]
    partitions_made: Sequence[str]
    installation: UUID


MIGRATION = Kind("migration", MigrationJson)


def migration_json(
    result: "MigrationResult", made: tuple[str, ...], installation: "Installation"
) -> MigrationJson:
    """Return what is written of a migration as JSON."""
    return {
        "before": result.before,
        "after": result.after,
        "left": [{"id": each.id, "phase": each.phase, "title": each.title} for each in result.left],
        "partitions_made": made,
        "installation": installation.id,
    }


def show_migration(result: "MigrationResult", made: tuple[str, ...], installation: "Installation") -> None:
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
    write(f"the database is the installation {installation.id}")
