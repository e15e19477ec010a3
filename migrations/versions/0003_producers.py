"""What producers say of themselves, and what became of rejected events."""

from alembic import op

revision = "0003"
down_revision = "0002"

# Each row is rewritten every few seconds; with room in its page, and no index on what changes, that leaves
# the index alone.
PRODUCER = """
CREATE TABLE producer (
    producer_id    text PRIMARY KEY,
    first_seen     timestamptz NOT NULL,
    last_seen      timestamptz NOT NULL,
    last_seq       bigint NOT NULL,
    spooled_events bigint NOT NULL,
    open_exchanges bigint NOT NULL,
    complete_until timestamptz,
    stopped        boolean NOT NULL,
    lost_rows      bigint NOT NULL,
    retired        boolean NOT NULL DEFAULT false,
    retired_at     timestamptz,
    retired_by     text,
    CONSTRAINT producer_no_empty_text CHECK ('' <> ALL (ARRAY[producer_id, retired_by])),
    CONSTRAINT producer_counts CHECK (
        last_seq >= 0 AND spooled_events >= 0 AND open_exchanges >= 0 AND lost_rows >= 0),
    CONSTRAINT producer_retired CHECK (
        NOT retired OR (retired_at IS NOT NULL AND retired_by IS NOT NULL))
) WITH (fillfactor = 50)
"""

# The reader is the audit, which looks for numbers that are missing or were given twice.
BILLING_EVENT_BY_NUMBER = """
CREATE INDEX billing_event_producer ON billing_event (producer_id, producer_seq)
WHERE producer_seq IS NOT NULL
"""
REJECTED_EVENT_BY_NUMBER = """
CREATE INDEX rejected_event_producer ON rejected_event (producer_id, producer_seq)
WHERE producer_seq IS NOT NULL
"""

REJECTED_EVENT = """
ALTER TABLE rejected_event
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN resolved_as text,
    ADD CONSTRAINT rejected_event_resolved CHECK (
        (resolved_at IS NULL) = (resolved_as IS NULL) AND resolved_as IN ('STORED', 'DUPLICATE'))
"""

RATING_RUN = """
ALTER TABLE rating_run
    ADD COLUMN incomplete_producer_count bigint NOT NULL DEFAULT 0,
    ADD COLUMN incomplete_producers      jsonb NOT NULL DEFAULT '[]'
"""


def upgrade() -> None:
    """Add the table, the columns and the indexes."""
    for statement in (
        PRODUCER,
        REJECTED_EVENT,
        RATING_RUN,
        REJECTED_EVENT_BY_NUMBER,
        BILLING_EVENT_BY_NUMBER,
    ):
        op.execute(statement)
