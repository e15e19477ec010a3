"""Revisions that a later version of Phoebe might bring, in a folder of their own."""

from pathlib import Path

from rater_service.database.revisions import Phase

# What a later version may add to a schema that an earlier one uses: to every table a column with a default,
# an index and a rule; and a table. A function that returns rows of a table is made anew with it: it says
# what they are.
EXPAND_EVERYTHING = """
DO $$
DECLARE
    name text;
BEGIN
    -- Citus, if it is there, then shows no shards as tables of their own.
    PERFORM set_config('citus.override_table_visibility', 'on', true);
    FOR name IN
        SELECT relname
        FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
            AND relname <> 'alembic_version'
            -- What inherits, as a partition does, gets the same with the table that it inherits from.
            AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = pg_class.oid)
        -- As a batch takes them: it would wait in a circle with who holds all of them.
        ORDER BY array_position(
            ARRAY['stored_event', 'event_pattern', 'hourly_usage', 'touched_hour', 'rejected_event',
                  'producer'],
            relname::text), relname
    LOOP
        EXECUTE format('ALTER TABLE %I ADD COLUMN later text NOT NULL DEFAULT %L', name, 'as before');
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I CHECK (later <> %L)', name, name || '_later', '');
        EXECUTE format('CREATE INDEX ON %I (later)', name);
    END LOOP;
    FOREACH name IN ARRAY ARRAY['hourly_usage_of_events', 'hourly_usage_of_ids']
    LOOP
        EXECUTE replace(pg_get_functiondef(name::regproc),
                        'AS slot', $later$AS slot, 'as before' AS later$later$);
    END LOOP;
END
$$;
CREATE TABLE later_table (id bigint PRIMARY KEY);
"""


def write_revision(
    folder: Path, number: int, statements: str, phase: Phase = Phase.EXPAND, prepare: str = ""
) -> None:
    """Write the revision of a number, which follows the one before it.

    prepare: what it awaits before its transaction, by `connection` and `tell`.
    """
    preparing = f"""
async def prepare(connection, tell):
    await {prepare}
"""
    folder.mkdir(exist_ok=True)
    (folder / f"{number:04}_later.py").write_text(
        f'''"""Revision {number} of a later version."""

from rater_service.migrations.long_work import fill, make_index
from rater_service.migrations.sql_files import execute

revision = "{number:04}"
down_revision = "{number - 1:04}"
phase = "{phase}"
{preparing if prepare else ""}

def upgrade() -> None:
    """Do it."""
    execute({statements!r})
'''
    )
