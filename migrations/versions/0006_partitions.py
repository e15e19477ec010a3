"""Events by week, so that old ones can be dropped, and what stays known of those that were.

billing_event becomes a partitioned table. The one that was there becomes a partition of it, unmoved: the
default one if it is empty, else that of all weeks up to this one. It is read once, to prove that it has
nothing of later weeks; no event is stored meanwhile, spools keep them.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from alembic import op

revision = "0006"
down_revision = "0005"

# A producer's number stays given when its event is dropped: it is no gap, and known if it comes again.
PRUNED_EVENT_RANGE = """
CREATE TABLE pruned_event_range (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition_name         text NOT NULL,
    lower_id               uuid,
    upper_id               uuid,
    event_count            bigint NOT NULL,
    prompt_tokens          numeric(38, 0) NOT NULL,
    cached_tokens          numeric(38, 0) NOT NULL,
    completion_tokens      numeric(38, 0) NOT NULL,
    first_event_time       timestamptz NOT NULL,
    last_event_time        timestamptz NOT NULL,
    window_start           timestamptz NOT NULL,
    window_end             timestamptz NOT NULL,
    accepted               text[] NOT NULL,
    export_path            text,
    export_sha256          text,
    pruned_by              text NOT NULL,
    pruned_at              timestamptz NOT NULL,
    CONSTRAINT pruned_event_range_no_empty_text CHECK (
        '' <> ALL (ARRAY[partition_name, export_path, export_sha256, pruned_by])),
    CONSTRAINT pruned_event_range_counts CHECK (
        event_count > 0 AND prompt_tokens >= 0 AND cached_tokens >= 0 AND completion_tokens >= 0),
    CONSTRAINT pruned_event_range_ids CHECK (lower_id < upper_id),
    CONSTRAINT pruned_event_range_times CHECK (
        first_event_time <= last_event_time
        AND window_start = date_trunc('hour', first_event_time, 'UTC')
        AND window_end = date_trunc('hour', last_event_time, 'UTC') + interval '1 hour'),
    CONSTRAINT pruned_event_range_export CHECK ((export_path IS NULL) = (export_sha256 IS NULL))
)
"""
PRUNED_NUMBER = """
CREATE TABLE pruned_number (
    range_id    bigint NOT NULL REFERENCES pruned_event_range,
    producer_id text NOT NULL,
    numbers     int8multirange NOT NULL,
    CONSTRAINT pruned_number_pkey PRIMARY KEY (producer_id, range_id),
    CONSTRAINT pruned_number_no_empty_text CHECK (producer_id <> ''),
    CONSTRAINT pruned_number_some CHECK (NOT isempty(numbers))
)
"""

# A partition takes the ids from lower_id up to, but not, upper_id (NULL: no bound).
EVENT_PARTITION = """
CREATE VIEW event_partition AS
SELECT
    partition.relname::text AS name,
    substring(bound.text FROM $$FROM \\('([0-9a-f-]+)'\\)$$)::uuid AS lower_id,
    substring(bound.text FROM $$TO \\('([0-9a-f-]+)'\\)$$)::uuid AS upper_id,
    bound.text = 'DEFAULT' AS is_default
FROM pg_inherits
JOIN pg_class AS partition ON partition.oid = inhrelid
CROSS JOIN LATERAL pg_get_expr(partition.relpartbound, partition.oid) AS bound (text)
WHERE inhparent = 'billing_event'::regclass
"""

# Of the default partition, to which no id belongs for good, single events are pruned: their time tells,
# unless there is another partition for the id.
EVENT_WAS_PRUNED = """
CREATE FUNCTION event_was_pruned(event_id uuid, ended timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT
        FROM pruned_event_range AS pruned
        WHERE ended BETWEEN pruned.first_event_time AND pruned.last_event_time
            AND (pruned.lower_id IS NULL OR event_id >= pruned.lower_id)
            AND (pruned.upper_id IS NULL OR event_id < pruned.upper_id)
            AND (pruned.upper_id IS NOT NULL OR NOT EXISTS (
                SELECT
                FROM event_partition AS other
                WHERE NOT other.is_default
                    AND (other.lower_id IS NULL OR event_id >= other.lower_id)
                    AND (other.upper_id IS NULL OR event_id < other.upper_id))))
$$
"""

# Ids of a partition that was dropped belong to the default one. The function is volatile, so that it sees
# what was committed while the statement waited for the drop.
REFUSE_PRUNED = """
CREATE FUNCTION billing_event_refuse_pruned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF event_was_pruned(NEW.request_id, NEW.event_time) THEN
        RAISE 'events of this time were pruned' USING ERRCODE = 'check_violation',
            CONSTRAINT = 'billing_event_not_pruned';
    END IF;
    RETURN NEW;
END
$$
"""
REFUSE_PRUNED_TRIGGER = """
CREATE TRIGGER billing_event_not_pruned BEFORE INSERT ON billing_event_default
FOR EACH ROW EXECUTE FUNCTION billing_event_refuse_pruned()
"""

INDEXES = {
    "billing_event_event_time": "(event_time)",
    "billing_event_producer": "(producer_id, producer_seq) WHERE producer_seq IS NOT NULL",
}
# A partition must have the rules of the whole table, and 0002 did not prove these of the events it found.
PROVE_RULES = "VALIDATE CONSTRAINT billing_event_part_counts, VALIDATE CONSTRAINT billing_event_part_usage"


def upgrade() -> None:
    """Make the events partitioned, and the tables of what was dropped."""
    op.execute("LOCK TABLE billing_event IN ACCESS EXCLUSIVE MODE")
    next_week = _next_week()
    is_empty = not _rows("SELECT 1 FROM billing_event LIMIT 1")
    partition = "billing_event_default" if is_empty else f"billing_event_until_{next_week:%Gw%V}"
    _put_parent_above(partition)
    if is_empty:
        op.execute(f"ALTER TABLE {partition} {PROVE_RULES}")
    else:
        op.execute("CREATE TABLE billing_event_default (LIKE billing_event INCLUDING ALL)")
        _attach_until(partition, next_week)
    op.execute("ALTER TABLE billing_event ATTACH PARTITION billing_event_default DEFAULT")
    for statement in (
        PRUNED_EVENT_RANGE,
        PRUNED_NUMBER,
        EVENT_PARTITION,
        EVENT_WAS_PRUNED,
        REFUSE_PRUNED,
        REFUSE_PRUNED_TRIGGER,
    ):
        op.execute(statement)


def _next_week() -> datetime:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today + timedelta(days=7 - today.weekday())


def _put_parent_above(partition: str) -> None:
    """Rename the table, and make a partitioned one that has its name, owner, rights, rules and triggers."""
    triggers = _rows(
        "SELECT pg_get_triggerdef(oid), format('DROP TRIGGER %I ON billing_event', tgname) FROM pg_trigger"
        " WHERE tgrelid = 'billing_event'::regclass AND NOT tgisinternal ORDER BY tgname"
    )
    rights = _rows(
        "SELECT format('GRANT %s ON billing_event TO %s%s', privilege_type,"
        " CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END,"
        " CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END)"
        " FROM pg_class, aclexplode(relacl)"
        " WHERE pg_class.oid = 'billing_event'::regclass AND grantee <> relowner"
    )
    owner = _rows(
        "SELECT format('ALTER TABLE billing_event OWNER TO %s', relowner::regrole) FROM pg_class"
        " WHERE oid = 'billing_event'::regclass"
    )
    for _, drop in triggers:
        op.execute(drop)
    op.execute(f"ALTER TABLE billing_event RENAME TO {partition}")
    for name in ("billing_event_pkey", *INDEXES):
        op.execute(f"ALTER INDEX {name} RENAME TO {name.replace('billing_event', partition)}")
    op.execute(
        f"CREATE TABLE billing_event (LIKE {partition} INCLUDING ALL EXCLUDING INDEXES)"
        " PARTITION BY RANGE (request_id)"
    )
    op.execute("ALTER TABLE billing_event ADD CONSTRAINT billing_event_pkey PRIMARY KEY (request_id)")
    for name, columns in INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON billing_event {columns}")
    for definition, _ in triggers:
        op.execute(definition)
    for (statement,) in (*rights, *owner):
        op.execute(statement)


def _attach_until(partition: str, next_week: datetime) -> None:
    """Attach the events that are there as those before next week, the others moved to the default partition.

    The others have ids that some other sender made, and that do not sort by time.
    """
    first_id_after = UUID(int=int(next_week.timestamp()) * 1000 << 80)
    op.execute(
        f"WITH moved AS (DELETE FROM {partition} WHERE request_id >= '{first_id_after}' RETURNING *)"  # noqa: S608
        " INSERT INTO billing_event_default SELECT * FROM moved"
    )
    # All rules in one reading; the bound as a rule spares another when the partition is attached.
    op.execute(
        f"ALTER TABLE {partition} {PROVE_RULES},"
        f" ADD CONSTRAINT {partition}_ids CHECK (request_id < '{first_id_after}')"
    )
    op.execute(
        f"ALTER TABLE billing_event ATTACH PARTITION {partition}"
        f" FOR VALUES FROM (MINVALUE) TO ('{first_id_after}')"
    )
    op.execute(f"ALTER TABLE {partition} DROP CONSTRAINT {partition}_ids")


def _rows(query: str) -> list[tuple[str, ...]]:
    return [tuple(row) for row in op.get_bind().exec_driver_sql(query)]
