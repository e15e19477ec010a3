"""The ledger of rating: who ran what and with which knowledge, and every row a run changed, old and new.

Nobody can say any more who asked for the runs that are there, when their snapshots were taken, or what rows
were before they became what they are: their new columns stay NULL, and each rollup enters the ledger as it
stands, as if the run that wrote it last had been the first.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

# A run is kept by its last statement, after the rows that name it: whether there is such a run is asked at
# the end of the transaction.
RATED_USAGE = "ALTER TABLE rated_usage ALTER CONSTRAINT rated_usage_run_fkey DEFERRABLE INITIALLY DEFERRED"

RATING_RUN = """
ALTER TABLE rating_run
    ADD COLUMN requested_by text,
    ADD COLUMN knowledge_at timestamptz,
    ADD CONSTRAINT rating_run_no_empty_text CHECK (requested_by <> ''),
    -- NOT VALID: the runs that are there do not know it.
    ADD CONSTRAINT rating_run_accountable CHECK (
        requested_by IS NOT NULL AND knowledge_at IS NOT NULL) NOT VALID
"""

# The values of a row are those of rated_usage by these names, under the same rules. The key that allows one
# change of a rollup in a run also finds the last one, which every run reads for its window.
RATED_USAGE_CHANGE = """
CREATE TABLE rated_usage_change (
    id                          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run                         bigint NOT NULL REFERENCES rating_run DEFERRABLE INITIALLY DEFERRED,
    kind                        text NOT NULL,
    rollup                      bigint NOT NULL,
    window_start                timestamptz NOT NULL,
    auth_id                     text NOT NULL,
    resource_id                 text NOT NULL,
    model_id                    text NOT NULL,
    old_prompt_tokens           bigint,
    old_cached_tokens           bigint,
    old_completion_tokens       bigint,
    old_billable_prompt_tokens  bigint,
    old_cost                    numeric(40, 9),
    old_applied_prompt_rate     numeric(20, 9),
    old_applied_cached_rate     numeric(20, 9),
    old_applied_completion_rate numeric(20, 9),
    old_event_count             bigint,
    old_base_model              text,
    old_price_book              text,
    old_run                     bigint,
    new_prompt_tokens           bigint,
    new_cached_tokens           bigint,
    new_completion_tokens       bigint,
    new_billable_prompt_tokens  bigint,
    new_cost                    numeric(40, 9),
    new_applied_prompt_rate     numeric(20, 9),
    new_applied_cached_rate     numeric(20, 9),
    new_applied_completion_rate numeric(20, 9),
    new_event_count             bigint,
    new_base_model              text,
    new_price_book              text,
    CONSTRAINT rated_usage_change_once UNIQUE (window_start, auth_id, resource_id, model_id, run),
    CONSTRAINT rated_usage_change_kind CHECK (kind IN ('INSERT', 'UPDATE', 'DELETE')),
    CONSTRAINT rated_usage_change_old CHECK (
        num_nonnulls(old_prompt_tokens, old_cached_tokens, old_completion_tokens, old_billable_prompt_tokens,
                     old_cost, old_applied_prompt_rate, old_applied_cached_rate, old_applied_completion_rate,
                     old_event_count, old_price_book, old_run) = CASE kind WHEN 'INSERT' THEN 0 ELSE 11 END
        AND (kind <> 'INSERT' OR old_base_model IS NULL)),
    CONSTRAINT rated_usage_change_new CHECK (
        num_nonnulls(new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens,
                     new_cost, new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate,
                     new_event_count, new_price_book) = CASE kind WHEN 'DELETE' THEN 0 ELSE 10 END
        AND (kind <> 'DELETE' OR new_base_model IS NULL)),
    CONSTRAINT rated_usage_change_cost_explained CHECK (
        new_cost = new_billable_prompt_tokens * new_applied_prompt_rate
                   + new_cached_tokens * new_applied_cached_rate
                   + new_completion_tokens * new_applied_completion_rate),
    CONSTRAINT rated_usage_change_no_empty_text CHECK (
        '' <> ALL (ARRAY[auth_id, resource_id, model_id, old_base_model, new_base_model]))
)
"""

ROLLUPS_AS_THEY_STAND = """
INSERT INTO rated_usage_change
    (run, kind, rollup, window_start, auth_id, resource_id, model_id,
     new_prompt_tokens, new_cached_tokens, new_completion_tokens, new_billable_prompt_tokens, new_cost,
     new_applied_prompt_rate, new_applied_cached_rate, new_applied_completion_rate, new_event_count,
     new_base_model, new_price_book)
SELECT
    run, 'INSERT', id, window_start, auth_id, resource_id, model_id,
    prompt_tokens, cached_tokens, completion_tokens, billable_prompt_tokens, cost,
    applied_prompt_rate, applied_cached_rate, applied_completion_rate, event_count,
    base_model, price_book
FROM rated_usage
ORDER BY run, id
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END
$$
"""


def _append_only(table: str) -> str:
    return (
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )


def upgrade() -> None:
    """Add the columns and the table, and fill it; from then on neither can be changed."""
    for statement in (
        RATED_USAGE,
        RATING_RUN,
        RATED_USAGE_CHANGE,
        ROLLUPS_AS_THEY_STAND,
        REFUSE_CHANGE,
        _append_only("rating_run"),
        _append_only("rated_usage_change"),
    ):
        op.execute(statement)
