"""The command line on a real database."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.cli import main
from rater_service.database.database import Pool
from rater_service.database.revisions import load_revisions
from rater_service.database.schema import known_revisions
from rater_service.events.store import store_events
from tests.harness import json_documents
from tests.harness.later_revisions import write_revision

pytestmark = pytest.mark.one_postgres

type MakeEvent = Callable[..., MeteringEvent]
type Capture = pytest.CaptureFixture[str]

WINDOW = ["--since", "2026-11-20T10:00Z", "--until", "2026-11-20T11:00"]


@pytest.fixture
def prices(tmp_path: Path) -> str:
    file = tmp_path / "prices.yaml"
    file.write_text(
        "version: 1\nbase_models:\n"
        '  meta/base-a: { prompt: "0.000000003", cached: "0.000000001", completion: "0.000000005" }\n'
    )
    return str(file)


async def phoebe(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "--database-url", url])


async def store(pool: Pool, *events: MeteringEvent) -> None:
    await store_events(pool, events, datetime(2026, 11, 20, 12, tzinfo=UTC))


async def test_a_clean_window_is_rated_with_exit_code_0(
    pool: Pool, database_url: str, make_event: MakeEvent, prices: str, capsys: Capture
) -> None:
    await store(pool, make_event())

    assert await phoebe(database_url, "rate", *WINDOW, "--prices", prices) == 0

    line, *table = capsys.readouterr().out.splitlines()
    assert "1 event = 1 rated + 0 unpriced" in line
    assert line.endswith("rollups: 1 written, 0 unchanged, 0 deleted; total 0.000000310 USD")
    assert ["alice", "1", "0", "0", "0", "0.000000310", "0.000000310"] in [
        row.replace("│", "").split() for row in table
    ]


@pytest.fixture
async def forgotten(pool: Pool, make_event: MakeEvent) -> None:
    """An event that has a price, and one of a model that has none."""
    await store(pool, make_event(), make_event(model_id="forgotten[/b]\x1b"))


@pytest.mark.usefixtures("forgotten")
async def test_an_anomaly_is_listed_by_name_with_exit_code_2(
    database_url: str, prices: str, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    assert await phoebe(database_url, "rate", *WINDOW, "--prices", prices) == 2

    shown = capsys.readouterr().out
    assert "UNPRICED: 1 event, 110 tokens" in caplog.text
    assert "forgotten[/b]\\x1b" in shown
    assert "NO_PRICE" in shown


async def test_a_run_as_json_is_pure_json(
    pool: Pool, database_url: str, make_event: MakeEvent, prices: str, capsys: Capture
) -> None:
    await store(pool, make_event(), make_event(model_id="forgotten"))

    assert await phoebe(database_url, "rate", *WINDOW, "--prices", prices, "--json", "--dry-run") == 2

    result = json_documents.read(capsys.readouterr().out)
    (run,) = result["runs"]
    assert (result["dry_run"], result["mode"], run["total_cost"]) == (True, "BACKFILL", "0.000000310")
    assert run["window_start"] == "2026-11-20T10:00:00Z"
    assert [anomaly["reason"] for anomaly in run["anomalies"]] == ["UNPRICED"]
    assert await pool.fetchval("SELECT count(*) FROM rated_usage") == 0


async def test_without_bounds_the_trailing_24_complete_hours_are_a_routine_run(
    database_url: str, prices: str, capsys: Capture
) -> None:
    assert await phoebe(database_url, "rate", "--prices", prices, "--json") == 0

    result = json_documents.read(capsys.readouterr().out)
    (run,) = result["runs"]
    start, end = (datetime.fromisoformat(run[bound]) for bound in ("window_start", "window_end"))
    assert (end - start).total_seconds() == 24 * 3600
    assert (datetime.now(UTC) - end).total_seconds() < 2 * 3600
    assert (result["mode"], run["window_open"]) == ("ROUTINE", False)


async def test_bounds_that_are_not_whole_hours_are_a_failure_that_names_the_flag(
    database_url: str, prices: str, capsys: Capture
) -> None:
    bounds = ["--since", "2026-11-20T10:30", "--until", "2026-11-20T11:00"]

    assert await phoebe(database_url, "rate", *bounds, "--prices", prices) == 1
    assert "--since must be a whole UTC hour" in capsys.readouterr().err


async def test_rating_without_any_price_file_is_a_failure(database_url: str, capsys: Capture) -> None:
    assert await phoebe(database_url, "rate") == 1
    assert "no price file was ever loaded" in capsys.readouterr().err


async def test_a_faulty_price_file_is_refused_before_anything_is_rated(
    pool: Pool, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text("version: 2\n")

    assert await phoebe(database_url, "rate", "--prices", str(faulty)) == 1
    assert "2 faults" in capsys.readouterr().err
    assert await pool.fetchval("SELECT count(*) FROM rating_run") == 0


async def test_a_quote_comes_from_the_price_books_that_were_loaded(
    database_url: str, prices: str, capsys: Capture
) -> None:
    assert await phoebe(database_url, "quote", "meta/base-a") == 1
    assert "no price file was ever loaded" in capsys.readouterr().err

    assert await phoebe(database_url, "rate", "--prices", prices) == 0
    capsys.readouterr()
    assert await phoebe(database_url, "quote", "meta/base-a", "--prompt", "2", "--json") == 0
    assert json_documents.read(capsys.readouterr().out)["cost"] == "0.000000006"


async def test_migrating_says_what_it_did(empty_database_url: str, capsys: Capture) -> None:
    assert await phoebe(empty_database_url, "rate") == 1
    assert "run `phoebe migrate`" in capsys.readouterr().err

    assert await phoebe(empty_database_url, "migrate", "--plan") == 0
    assert "the schema is empty; to come:\n0001 (expand): The start" in capsys.readouterr().out

    assert await phoebe(empty_database_url, "migrate") == 0
    said = capsys.readouterr()
    assert "migrated the schema: empty -> " in said.out
    assert "0001 (expand): The start" in said.err

    assert await phoebe(empty_database_url, "migrate", "--phase", "expand", "--json") == 0
    result = json_documents.read(capsys.readouterr().out)
    assert result["before"] == result["after"]
    assert result["left"] == []
    assert await phoebe(empty_database_url, "migrate", "--plan", "--json") == 0
    plan = json_documents.read(capsys.readouterr().out)
    assert (plan["before"], plan["revisions"]) == (result["after"], [])


async def test_how_far_a_migration_goes_decides_whether_services_of_this_version_can_start(
    empty_database_url: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here one more revision expands, behind those that contract, as where a release was skipped."""
    last = int(known_revisions().known[-1].id)
    write_revision(tmp_path, last + 1, "CREATE TABLE later (id bigint PRIMARY KEY)")
    revisions = load_revisions(tmp_path)
    monkeypatch.setattr("rater_service.database.schema.known_revisions", lambda: revisions)
    known = revisions.known
    first_contracting = next(n for n, one in enumerate(known) if one.phase == "contract")
    assert {one.phase for one in known[first_contracting:]} == {"contract", "expand"}

    assert await phoebe(empty_database_url, "migrate", "--phase", "expand", "--json") == 0
    result = json_documents.read(capsys.readouterr().out)
    assert [one["id"] for one in result["left"]] == [one.id for one in known[first_contracting:]]
    assert (result["partitions_made"], result["partition_width"]) == ([], None)
    assert await phoebe(empty_database_url, "migrate", "--phase", "expand") == 0
    assert "services of this version can't start, and no partitions are made" in capsys.readouterr().out
    assert await phoebe(empty_database_url, "migrate", "--phase", "expand", "--partitions", "day") == 1
    assert "partitions can be made once the rest is migrated" in capsys.readouterr().err
    assert await phoebe(empty_database_url, "report") == 1

    assert await phoebe(empty_database_url, "migrate", "--phase", "needed", "--json") == 0
    result = json_documents.read(capsys.readouterr().out)
    assert {one["phase"] for one in result["left"]} <= {"contract"}
    assert result["partition_width"] == "week"
    assert await phoebe(empty_database_url, "report") == 0
