"""The revisions by which raters add the sums: an earlier rater adds them as before, or stores nothing."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import asyncpg
import pytest

from rater_service.database.database import UNAVAILABLE_ERRORS, Connection, Pool, open_pool
from rater_service.database.revisions import Extent
from rater_service.database.schema import MigrationSettings, known_revisions, migrate, plan_migration
from rater_service.events.hourly_usage import rebuild
from rater_service.events.model_names import ModelNames
from rater_service.events.store import store_events
from rater_service.prices.store import priced_among
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.sums import counted_sums, kept_sums

type StoreAsBefore = Callable[[Connection], Awaitable[None]]

LAST_OF_BEFORE = "0030"
BY_TRIGGERS = "0038"
BY_WRITER = "0039"
# Of the columns that the version before writes those that have no default, and some that are summed.
COLUMNS = (
    *(
        "request_id",
        "auth_id",
        "resource_id",
        "model_id",
        "prompt_tokens",
        "completion_tokens",
        "usage_found",
    ),
    *("outcome", "status_code", "streamed", "event_time", "model_untrusted", "part_count", "usage_partial"),
    *("stored_at", "summed_as_other"),
)
INSERT = (
    f"INSERT INTO billing_event ({', '.join(COLUMNS)}) SELECT * FROM"
    " (VALUES ($1::uuid, 'alice', 'deployment-1', 'meta/base-a', 100, 10, true, 'completed', 200::smallint,"
    " false, $2::timestamptz, false, 0::smallint, false, $2, false)) AS sent"
    " ORDER BY 1"
)
IF_NEW = "ON CONFLICT (request_id) DO NOTHING RETURNING request_id"


async def copy_as_before(connection: Connection) -> None:
    event = (
        *(uuid4(), "alice", "deployment-1", "meta/base-a", 100, 10, True, "completed", 200, False, HOUR),
        *(False, 0, False, HOUR, False),
    )
    await connection.copy_records_to_table("billing_event", columns=COLUMNS, records=[event])


async def insert_as_before(connection: Connection) -> None:
    await connection.fetch(INSERT, uuid4(), HOUR)


STORE_AS_BEFORE = [copy_as_before, insert_as_before]


@pytest.fixture
async def expanded(empty_database_url: str) -> AsyncIterator[Pool]:
    """A database that the version before filled, and that was expanded since."""
    known = known_revisions()
    ids = [revision.id for revision in known.known]
    before = replace(known, known=known.known[: ids.index(LAST_OF_BEFORE) + 1])
    await migrate(empty_database_url, revisions=before)
    connection = await asyncpg.connect(empty_database_url)
    await copy_as_before(connection)
    await connection.close()
    upto = replace(known, known=known.known[: ids.index(BY_WRITER) + 1])
    result = await migrate(empty_database_url, MigrationSettings(Extent.EXPAND), revisions=upto)
    assert result.after == BY_TRIGGERS
    async with open_pool(empty_database_url) as pool:
        yield pool


async def test_both_versions_store_side_by_side_until_the_schema_is_contracted(
    expanded: Pool, empty_database_url: str
) -> None:
    ledger = Ledger(expanded)
    async with expanded.acquire() as earlier:
        for _ in range(2):
            await copy_as_before(earlier)
            await ledger.store(make_event(), make_event(HOUR + ONE_HOUR))
        # So it stores only where the database refused an event. A view knows of no key: those wait.
        with pytest.raises(asyncpg.InvalidColumnReferenceError):
            await earlier.fetch(f"{INSERT} {IF_NEW}", uuid4(), HOUR)
    assert await kept_sums(expanded) == await counted_sums(expanded)
    await ledger.load()
    assert (await ledger.rate()).events_rated == 5

    await migrate(empty_database_url)

    await ledger.store(make_event())
    assert await kept_sums(expanded) == await counted_sums(expanded)
    assert (await rebuild(expanded, None, None)).difference_count == 0
    assert (await ledger.rate()).events_rated == 6


@pytest.mark.parametrize("store", STORE_AS_BEFORE)
async def test_an_earlier_version_stores_nothing_once_raters_add_the_sums(
    expanded: Pool, empty_database_url: str, store: StoreAsBefore
) -> None:
    await migrate(empty_database_url)
    async with expanded.acquire() as earlier:
        with pytest.raises(asyncpg.OperatorInterventionError, match="no hourly sum") as refused:
            await store(earlier)
    assert "start the later one" in str(refused.value.hint)
    # By this the earlier version knows that its senders must keep the event, instead of putting it aside.
    assert isinstance(refused.value, UNAVAILABLE_ERRORS)
    assert await expanded.fetchval("SELECT count(*) FROM billing_event") == 1


async def test_models_that_got_a_price_are_summed_by_name_on_an_expanded_schema(expanded: Pool) -> None:
    """There triggers move sums as well, for who writes to billing_event."""
    ledger = Ledger(expanded)
    await ledger.load()
    names = ModelNames(priced_among, 1)
    events = [make_event(model_id=f"invented-{number}") for number in range(3)]
    await store_events(expanded, events, HOUR, names=names)
    named = b'base_models:\n  "invented-2": { prompt: "0.1", cached: "0", completion: "0" }\n'
    await ledger.load(PRICES.replace(b"base_models:\n", named), HOUR + ONE_HOUR)
    assert (await ledger.rate()).events_rated == 2
    assert await kept_sums(expanded) == await counted_sums(expanded)


async def test_the_plan_says_who_waits_and_that_earlier_versions_end(
    expanded: Pool, empty_database_url: str
) -> None:
    schema, coming = await plan_migration(empty_database_url)
    planned = next(one for one in coming if one.revision.id == BY_WRITER)
    assert planned.revision.phase == "contract"
    assert [lock.table for lock in planned.locks] == ["hourly_usage", "stored_event", "touched_hour"]
    assert await plan_migration(empty_database_url, Extent.EXPAND) == (schema, [])
