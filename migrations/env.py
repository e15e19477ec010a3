"""What Alembic runs to apply revisions: on the connection, and in the transaction, that it is handed."""

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo


def note_revision(*, ctx: MigrationContext, step: MigrationInfo, **_: object) -> None:
    """Keep the phase of a revision that was applied, for versions of the code that do not know it."""
    script = step.up_revision
    assert script is not None
    assert ctx.connection is not None
    ctx.connection.exec_driver_sql(
        "INSERT INTO schema_revision (revision, phase) VALUES ($1, $2)",
        (script.revision, script.module.phase),
    )


context.configure(connection=context.config.attributes["connection"], on_version_apply=note_revision)
with context.begin_transaction():
    context.run_migrations()
