"""How it is shown what a migration did."""

from typing import TYPE_CHECKING

from rater_service.views.terminal import write

if TYPE_CHECKING:
    from rater_service.database.installation import Installation
    from rater_service.database.schema import MigrationResult  # slow to import


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
