"""More of what engines report: tokens written to their cache, audio tokens, and whether to believe the model.

The columns come after stored_at: PostgreSQL adds columns only at the end.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

# The table is locked for a moment, however many events it holds: they have nothing in the new columns, so
# they keep the new rules, and NOT VALID spares a reading that would hold up every batch and every run.
BILLING_EVENT = """
ALTER TABLE billing_event
    ADD COLUMN cache_write_tokens      bigint,
    ADD COLUMN prompt_audio_tokens     bigint,
    ADD COLUMN completion_audio_tokens bigint,
    ADD COLUMN model_untrusted         boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT billing_event_part_counts CHECK (
        cache_write_tokens BETWEEN 0 AND 9007199254740992
        AND prompt_audio_tokens BETWEEN 0 AND 9007199254740992
        AND completion_audio_tokens BETWEEN 0 AND 9007199254740992) NOT VALID,
    ADD CONSTRAINT billing_event_part_usage CHECK (
        usage_found OR num_nonnulls(cache_write_tokens, prompt_audio_tokens, completion_audio_tokens) = 0)
        NOT VALID
"""


def upgrade() -> None:
    """Add the columns."""
    op.execute(BILLING_EVENT)
