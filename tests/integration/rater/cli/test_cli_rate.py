"""`phoebe rate`: one line for the scheduler, whose bills change for the operator, long windows in parts."""

import asyncio
import getpass
import json
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from rater_service.cli import main
from rater_service.rating.turn import rating_turn
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

pytestmark = pytest.mark.one_postgres

type Capture = pytest.CaptureFixture[str]

DAY = timedelta(days=1)


async def rate(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["rate", *arguments, "--database-url", url])


def bounds(start: datetime, end: datetime) -> tuple[str, ...]:
    return "--since", start.isoformat(), "--until", end.isoformat()


async def test_a_scheduler_gets_one_line(ledger: Ledger, database_url: str, capsys: Capture) -> None:
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await ledger.store(make_event(this_hour - ONE_HOUR), make_event(this_hour - 23 * ONE_HOUR))
    assert await rate(database_url) == 0
    shown = capsys.readouterr()
    (line,) = shown.out.splitlines()
    assert line.startswith("run 1: ")
    assert "2 events = 2 rated" in line
    assert shown.err == ""


async def test_late_usage_is_rated_by_a_routine_run_and_named_beyond_its_bound(
    ledger: Ledger, database_url: str, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    await ledger.store(make_event(this_hour - 3 * DAY), make_event(this_hour - 5 * DAY))
    assert await rate(database_url, "--late-days", "4") == 2
    first, late, title, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("run 1: ")
    assert late.startswith("late usage was rated, too: run 2: ")
    assert "1 event = 1 rated" in late
    assert title.strip() == "LATE_USAGE: whose events, most first"
    (line,) = (record.message for record in caplog.records if record.levelname == "ERROR")
    assert "LATE_USAGE: 1 event, 110 tokens; most of all auth_id 'alice'" in line
    command = line.rpartition("next: phoebe rate ")[2].split()
    assert await rate(database_url, *command) == 0
    assert await rate(database_url) == 0
    assert len(await ledger.rollups()) == 2


async def test_a_dry_run_shows_whose_bills_would_change(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event(), make_event(auth_id="bob"))
    await ledger.rate()
    await ledger.store(make_event(auth_id="bob"), make_event(auth_id="carol"))
    assert await rate(database_url, *bounds(HOUR, HOUR + ONE_HOUR), "--dry-run") == 0
    line, title, *table = capsys.readouterr().out.splitlines()
    assert "dry run, nothing changed" in line
    assert "bills that would change" in title
    rows = [[cell.strip() for cell in row.split("│")[1:-1]] for row in table if "│" in row]
    assert rows == [
        ["bob", "0", "1", "0", "0.000023000", "0.000046000", "0.000023000"],
        ["carol", "1", "0", "0", "0", "0.000023000", "0.000023000"],
        ["all, unchanged ones included", "1", "1", "0", "0.000046000", "0.000092000", "0.000046000"],
    ]
    assert len(await ledger.rollups()) == 2


async def test_a_long_window_is_rated_in_parts_that_are_told(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    start = HOUR - 70 * DAY
    await ledger.store(make_event(start), make_event(start + 31 * DAY), make_event(HOUR - ONE_HOUR))
    assert await rate(database_url, *bounds(start, HOUR), "--mode", "routine") == 0
    shown = capsys.readouterr()
    (line,) = shown.out.splitlines()
    assert line.startswith("runs 1 to 3: 2026-09-11T10:00:00Z to 2026-11-20T10:00:00Z: 3 events = 3 rated")
    assert line.endswith("rollups: 3 written, 0 unchanged, 0 deleted; total 0.000069000 USD")
    assert [told[:12] for told in shown.err.splitlines()] == [f"{n} of 3: run " for n in (1, 2, 3)]
    kept = await ledger.pool.fetch("SELECT window_start, window_end FROM rating_run ORDER BY id")
    assert [tuple(run) for run in kept] == [
        (start, start + 31 * DAY),
        (start + 31 * DAY, start + 62 * DAY),
        (start + 62 * DAY, HOUR),
    ]


async def test_a_long_window_as_json_is_a_list_of_runs(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.store(make_event(HOUR - ONE_HOUR, model_id="nobody/knows"))
    assert await rate(database_url, *bounds(HOUR - 32 * DAY, HOUR), "--json") == 2
    told = json_documents.read(capsys.readouterr().out)
    assert told["mode"] == "BACKFILL"
    assert [(run["run_id"], len(run["anomalies"])) for run in told["runs"]] == [
        (1, 0),
        (2, 1),
    ]
    assert told["runs"][0]["changes"]["total"]["difference"] == "0"


@pytest.mark.parametrize(
    ("start", "end", "complaint"),
    [
        (HOUR - 40 * DAY, HOUR + 9000 * DAY, "--since must be at most 3720 days before"),
        (HOUR - 40 * DAY, HOUR + 3000 * DAY, "--until must not be after the end of the running hour"),
        (HOUR - 40 * DAY, HOUR + timedelta(minutes=1), "--until must be a whole UTC hour"),
        (HOUR, HOUR - 40 * DAY, "--until must be after --since"),
    ],
)
async def test_a_window_that_can_not_be_rated_to_its_end_is_not_begun(
    ledger: Ledger, database_url: str, capsys: Capture, *, start: datetime, end: datetime, complaint: str
) -> None:
    assert await rate(database_url, *bounds(start, end)) == 1
    assert complaint in capsys.readouterr().err
    assert await ledger.pool.fetchval("SELECT count(*) FROM rating_run") == 0


async def test_a_run_is_kept_for_the_user_unless_another_name_is_given(
    ledger: Ledger, database_url: str
) -> None:
    assert await rate(database_url) == 0
    assert await rate(database_url, "--by", "Ada in finance") == 0
    assert await rate(database_url, "--by", " ") == 1
    kept = await ledger.pool.fetch("SELECT requested_by FROM rating_run ORDER BY id")
    assert [run["requested_by"] for run in kept] == [
        f"cli:{getpass.getuser()}@{socket.gethostname()}",
        "Ada in finance",
    ]


async def test_a_database_that_gives_up_is_a_failure_that_says_to_try_again(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    database = await ledger.pool.fetchval("SELECT current_database()")
    async with rating_turn(ledger.pool):
        await ledger.pool.execute(f"ALTER DATABASE {database} SET lock_timeout = '10ms'")
        assert await rate(database_url) == 1
    complaint = capsys.readouterr().err
    assert "was not rated; try again: canceling statement due to lock timeout" in complaint
    assert "Traceback" not in complaint


@pytest.mark.parametrize(
    ("reason", "odd", "then"),
    [
        ("UNPRICED", {"model_id": "nobody/knows"}, None),
        ("UNATTRIBUTABLE", {"auth_id": None}, None),
        ("UNATTRIBUTABLE", {"resource_id": None}, None),
        ("UNATTRIBUTABLE", {"model_id": None}, None),
        ("MODEL_UNTRUSTED", {"model_untrusted": True}, None),
        ("AMBIGUOUS_BASE", {"model_id": "ft:z", "base_model": "meta/base-b"}, None),
        ("MISSING_USAGE", {"usage_found": False}, None),
        ("BILLED_ROLLUP_DELETED", {}, "DELETE FROM stored_event WHERE auth_id = 'odd'"),
        ("ROLLUP_TAMPERED", {}, "DELETE FROM rated_usage WHERE auth_id = 'odd'"),
    ],
)
async def test_every_kind_of_anomaly_is_logged_as_an_error_kept_and_makes_exit_code_2(
    ledger: Ledger,
    database_url: str,
    caplog: pytest.LogCaptureFixture,
    *,
    reason: str,
    odd: dict[str, object],
    then: str | None,
) -> None:
    await ledger.store(
        make_event(),
        make_event(**{"auth_id": "odd"} | odd),
        make_event(model_id="ft:z", base_model="meta/base-a"),
    )
    if reason == "AMBIGUOUS_BASE":
        await ledger.store(make_event(model_id="ft:z", base_model="meta/base-b"))
    await ledger.rate()
    if then:
        await ledger.correct(then)
    caplog.clear()
    assert await rate(database_url, *bounds(HOUR, HOUR + ONE_HOUR), "--mode", "routine") == 2
    assert [record.levelname for record in caplog.records if reason in record.message] == ["ERROR"]
    kept = await ledger.pool.fetchval("SELECT anomalies FROM rating_run ORDER BY id DESC LIMIT 1")
    assert [anomaly["reason"] for anomaly in json.loads(kept)] == [reason]


async def test_what_needs_a_human_is_said_once_in_the_log_and_its_names_in_a_table(
    ledger: Ledger, database_url: str
) -> None:
    await ledger.store(
        make_event(model_id="nobody/knows"),
        make_event(usage_found=False, outcome="aborted", answer_bytes=5000),
        make_event(HOUR - ONE_HOUR),
    )
    command = (sys.executable, "-m", "rater_service.cli", "rate", *bounds(HOUR, HOUR + ONE_HOUR))
    done = await asyncio.to_thread(
        subprocess.run,
        (*command, "--database-url", database_url),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    logged = done.stderr.splitlines()
    levels = sorted(line.split()[1] for line in logged)
    assert levels == ["ERROR", "ERROR", "WARNING"]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ", line) for line in logged)
    for said in (
        "UNPRICED: 1 event,",
        "add the price",
        "LATE_USAGE: 1 event,",
        "phoebe_abort=drain",
    ):
        assert (done.stdout + done.stderr).count(said) == 1, said
    assert done.stdout.count("nobody/knows") == 1
    assert not re.search(r"\d\+00:00", done.stdout + done.stderr)
