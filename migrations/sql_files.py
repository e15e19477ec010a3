"""What a revision does, kept as SQL: in files of the folder that has the revision's name."""

from pathlib import Path

from alembic import op


def read(revision_file: str, name: str) -> str:
    """Return the text of `name`.sql of a revision, which names itself by its __file__."""
    return (Path(revision_file).with_suffix("") / f"{name}.sql").read_text(encoding="utf-8")


def execute(statements: str) -> None:
    """Execute statements in the transaction of the migration."""
    # SQLAlchemy would prepare them, and only a single statement can be prepared.
    op.get_bind().connection.run_async(lambda driver: driver.execute(statements))
