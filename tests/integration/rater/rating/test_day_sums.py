"""The sums of bills by the day are those of the rollups, whatever runs and others do to these."""

import asyncio
from datetime import UTC
from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater_service.audit.audit import AuditRequest, audit
from rater_service.audit.findings import Finding
from rater_service.bills.report import BY_DAY, Grouping, add_up_days, make_report
from rater_service.bills.rollups import Selection, reading
from rater_service.cli import main
from rater_service.rating.day_sums import DAY, compare_days, rebuild_days
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event

MIDNIGHT = HOUR.replace(hour=0)
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
    async with ledger.pool.acquire() as connection:
        count, _ = await compare_days(connection, MIDNIGHT - 10 * DAY, MIDNIGHT + 10 * DAY, 10)
    return count


def test_whatever_runs_do_the_sums_are_those_of_the_rollups(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner
) -> None:
    dearer = PRICES.replace(b'prompt: "0.000000200"', b'prompt: "0.000000900"')

    async def check(steps: list[tuple[str, int, object, object]], cut_h: int) -> None:
        await oracle_ledger.forget()
        await oracle_ledger.forget_prices()
        await oracle_ledger.load()
        await oracle_ledger.load(dearer + b'effective_from: "2026-11-20T00:00:00Z"\n', HOUR)
        for kind, hour, one, other in steps:
            at = MIDNIGHT + hour * ONE_HOUR
            if kind == "store":
                await oracle_ledger.store(make_event(at, auth_id=one, model_id=other))
            elif kind == "rate":
                await oracle_ledger.rate(
                    MIDNIGHT, at + ONE_HOUR, now=NOW, reprice=bool(one), dry_run=bool(other)
                )
            else:
                await oracle_ledger.force(
                    f"DELETE FROM billing_event WHERE auth_id = '{one}';"
                    f" DELETE FROM hourly_usage WHERE auth_id = '{one}'"
                )
        assert await differences(oracle_ledger) == 0
        whole = Selection(MIDNIGHT + cut_h * ONE_HOUR, MIDNIGHT + 49 * ONE_HOUR)
        for by in [*combinations(sorted(BY_DAY), 2), (Grouping.HOUR,)]:
            async with reading(oracle_ledger.pool) as connection:
                added = await add_up_days(connection, whole, by)
            made = await make_report(oracle_ledger.pool, whole, by, None, NOW)
            assert (added.rows, added.total) == (made.rows, made.total)

    @settings(max_examples=12)
    @given(STEPS, st.integers(0, 26))
    def holds(steps: list[tuple[str, int, object, object]], cut_h: int) -> None:
        oracle_runner.run(check(steps, cut_h))

    holds()


@pytest.mark.one_postgres
async def test_sums_that_are_wrong_are_found_by_the_audit_and_made_again(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event(auth_id="alice"), make_event(HOUR + DAY, auth_id="bob"))
    await ledger.rate(HOUR, HOUR + DAY + ONE_HOUR, now=NOW)
    await ledger.force("UPDATE rated_day SET cost = cost + 1 WHERE auth_id = 'alice'")
    await ledger.force("DELETE FROM rated_day WHERE auth_id = 'bob'")
    found = (await audit(ledger.pool, AuditRequest(), NOW)).findings
    assert found.difference_counts[Finding.DAY_SUMS_DIFFER] == 2
    command = ["sums", "rebuild-days", "--json", "--database-url", database_url]
    assert await asyncio.to_thread(main, [*command, "--dry-run"]) == 2
    assert await differences(ledger) == 2
    capsys.readouterr()
    assert await asyncio.to_thread(main, command) == 2
    told = json_documents.read(capsys.readouterr().out)
    assert (told["days"], told["days_differing"]) == (2, 2)
    assert told["differences"][0]["summed_cost"] == "1.000023000"
    assert await asyncio.to_thread(main, command) == 0
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
        added = await add_up_days(connection, Selection(MIDNIGHT, MIDNIGHT + DAY), [Grouping.CUSTOMER])
    assert (added.rows, added.total.cost) == ((), Decimal(0))
