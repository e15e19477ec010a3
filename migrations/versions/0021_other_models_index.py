"""Finds events that are summed as those of other models from an index that has no others."""

from rater_service.migrations.long_work import Tell, make_index

from rater_service.database.database import Connection

revision = "0021"
down_revision = "0020"
phase = "expand"
prepares = ("billing_event",)


async def prepare(connection: Connection, tell: Tell) -> None:
    """Make the index. Runs read it: they count the names, and look whether they have a price by now."""
    definition = "(event_time, model_id) WHERE summed_as_other"
    await make_index(connection, "billing_event_summed_as_other", "billing_event", definition, tell)


def upgrade() -> None:
    """Do nothing more."""
