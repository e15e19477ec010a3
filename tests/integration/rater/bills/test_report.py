"""What reports say of a database's bills, now and as of earlier moments."""

import asyncio
import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rater_service.bills.report import BY_EVENT, BillSums, Grouping, Report, make_report
from rater_service.bills.rollups import Selection
from rater_service.cli import main
from rater_service.database.database import Pool
from rater_service.hours import hour_of, utc_text
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

pytestmark = pytest.mark.one_postgres

type Capture = pytest.CaptureFixture[str]

EVERYTHING = Selection(HOUR - 100 * ONE_HOUR, HOUR + 100 * ONE_HOUR)
NOW = HOUR + 300 * ONE_HOUR
GROUPINGS = [*(choice for count in (1, 2) for choice in combinations(Grouping, count)), tuple(Grouping)]
REPRICED = b"""
version: 1
base_models:
  "meta/base-a": { prompt: "0.000001", cached: "0.000001", completion: "0.000001" }
"""


async def phoebe(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "--database-url", url])


async def database_time(pool: Pool) -> datetime:
    moment: datetime = await pool.fetchval("SELECT clock_timestamp()")
    return moment


async def report(
    pool: Pool, *by: Grouping, selection: Selection = EVERYTHING, as_of: datetime | None = None
) -> Report:
    return await make_report(pool, selection, by or (Grouping.CUSTOMER,), as_of, NOW)


def costs(made: Report) -> dict[tuple[object, ...], Decimal]:
    return {tuple(row.names.values()): row.sums.cost for row in made.rows}


def add_up(parts: Sequence[BillSums]) -> BillSums:
    """The sums of sums, money in nano-dollars."""
    nanos = sum(int(part.cost.scaleb(9)) for part in parts)
    return BillSums(
        rollups=sum(part.rollups for part in parts),
        events=sum(part.events for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        cached_tokens=sum(part.cached_tokens for part in parts),
        billable_prompt_tokens=sum(part.billable_prompt_tokens for part in parts),
        completion_tokens=sum(part.completion_tokens for part in parts),
        cost=Decimal(nanos).scaleb(-9),
    )


async def test_a_report_adds_up_what_was_rated_by_what_it_is_asked_for(ledger: Ledger) -> None:
    await ledger.store(
        make_event(auth_id="bob"),
        make_event(auth_id="alice"),
        make_event(HOUR + ONE_HOUR, auth_id="alice", resource_id="other"),
        make_event(HOUR + 14 * ONE_HOUR, auth_id="alice"),
    )
    await ledger.rate(HOUR, HOUR + 15 * ONE_HOUR, now=HOUR + 20 * ONE_HOUR)
    one = Decimal("0.000023000")
    assert costs(await report(ledger.pool)) == {("alice",): 3 * one, ("bob",): one}
    assert costs(await report(ledger.pool, Grouping.DAY)) == {
        (datetime.fromisoformat("2026-11-20T00:00Z"),): 3 * one,
        (datetime.fromisoformat("2026-11-21T00:00Z"),): one,
    }
    assert list(costs(await report(ledger.pool, Grouping.RESOURCE, Grouping.CUSTOMER))) == [
        ("deployment-1", "alice"),
        ("deployment-1", "bob"),
        ("other", "alice"),
    ]
    hour = Selection(
        HOUR, HOUR + ONE_HOUR, auth_id="alice", resource_id="deployment-1", model_id="meta/base-a"
    )
    (row,) = (await report(ledger.pool, Grouping.HOUR, Grouping.MODEL, selection=hour)).rows
    assert row.names == {Grouping.HOUR: HOUR, Grouping.MODEL: "meta/base-a"}
    assert row.sums == BillSums(1, 1, 100, 20, 80, 10, one)


async def test_the_bounds_of_a_report_are_half_open(ledger: Ledger) -> None:
    await ledger.store(*(make_event(HOUR + hours * ONE_HOUR) for hours in (-1, 0, 1)))
    await ledger.rate(HOUR - ONE_HOUR, HOUR + 2 * ONE_HOUR)
    found = await report(ledger.pool, Grouping.HOUR, selection=Selection(HOUR, HOUR + ONE_HOUR))
    assert list(costs(found)) == [(HOUR,)]


async def test_a_report_says_what_the_bills_said_at_a_moment(ledger: Ledger) -> None:
    pool = ledger.pool
    before = await database_time(pool)
    await ledger.store(make_event(auth_id="alice"), make_event(auth_id="bob"))
    first = await ledger.rate()
    after_first = await database_time(pool)
    await ledger.store(make_event(auth_id="alice"), make_event(auth_id="carol"))
    await ledger.force("DELETE FROM stored_event WHERE auth_id = 'bob'")
    await ledger.force("DELETE FROM hourly_usage WHERE auth_id = 'bob'")
    second = await ledger.rate()
    after_second = await database_time(pool)
    await ledger.rate(dry_run=True)

    one = Decimal("0.000023000")
    assert costs(await report(pool, as_of=before)) == {}
    then = await report(pool, as_of=after_first)
    assert costs(then) == {("alice",): one, ("bob",): one}
    assert then.as_of is not None
    assert then.as_of.run_id == first.run_id
    later = await report(pool, as_of=after_second)
    assert costs(later) == costs(await report(pool)) == {("alice",): 2 * one, ("carol",): one}
    assert later.as_of is not None
    assert later.as_of.run_id == second.run_id
    now = await report(pool, as_of=await database_time(pool))
    assert now.as_of is not None
    assert now.as_of.run_id == second.run_id, "a dry run has no word in it"


def test_parts_add_up_to_the_whole_in_every_grouping(
    oracle_ledger: Ledger, oracle_runner: asyncio.Runner
) -> None:
    pool = oracle_ledger.pool
    tokens = st.one_of(st.integers(0, 9), st.integers(0, 2**53))
    events = st.builds(
        lambda offset_h, **fields: make_event(HOUR + timedelta(hours=offset_h), **fields),
        offset_h=st.integers(0, 30),
        auth_id=st.sampled_from("ab"),
        resource_id=st.sampled_from("xy"),
        model_id=st.sampled_from(["meta/base-a", "tiny/nano", "free/free"]),
        prompt_tokens=tokens,
        cached_tokens=tokens,
        completion_tokens=tokens,
        user_id=st.sampled_from(["u", "v", None]),
        group_id=st.sampled_from(["g", None]),
        api=st.sampled_from(["openai.chat", None]),
    )

    async def check(batch: list[object], cut_h: int) -> None:
        await oracle_ledger.forget()
        await oracle_ledger.store(*batch)  # type: ignore[arg-type] # Hypothesis builds events
        await oracle_ledger.rate(HOUR, HOUR + 31 * ONE_HOUR, now=HOUR + 40 * ONE_HOUR)
        rollups = await oracle_ledger.rollups()
        whole = sum(int(row["cost"].scaleb(9)) for row in rollups)
        for by in GROUPINGS:
            for as_of in (None, await database_time(pool)):
                found = await report(pool, *by, as_of=as_of)
                parts = add_up([row.sums for row in found.rows])
                if not BY_EVENT.isdisjoint(by):
                    # A rollup with events of several users counts in the row of each.
                    assert parts.rollups >= found.total.rollups
                    parts = replace(parts, rollups=found.total.rollups)
                assert parts == found.total
                assert int(found.total.cost.scaleb(9)) == whole
                names = {(row.events_known, *row.names.items()) for row in found.rows}
                assert len(names) == len(found.rows)
        cut = HOUR + cut_h * ONE_HOUR
        halves = [
            await report(pool, selection=Selection(start, end))
            for start, end in ((EVERYTHING.window_start, cut), (cut, EVERYTHING.window_end))
        ]
        assert add_up([half.total for half in halves]) == (await report(pool)).total

    @settings(max_examples=8)
    @given(st.lists(events, max_size=12), st.integers(0, 31))
    def agree(batch: list[object], cut_h: int) -> None:
        oracle_runner.run(check(batch, cut_h))

    agree()


async def test_a_rollup_is_divided_by_its_events_only_if_they_make_it(ledger: Ledger) -> None:
    by_user = (Grouping.USER, Grouping.API)
    await ledger.store(
        make_event(user_id="ann"),
        make_event(user_id="ann", prompt_tokens=10, cached_tokens=30),
        make_event(user_id="ben", api=None),
        make_event(auth_id="late", user_id="cat"),
        make_event(auth_id="gone", user_id="dan"),
        # Never billed, and in no part.
        make_event(user_id="eve", usage_found=False),
        make_event(user_id="eve", model_untrusted=True),
    )
    await ledger.rate()
    await ledger.store(make_event(auth_id="late", user_id="cat"))
    await ledger.correct("DELETE FROM stored_event WHERE auth_id = 'gone'")
    found = await report(ledger.pool, *by_user)
    one = Decimal("0.000023000")
    assert [(*row.names.values(), row.events_known, row.sums.cost) for row in found.rows] == [
        ("ann", "openai.chat", True, one + Decimal("0.000006500")),
        ("ben", None, True, one),
        (None, None, False, 2 * one),
    ]
    assert found.total.cost == 4 * one + Decimal("0.000006500")


async def test_events_of_a_fine_tune_with_another_base_are_in_no_part_of_its_rollup(ledger: Ledger) -> None:
    tuned = {"model_id": "ft:x", "base_model": "meta/base-a"}
    await ledger.store(make_event(user_id="ann", **tuned), make_event(user_id="ben", model_id="ft:x"))
    await ledger.rate()
    (row,) = (await report(ledger.pool, Grouping.USER)).rows
    assert (row.names, row.events_known, row.sums.events) == ({Grouping.USER: "ann"}, True, 1)


async def test_months_are_those_of_utc(ledger: Ledger, database_url: str, capsys: Capture) -> None:
    last, first = datetime.fromisoformat("2026-11-30T23:00Z"), datetime.fromisoformat("2026-12-01T00:00Z")
    await ledger.store(make_event(last), make_event(first))
    await ledger.rate(last, last + 2 * ONE_HOUR, now=first + 20 * ONE_HOUR)
    await ledger.pool.execute("ALTER ROLE CURRENT_USER SET timezone = 'Pacific/Auckland'")
    try:
        window = "2026-11-30T00:00Z/2026-12-02T00:00Z"
        assert await phoebe(database_url, "report", window, "--by", "month", "--json") == 0
        assert [row["month"] for row in json_documents.read(capsys.readouterr().out)["rows"]] == [
            "2026-11",
            "2026-12",
        ]
    finally:
        await ledger.pool.execute("ALTER ROLE CURRENT_USER RESET timezone")


async def test_in_cents_each_row_is_rounded_once_and_their_sum_is_the_total(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    # 0.004999800, 0.005000000 and 0.015000000 USD.
    for name, tokens in (("a", 24_999), ("b", 25_000), ("c", 75_000)):
        counts = {"prompt_tokens": tokens, "cached_tokens": 0, "completion_tokens": 0}
        await ledger.store(make_event(auth_id=name, **counts))
    await ledger.rate()
    arguments = ("report", "2026-11-20", "--cents")
    assert await phoebe(database_url, *arguments, "--json") == 0
    found = json_documents.read(capsys.readouterr().out)
    assert [row["cost_in_cents"] for row in found["rows"]] == ["0", "0.01", "0.02"]
    assert (found["total"]["cost"], found["total"]["cost_in_cents"]) == ("0.024999800", "0.03")
    assert await phoebe(database_url, *arguments, "--format", "csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert [row["cost_in_cents"] for row in rows] == ["0", "0.01", "0.02"]
    assert await phoebe(database_url, *arguments) == 0
    assert "differs from the exact total by 0.005000200 USD" in capsys.readouterr().out


async def test_the_command_says_that_the_running_hour_is_left_out_and_how_to_include_it(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    assert await phoebe(database_url, "report") == 0
    assert capsys.readouterr().err == ""
    hour = hour_of(datetime.now(UTC))
    await ledger.store(make_event(hour, auth_id="alice"), make_event(hour, auth_id="bob"))
    for command, events in (
        (("rate",), "2 events"),
        (("report",), "2 events"),
        (("report", "--auth", "bob"), "1 event"),
    ):
        assert await phoebe(database_url, *command) == 0
        start, end = utc_text(hour), utc_text(hour + ONE_HOUR)
        said = f"the running hour, {start} to {end}, is left out until it ends; it has {events} so far. "
        assert (
            f"{said}To include it now: phoebe rate --since {start} --until {end}\n" in capsys.readouterr().err
        )
    assert await phoebe(database_url, "report", "--auth", "nobody") == 0
    assert "running hour" not in capsys.readouterr().err
    assert (
        await phoebe(database_url, "rate", "--since", utc_text(hour), "--until", utc_text(hour + ONE_HOUR))
        == 0
    )
    assert await phoebe(database_url, "report") == 0
    assert "running hour" not in capsys.readouterr().err


async def test_the_command_shows_a_table_with_a_total(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event(auth_id="alice"), make_event(auth_id="bob"))
    await ledger.rate()
    assert await phoebe(database_url, "report", "2026-11-20", "--by", "day,customer") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z"
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines if line.startswith("│")]
    assert cells == [
        ["2026-11-20", "alice", "1", "1", "100", "20", "80", "10", "0.000023000"],
        ["2026-11-20", "bob", "1", "1", "100", "20", "80", "10", "0.000023000"],
        ["total", "", "2", "2", "200", "40", "160", "20", "0.000046000"],
    ]


async def test_the_command_writes_csv_that_programs_can_add_up(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event(auth_id='al"ice; inc'), make_event(auth_id="bob"))
    await ledger.rate()
    window = ("--since", "2026-11-20T10:00Z", "--until", "2026-11-20T11:00Z")
    assert (
        await phoebe(database_url, "report", *window, "--by", "hour", "--by", "auth", "--format", "csv") == 0
    )
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert [(row["hour"], row["auth_id"], row["cost"]) for row in rows] == [
        ("2026-11-20T10:00:00Z", 'al"ice; inc', "0.000023000"),
        ("2026-11-20T10:00:00Z", "bob", "0.000023000"),
    ]


async def test_the_command_writes_json_with_the_run_that_had_the_last_word(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event())
    run = await ledger.rate(by="atlas")
    moment = await database_time(ledger.pool)
    arguments = ("report", "2026-11", "--by", "model", "--as-of", moment.isoformat(), "--json")
    assert await phoebe(database_url, *arguments) == 0
    found = json_documents.read(capsys.readouterr().out)
    assert found["by"] == ["model_id"]
    assert found["rows"][0]["model_id"] == "meta/base-a"
    assert found["rows"][0]["cost"] == found["total"]["cost"] == "0.000023000"
    assert (found["run"]["id"], found["run"]["requested_by"]) == (run.run_id, "atlas")


async def test_the_command_says_that_nothing_was_billed(database_url: str, capsys: Capture) -> None:
    assert await phoebe(database_url, "report", "2026-11-20", "--auth", "alice") == 0
    assert capsys.readouterr().out == (
        "2026-11-20T00:00:00Z to 2026-11-21T00:00:00Z, auth id alice: nothing was billed\n"
    )
    assert await phoebe(database_url, "report", "2026-11-20", "--as-of", "2026-11-21T10:05Z") == 0
    assert "as of 2026-11-21T10:05:00Z, before the first run: nothing was billed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--by", "moon"), "'moon' is none of month, day, hour, customer, resource, model, user, group, api"),
        (("2026-13",), "is not a window"),
        (("2026-11", "--since", "2026-11-20"), "give WINDOW, or --since and --until"),
        (("--until", "2026-11-20"), "--until needs --since"),
        (("--since", "2026-11-20T10:30"), "--since must be a whole UTC hour"),
        (("--since", "2026-11-20", "--until", "2026-11-19"), "--until must be after --since"),
        (("2026-11", "--as-of", "2126-11-20"), "2126-11-20T00:00:00Z is not past"),
    ],
)
async def test_what_cannot_be_reported_is_refused(
    database_url: str, capsys: Capture, arguments: tuple[str, ...], fault: str
) -> None:
    assert await phoebe(database_url, "report", *arguments) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert fault in " ".join(written.err.replace("│", " ").split())
