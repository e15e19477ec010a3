"""The sums of bills by the day are those of the rollups, whatever runs and others do to these."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import combinations, cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.findings import Finding
from rater_service.bills.report import Grouping, make_report, total_of
from rater_service.bills.rollups import Selection, reading
from rater_service.bills.sums import ADDABLE, Order, add_up
from rater_service.cli import main
from rater_service.rating.day_sums import DAY, compare_coarser, compare_days, rebuild_days
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event

MIDNIGHT = HOUR.replace(hour=0)
MONTH_END = datetime(2026, 12, 1, tzinfo=UTC)
NOW = HOUR + 300 * ONE_HOUR
type Capture = pytest.CaptureFixture[str]

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("store"),
            st.integers(0, 47),
            st.sampled_from("ab"),
            st.sampled_from(["meta/base-a", "tiny/nano"]),
        ),
        st.tuples(st.just("rate"), st.integers(0, 47), st.booleans(), st.booleans()),
        st.tuples(st.just("lose"), st.integers(0, 47), st.sampled_from("ab"), st.none()),
    ),
    max_size=10,
)


async def differences(ledger: Ledger) -> int:
    days = (MIDNIGHT - 10 * DAY, MIDNIGHT + 15 * DAY)
    async with ledger.pool.acquire() as connection:
        return sum([(await compare(connection, *days, 10))[0] for compare in (compare_days, compare_coarser)])


def windows(cut_h: int) -> Iterator[Selection]:
    """Windows around the end of a month: parts of days, days, whole months, and months up to an hour."""
    month, after = MONTH_END.replace(day=1) - 30 * DAY, MONTH_END + 30 * DAY
    cut = MONTH_END - DAY + cut_h * ONE_HOUR
    for start, end in ((cut, MONTH_END + 25 * ONE_HOUR), (month, after), (month, cut), (cut, after)):
        yield Selection(start, end)
    yield Selection(month, after, auth_id="a")
    yield Selection(month, after, model_id="tiny/nano")


def test_whatever_runs_do_the_sums_are_those_of_the_rollups(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner
) -> None:
    dearer = PRICES.replace(b'prompt: "0.000000200"', b'prompt: "0.000000900"')
    first = MONTH_END - DAY

    async def check(steps: list[tuple[str, int, object, object]], cut_h: int) -> None:
        await oracle_ledger.forget()
        await oracle_ledger.forget_prices()
        await oracle_ledger.load()
        await oracle_ledger.load(dearer + b'effective_from: "2026-11-30T00:00:00Z"\n', HOUR)
        for kind, hour, one, other in steps:
            at = first + hour * ONE_HOUR
            if kind == "store":
                await oracle_ledger.store(make_event(at, auth_id=one, model_id=other))
            elif kind == "rate":
                await oracle_ledger.rate(
                    first, at + ONE_HOUR, now=NOW, reprice=bool(one), dry_run=bool(other)
                )
            else:
                await oracle_ledger.force(
                    f"DELETE FROM stored_event WHERE auth_id = '{one}';"
                    f" DELETE FROM hourly_usage WHERE auth_id = '{one}'"
                )
        assert await differences(oracle_ledger) == 0
        groupings = [*combinations(sorted(ADDABLE), 2), (Grouping.CUSTOMER,), ()]
        # Each grouping with some window, and over all examples with each.
        for by, window in zip(groupings, cycle(windows(cut_h)), strict=False):
            await compare_with_report(oracle_ledger, window, by)

    @settings(max_examples=12)
    @given(STEPS, st.integers(0, 26))
    def holds(steps: list[tuple[str, int, object, object]], cut_h: int) -> None:
        oracle_runner.run(check(steps, cut_h))

    holds()


async def compare_with_report(ledger: Ledger, window: Selection, by: Sequence[Grouping]) -> None:
    made = await make_report(ledger.pool, window, by, None, NOW)
    async with reading(ledger.pool) as connection:
        added = await add_up(connection, window, by)
        dearest = await add_up(connection, window, by, Order.COST, 1)
    assert (added.rows, added.total, added.left_out) == (made.rows if by else (), made.total, 0)
    assert dearest.total == made.total
    if by and made.rows:
        (row,) = dearest.rows
        assert row.sums.cost == max(one.sums.cost for one in made.rows)
        assert dearest.left_out == len(made.rows) - 1
        assert total_of([row.sums, dearest.others]) == made.total


@pytest.mark.one_postgres
async def test_sums_that_are_wrong_are_found_by_the_audit_and_made_again(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event(auth_id="alice"), make_event(HOUR + DAY, auth_id="bob"))
    await ledger.rate(HOUR, HOUR + DAY + ONE_HOUR, now=NOW)
    await ledger.force("UPDATE rated_day SET cost = cost + 1 WHERE auth_id = 'alice'")
    await ledger.force("DELETE FROM rated_day WHERE auth_id = 'bob'")
    found = (await audit(ledger.pool, AuditRequest(), NOW)).findings
    # By the day, by the month and by the day of a model: two each.
    assert found.difference_counts[Finding.DAY_SUMS_DIFFER] == 6
    command = ["sums", "rebuild-days", "--json", "--database-url", database_url]
    assert await asyncio.to_thread(main, [*command, "--dry-run"]) == 2
    # By the day, by the month and by the day of a model: two each.
    assert await differences(ledger) == 6
    capsys.readouterr()
    assert await asyncio.to_thread(main, command) == 2
    told = json_documents.read(capsys.readouterr().out)
    assert (told["days"], told["days_differing"]) == (2, 2)
    assert told["differences"][0]["summed_cost"] == "1.000023000"
    assert await asyncio.to_thread(main, command) == 0
    assert await differences(ledger) == 0


@pytest.mark.one_postgres
async def test_coarser_sums_that_are_wrong_are_found_and_made_again_alone(ledger: Ledger) -> None:
    await ledger.store(
        make_event(auth_id="alice"), make_event(HOUR + DAY, auth_id="bob", model_id="tiny/nano")
    )
    await ledger.rate(HOUR, HOUR + DAY + ONE_HOUR, now=NOW)
    await ledger.force("UPDATE rated_month SET events = events + 1 WHERE auth_id = 'alice'")
    await ledger.force("DELETE FROM rated_model_day WHERE model_id = 'tiny/nano'")
    # A window of a day finds and mends what is wrong with its month.
    found = await rebuild_days(ledger.pool, HOUR, HOUR + ONE_HOUR)
    assert (found.days, found.days_differing, found.difference_count) == (1, 0, 2)
    assert [(one.sum, one.auth_id, one.model_id) for one in found.differences] == [
        ("model day", None, "tiny/nano"),
        ("month", "alice", "meta/base-a"),
    ]
    assert await differences(ledger) == 0


@pytest.mark.one_postgres
async def test_days_are_those_of_utc_whatever_the_session_thinks(ledger: Ledger) -> None:
    await ledger.store(make_event(MIDNIGHT + 23 * ONE_HOUR))
    async with ledger.pool.acquire() as connection:
        await connection.execute("SET timezone = 'Pacific/Auckland'")
        await ledger.rate(MIDNIGHT, MIDNIGHT + DAY, now=NOW)
        assert await connection.fetchval("SELECT day FROM rated_day") == MIDNIGHT.astimezone(UTC)
    assert (await rebuild_days(ledger.pool, None, None)).difference_count == 0


@pytest.mark.one_postgres
async def test_without_bills_there_is_nothing_to_make_again(ledger: Ledger) -> None:
    assert (await rebuild_days(ledger.pool, None, None)).days == 0
    async with reading(ledger.pool) as connection:
        added = await add_up(connection, Selection(MIDNIGHT, MIDNIGHT + DAY), [Grouping.CUSTOMER])
    assert (added.rows, added.total.cost) == ((), Decimal(0))
