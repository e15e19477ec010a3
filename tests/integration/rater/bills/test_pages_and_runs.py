"""Pages of rated usage while runs change the bills, and what reading bills asks of the database."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict

import pytest

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.bills.rated_usage import RatedUsageFilter, list_rated_usage
from rater_service.bills.rollups import AsOf, Selection, over_rollups
from rater_service.database.database import Pool
from rater_service.rollup import RollupKey
from rater_service.statements import Bound, bound
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event
from tests.harness.plans import pages_read, plan
from tests.harness.rater import Rater

EVERYTHING = RatedUsageFilter(None, None, None, None)
WINDOW = Selection(HOUR - 9 * ONE_HOUR, HOUR)
KEY = RollupKey(HOUR - ONE_HOUR, "auth-7", "resource-7", "meta/base-a")


async def pages(
    pool: Pool, wanted: RatedUsageFilter, between: Callable[[], Awaitable[None]], size: int = 2
) -> list[dict[str, object]]:
    """Read a whole listing, with something happening after every page."""
    rows: list[dict[str, object]] = []
    token = None
    while True:
        page = await list_rated_usage(pool, wanted, size, token)
        rows += map(dict, page.rows)
        if page.next_page_token is None:
            return rows
        token = page.next_page_token
        await between()


async def bills(ledger: Ledger) -> list[dict[str, object]]:
    return [dict(row) for row in await ledger.rollups()]


async def change_everything(ledger: Ledger) -> None:
    """Store late events for some rollups, for new ones before, among and after them, and take others away."""
    await ledger.store(
        make_event(auth_id="a1"),
        make_event(auth_id="a5"),
        make_event(auth_id="a0"),
        make_event(auth_id="a3x"),
        make_event(auth_id="z"),
    )
    await ledger.force("DELETE FROM stored_event WHERE auth_id IN ('a2', 'a4')")
    await ledger.force("DELETE FROM hourly_usage WHERE auth_id IN ('a2', 'a4')")
    await ledger.rate()


@pytest.mark.parametrize("filtered", [None, "auth_id", "resource_id", "window"])
async def test_all_pages_show_the_bills_as_they_were_at_the_first(
    ledger: Ledger, filtered: str | None
) -> None:
    await ledger.store(*(make_event(auth_id=f"a{number}") for number in range(1, 7)))
    await ledger.store(*(make_event(auth_id="a4", resource_id=f"r{number}") for number in range(4)))
    await ledger.rate()
    wanted = {
        None: EVERYTHING,
        "auth_id": RatedUsageFilter(None, None, "a4", None),
        "resource_id": RatedUsageFilter(None, None, None, "deployment-1"),
        "window": RatedUsageFilter(HOUR, HOUR + ONE_HOUR, None, None),
    }[filtered]
    before = [
        row
        for row in await bills(ledger)
        if row["auth_id"] == (wanted.auth_id or row["auth_id"])
        and row["resource_id"] == (wanted.resource_id or row["resource_id"])
    ]
    runs = iter([change_everything, _bring_back])

    async def next_run() -> None:
        run = next(runs, None)
        if run is not None:
            await run(ledger)

    assert await pages(ledger.pool, wanted, next_run) == before
    assert await bills(ledger) != before


async def _bring_back(ledger: Ledger) -> None:
    """Bill again, under other numbers, what was taken away, and take away what came."""
    await ledger.store(make_event(auth_id="a2"), make_event(auth_id="a4"))
    await ledger.force("DELETE FROM stored_event WHERE auth_id IN ('a0', 'z', 'a6')")
    await ledger.force("DELETE FROM hourly_usage WHERE auth_id IN ('a0', 'z', 'a6')")
    await ledger.rate()


async def test_a_listing_that_begins_after_a_run_shows_what_it_left(ledger: Ledger) -> None:
    await ledger.store(*(make_event(auth_id=f"a{number}") for number in range(1, 7)))
    await ledger.rate()
    await change_everything(ledger)

    async def nothing() -> None:
        pass

    assert await pages(ledger.pool, EVERYTHING, nothing) == await bills(ledger)


async def test_pages_over_the_wire_are_of_one_moment_too(rater: Rater, ledger: Ledger) -> None:
    await ledger.store(*(make_event(auth_id=f"a{number}") for number in range(1, 7)))
    await ledger.rate()
    before = [(row["id"], row["event_count"]) for row in await ledger.rollups()]
    first = await rater.rating.ListRatedUsage(pb.ListRatedUsageRequest(page_size=1))
    await change_everything(ledger)
    rest = await rater.rating.ListRatedUsage(
        pb.ListRatedUsageRequest(page_size=1000, page_token=first.next_page_token)
    )
    assert [(row.id, row.event_count) for row in (*first.rated_usage, *rest.rated_usage)] == before


@pytest.fixture
async def busy(ledger: Ledger) -> Ledger:
    """A month of rollups that runs wrote and wrote again, so that reading a part by index pays."""
    await ledger.store(make_event())
    await ledger.rate()
    key = (
        "'id', 100 + 60 * n + a, 'auth_id', 'auth-' || a, 'resource_id', 'resource-' || a,"
        " 'window_start', u.window_start - n * interval '1 hour'"
    )
    await ledger.pool.execute(
        "INSERT INTO rated_usage OVERRIDING SYSTEM VALUE"
        " SELECT made.* FROM rated_usage u, generate_series(1, 200) n, generate_series(1, 60) a,"
        f" jsonb_populate_record(u, jsonb_build_object({key},"
        " 'window_end', u.window_end - n * interval '1 hour')) made"
    )
    await ledger.pool.execute(
        "INSERT INTO rated_usage_change OVERRIDING SYSTEM VALUE"
        " SELECT made.* FROM rated_usage_change u, generate_series(1, 200) n, generate_series(1, 60) a,"
        f" jsonb_populate_record(u, jsonb_build_object({key})) made"
    )
    await ledger.pool.execute("ANALYZE")
    return ledger


async def custom_plan(pool: Pool, statement: Bound) -> str:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        return await plan(connection, statement)


async def test_a_later_page_reads_its_index_and_the_changes_since_the_first(busy: Ledger) -> None:
    last_change = await busy.pool.fetchval("SELECT max(id) FROM rated_usage_change")
    seen = RollupKey(HOUR - 5 * ONE_HOUR, "auth-7", "resource-7", "m")
    after = {f"after_{name}": value for name, value in asdict(seen).items()}
    for wanted, index in (
        (RatedUsageFilter(None, None, None, None), "rated_usage_rollup"),
        (RatedUsageFilter(HOUR - 9 * ONE_HOUR, HOUR, None, None), "rated_usage_rollup"),
        (RatedUsageFilter(None, None, "auth-7", None), "rated_usage_auth"),
        (RatedUsageFilter(None, None, None, "resource-7"), "rated_usage_resource"),
    ):
        for place in (dict.fromkeys(after), after):
            for since in (last_change, last_change - 50):
                page = bound("bills/list_rated_usage", **asdict(wanted), **place, limit=10, last_change=since)
                text = await custom_plan(busy.pool, page)
                assert index in text
                assert "Seq Scan on rated_usage_change" not in text
                assert not re.search("Hash.* Anti Join", text), "it would read all rollups for a page"
                assert not re.search("Seq Scan on rated_usage", text)


async def test_a_page_costs_what_it_holds_however_much_a_run_changed_since_the_first(ledger: Ledger) -> None:
    await ledger.store(*(make_event(auth_id=f"a{number:04}") for number in range(2000)))
    await ledger.rate()
    first = await ledger.pool.fetchval("SELECT max(id) FROM rated_usage_change")
    await ledger.load(PRICES.replace(b"0.000000600", b"0.000000700"), at=HOUR - 20 * ONE_HOUR)
    assert (await ledger.rate(reprice=True)).rollups_written == 2000
    await ledger.pool.execute("ANALYZE")
    place = {f"after_{name}": value for name, value in asdict(RollupKey(HOUR, "a0500", "", "")).items()}
    read = []
    for since in (2 * first, first):
        page = bound("bills/list_rated_usage", **asdict(EVERYTHING), **place, limit=10, last_change=since)
        async with ledger.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
            read.append(await pages_read(connection, page))
    assert "rated_usage_change_deleted" in await custom_plan(ledger.pool, page)
    assert read[1] < 10 * read[0]


async def test_a_window_is_reported_and_exported_from_the_index_of_hours(busy: Ledger) -> None:
    past = AsOf(HOUR, None)
    for name, extra in (("bills/report", {"by": ["day", "customer"]}), ("bills/rollups_in_order", {})):
        now = await custom_plan(busy.pool, over_rollups(name, WINDOW, None, **extra))
        assert "rated_usage_rollup" in now
        assert "rated_usage_change" not in now
        then = await custom_plan(busy.pool, over_rollups(name, WINDOW, past, **extra))
        assert "rated_usage_change_once" in then
        assert not re.search("Seq Scan on rated_usage", now + then)


async def test_one_rollup_is_explained_from_the_indexes_of_its_key(busy: Ledger) -> None:
    key = asdict(KEY)
    nothing = dict.fromkeys(key)
    by_key = await custom_plan(busy.pool, bound("bills/explain_rollup", id=None, **key))
    assert "Index Scan" in by_key
    by_number = await custom_plan(busy.pool, bound("bills/explain_rollup", id=107, **nothing))
    assert "rated_usage_pkey" in by_number
    changes = await custom_plan(busy.pool, bound("bills/explain_changes", **key))
    assert "rated_usage_change_once" in changes
