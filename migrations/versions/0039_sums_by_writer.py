"""Raters add the hourly sums, each batch in a slot of its own; the triggers that did it are gone."""

from rater_service.migrations.long_work import Tell, make_index
from rater_service.migrations.sql_files import execute, read

from rater_service.database.database import Connection

revision = "0039"
down_revision = "0038"
# An earlier rater leaves the sums to the triggers. It must not store a single event from here on.
phase = "contract"
locks = {
    "stored_event": "ACCESS EXCLUSIVE",
    "hourly_usage": "ACCESS EXCLUSIVE",
    "touched_hour": "ACCESS EXCLUSIVE",
}
reads = ("touched_hour",)
prepares = ("hourly_usage",)

_KEY = (
    "window_start, auth_id, resource_id, model_id, base_model, usage_found, model_untrusted, completed, slot"
)


async def prepare(connection: Connection, tell: Tell) -> None:
    """Make the key with the slot, and what finds the hours whose sums stand in several rows."""
    await make_index(
        connection,
        "hourly_usage_key_with_slot",
        "hourly_usage",
        f"({_KEY}) NULLS NOT DISTINCT",
        tell,
        unique=True,
    )
    await make_index(connection, "hourly_usage_slots", "hourly_usage", "(window_start) WHERE slot > 0", tell)


def upgrade() -> None:
    """Change who adds, in one transaction: no event is summed twice, and none not at all.

    The tables are locked in the order in which batches take them.
    """
    for name in ("billing_event", "hourly_usage", "touched_hour"):
        execute(read(__file__, name))
