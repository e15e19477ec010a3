"""Two versions of the code on one database: the one that runs goes on working while the schema is expanded.

The code under test is the earlier version; the revisions of a later one stand in a folder of the test.
"""

from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

import rater_service
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from phoebe_runtime.background import spawn
from rater_service.audit.audit import AuditRequest, audit
from rater_service.bills.explain import explain_rollup, list_events
from rater_service.bills.rated_usage import RatedUsageFilter, list_rated_usage
from rater_service.bills.report import Grouping, make_report
from rater_service.bills.rollups import Selection
from rater_service.database.database import Pool, open_pool
from rater_service.database.revisions import Extent, Phase, Revisions, load_revisions
from rater_service.database.schema import (
    MigrationResult,
    MigrationSettings,
    known_revisions,
    migrate,
    require_fitting_schema,
)
from rater_service.errors import OperatorError
from rater_service.events.hourly_usage import rebuild
from rater_service.events.producer_status import StatusRow
from rater_service.events.producers import list_producers, retire_producer
from rater_service.events.rejected import list_rejected, retry_rejected
from rater_service.events.store import Fate, store_events
from rater_service.prices.store import read_timeline
from rater_service.rating.price_impact import read_usage
from rater_service.rating.rating import rate_window
from rater_service.rating.run import RateRequest
from rater_service.retention.csv_export import export_events
from rater_service.service.metrics import Metrics
from rater_service.statements import part, source, statement
from tests.harness.later_revisions import EXPAND_EVERYTHING, write_revision
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.old_events import BEFORE, NOW, bills_of, events_of, judge, prune_all

KNOWN = int(known_revisions().known[-1].id)
HEAD, EXPANDED, CONTRACTED = (f"{KNOWN + more:04}" for more in range(3))
RATER = Path(rater_service.__file__).parent
PARTS = {
    "partition": "billing_event_default",
    "rollups": source("bills/rollups"),
    "categories": source("rating/categories"),
    "columns": "request_id, event_time",
    "event": "request_id, event_time",
    "run": "id, started_at",
    "names": "auth_id AS customer",
    "groups": "auth_id",
    "differences": source("events/hourly_usage_differences"),
    "table": "rated_usage",
    "sorted": "window_start",
    "customer": "auth_id",
    "sums": "sum(cost) AS cost",
    "sum_type": "bigint",
    "days": "rated_day",
    "order": "customer",
    "rated": source("rating/rollups"),
    "numbered": "rating_run",
    "number": "id",
    "sequence": "rating_run_id_seq",
    "taken": source("events/cold_taken"),
    "arrays": ":request_id::uuid[], :event_time::timestamptz[]",
    "sent": part("events/sums_sent", sum_type="bigint"),
    "added": source("events/sums_added"),
    "partitions": source("events/partitions_there"),
    "patterns": source("events/patterns_there"),
}
# These are several statements each, which can't be prepared; the tests below execute them.
SEVERAL = {"events/partition_make", "rating/tables", "retention/keep_later"}
# An archive has all that there is to know of its events.
WHOLE = {"archive/rows_of_year", "retention/export"}
PACKAGES = {file.parents[1].name for file in RATER.glob("*/sql/*.sql")}
# What takes sums away is a part of events/merge_slots alone, which names the columns.
TAKEN = {"events/cold_taken", "events/hour_taken", "events/slots_taken"}
# A part of events/hourly_usage_add, where what it adds is.
ADDED = {"events/sums_added"}
# What is for a database that Citus distributes, which this one is not.
ELSEWHERE = "distributed"
NEED_CITUS = {"database/is_distributed", "events/has_sums_of_all", "events/touch_hours"}
STATEMENTS = (
    {
        f"{package}/{file.stem}"
        for package in PACKAGES - {ELSEWHERE}
        for file in RATER.glob(f"{package}/sql/*.sql")
    }
    - SEVERAL
    - WHOLE
    - TAKEN
    - ADDED
    - NEED_CITUS
)


@pytest.fixture
def later(tmp_path: Path) -> Revisions:
    """The revisions of a later version, which adds to every table and, in the end, takes something away."""
    folder = tmp_path / "versions"
    write_revision(folder, KNOWN + 1, EXPAND_EVERYTHING)
    write_revision(folder, KNOWN + 2, "ALTER TABLE producer DROP COLUMN name", Phase.CONTRACT)
    return load_revisions(folder)


async def expand(url: str, later: Revisions) -> None:
    """Do what the later version does before its services replace those that run."""
    result = await migrate(url, MigrationSettings(Extent.EXPAND), revisions=later)
    assert result.after == EXPANDED


async def results_of_statements(url: str) -> dict[str, list[tuple[str, str]]]:
    """Prepare every statement; return the names and types of the columns that each gives.

    No statement takes a value of a type that a table has: a session knows such a type as it was when it first
    met it.
    """
    found = {}
    connection = await asyncpg.connect(url)
    try:
        for tables in ("rating/tables", "events/hourly_usage_changes"):
            await connection.execute(statement(tables).text.replace("ON COMMIT DROP", ""))
        for name in STATEMENTS:
            prepared = await connection.prepare(statement(name, **PARTS).text)
            assert {taken.schema for taken in prepared.get_parameters()} <= {"pg_catalog"}, name
            found[name] = [(column.name, column.type.name) for column in prepared.get_attributes()]
    finally:
        await connection.close()
    return found


async def use_everything(pool: Pool, hour_number: int) -> None:
    """Do once what services and operators do, with events of an hour of its own."""
    hour = HOUR - hour_number * ONE_HOUR
    now = HOUR + ONE_HOUR
    new = [make_event(hour), make_event(hour, auth_id="bob", usage_found=False)]
    status = StatusRow("spool-1", 10**6, 0, 0, now, stopped=False, lost_rows=0)
    assert await fates(pool, new, status) == [Fate.STORED, Fate.STORED]
    other = make_event(hour, request_id=new[0].request_id, completion_tokens=11)
    mixed = [*new, other, make_event(hour, outcome="?"), make_event(hour, auth_id="carol")]
    assert await fates(pool, mixed, status) == [
        *(Fate.DUPLICATE, Fate.DUPLICATE, Fate.CONFLICT, Fate.REJECTED, Fate.STORED)
    ]
    for unchanged, reprice in ((0, False), (2, True)):
        request = RateRequest(hour, hour + ONE_HOUR, "a test", reprice=reprice)
        settled = await rate_window(pool, request, HOUR + 2 * ONE_HOUR)
        assert (settled.events_rated, settled.events_in_window) == (2, 3)
        assert settled.rollups_unchanged == unchanged
    await read_everything(pool, Selection(hour, hour + ONE_HOUR))
    await pool.execute("UPDATE hourly_usage SET event_count = event_count + 1 WHERE window_start = $1", hour)
    assert [(await rebuild(pool, hour, hour + ONE_HOUR)).hours_differing for _ in range(2)] == [1, 0]
    tried = [retried.fate async for retried in retry_rejected(pool, None, now)]
    assert set(tried) == {Fate.CONFLICT, Fate.REJECTED}
    assert await retire_producer(pool, "spool-1", "ops", now)


async def fates(pool: Pool, events: list[MeteringEvent], status: StatusRow | None = None) -> list[Fate]:
    return [result.fate for result in await store_events(pool, events, HOUR + ONE_HOUR, status)]


async def read_everything(pool: Pool, wanted: Selection) -> None:
    window = (wanted.window_start, wanted.window_end)
    page = await list_rated_usage(pool, RatedUsageFilter(*window, None, None), 10, None)
    assert [row["auth_id"] for row in page.rows] == ["alice", "carol"]
    told = await explain_rollup(pool, page.rows[0]["id"])
    assert told.disagreements == ()
    assert len((await list_events(pool, told.key, None, 10)).events) == 1
    for as_of in (None, await pool.fetchval("SELECT clock_timestamp()")):
        report = await make_report(pool, wanted, [Grouping.CUSTOMER], as_of, HOUR + 2 * ONE_HOUR)
        assert (report.total.rollups, len(report.rows)) == (2, 2)
    audited = await audit(pool, AuditRequest(*window), HOUR + 2 * ONE_HOUR)
    assert (audited.findings.rollups, audited.findings.events) == (2, 3)
    assert [producer.producer_id for producer in await list_producers(pool)] == ["spool-1"]
    assert {event.kind for event in await list_rejected(pool, None, 10)} == {"CONFLICT", "REJECTED"}
    assert len((await read_usage(pool, *window)).usage) == 2
    async with pool.acquire() as connection:
        assert len((await read_timeline(connection)).in_turn) == 1
    metrics = Metrics()
    await metrics.refresh(pool)
    assert metrics.registry.get_sample_value("phoebe_gauges_fresh") == 1


async def test_no_statement_gives_anything_else_when_every_table_was_given_more(
    database_url: str, later: Revisions
) -> None:
    before = await results_of_statements(database_url)
    await expand(database_url, later)
    after = await results_of_statements(database_url)

    changed = {name: set(after[name]) - set(before[name]) for name in before if before[name] != after[name]}
    assert changed == {}


async def test_the_version_that_runs_goes_on_while_the_schema_is_expanded(
    ledger: Ledger, database_url: str, later: Revisions
) -> None:
    await use_everything(ledger.pool, 1)
    await expand(database_url, later)

    await use_everything(ledger.pool, 2)

    async with open_pool(database_url) as pool:
        await require_fitting_schema(pool)
        await use_everything(pool, 3)
    assert await ledger.pool.fetchval("SELECT count(*) FROM stored_event WHERE later = 'as before'") == 9


async def test_batches_under_way_while_the_schema_is_expanded_are_all_stored_and_known_again(
    pool: Pool, database_url: str, later: Revisions
) -> None:
    expanding = spawn(expand(database_url, later), "expanding")
    found: list[Fate] = []
    again: list[MeteringEvent] = []
    left = 20
    while left:
        left -= expanding.done()
        new = make_event()
        # A batch may be ended to let the migration go on; its sender sends it again.
        with suppress(asyncpg.DeadlockDetectedError):
            found += await fates(pool, [new, *again])
            again = [new]
    await expanding

    assert found[:1] + found[1::2] == [Fate.STORED] * (len(found) // 2 + 1)
    assert found[2::2] == [Fate.DUPLICATE] * (len(found) // 2)


async def test_old_events_are_archived_and_dropped_on_an_expanded_schema(
    old: Ledger, database_url: str, later: Revisions, tmp_path: Path
) -> None:
    await expand(database_url, later)
    before = await bills_of(old.pool)

    (first, *_) = await judge(old.pool, BEFORE)
    archived = await export_events(old.pool, first.events, tmp_path / "archive", NOW)
    await prune_all(old.pool)

    assert archived.event_count == 7
    assert len(await events_of(old.pool)) == 1
    assert await bills_of(old.pool) == before


async def test_both_versions_start_on_an_expanded_schema_and_only_the_later_on_a_contracted_one(
    pool: Pool, database_url: str, later: Revisions
) -> None:
    with pytest.raises(OperatorError, match=f"needs {EXPANDED}; run `phoebe migrate`"):
        await require_fitting_schema(pool, later)

    await expand(database_url, later)
    await require_fitting_schema(pool)
    await require_fitting_schema(pool, later)
    assert await migrate(database_url) == MigrationResult(EXPANDED, EXPANDED)

    await migrate(database_url, revisions=later)
    await require_fitting_schema(pool, later)
    with pytest.raises(OperatorError, match=f"schema is {CONTRACTED}.*use the later version"):
        await require_fitting_schema(pool)
    with pytest.raises(OperatorError, match="use the later version"):
        await migrate(database_url)
