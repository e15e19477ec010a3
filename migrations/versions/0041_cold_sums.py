"""The sums of cold hours stand in a table of their own, packed; hourly_usage shows them as before."""

from alembic import op
from rater_service.migrations.sql_files import execute, read

revision = "0041"
down_revision = "0040"
# An earlier `sums rebuild` would correct a sum once in each of the two tables.
phase = "contract"


# Of a database that Citus distributes; no table can inherit from a distributed one.
_HAS_PRODUCER = """
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'hourly_usage'::regclass AND attname = 'producer_id')
"""


def upgrade() -> None:
    """Make the table, but where sums are kept by producer. The rater moves there what is cold."""
    if not op.get_bind().exec_driver_sql(_HAS_PRODUCER).scalar_one():
        execute(read(__file__, "hourly_usage_cold"))
