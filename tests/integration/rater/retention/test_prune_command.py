"""`phoebe prune` from the command line: what it says, what it exports, and what it asks."""

import gzip
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from rater_service.database.database import Pool
from rater_service.errors import OperatorError
from rater_service.events.store import Fate
from rater_service.retention.csv_export import export_events
from tests.harness import json_documents
from tests.harness.ledger import Ledger
from tests.harness.old_events import (
    MINUTE,
    NOW,
    OLDEST_WEEK,
    STORED_AT,
    events_of,
    judge,
    store,
    timed_event,
)
from tests.integration.rater.cli.test_cli_with_database import phoebe

pytestmark = pytest.mark.one_postgres

OPTION = ("--before", "2026-11-16T00:00Z")
type Capture = pytest.CaptureFixture[str]


async def prune(url: str, *arguments: str) -> int:
    return await phoebe(url, "prune", *OPTION, *arguments)


def said(capsys: Capture) -> Any:
    return json_documents.read(capsys.readouterr().out)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def manifest_of(file: Path) -> dict[str, Any]:
    """Read the manifest beside a file, which must have the file's sum."""
    manifest: dict[str, Any] = json.loads(Path(str(file).replace(".csv.gz", ".json")).read_text())
    assert hashlib.sha256(file.read_bytes()).hexdigest() == manifest["sha256"]
    return manifest


def unpacked(file: Path) -> io.BytesIO:
    return io.BytesIO(gzip.decompress(file.read_bytes()))


async def restored(pool: Pool, file: Path) -> list[tuple[object, ...]]:
    """Read a file back as PostgreSQL does."""
    async with pool.acquire() as connection:
        await connection.execute("CREATE TABLE restored (LIKE billing_event)")
        await connection.copy_to_table("restored", source=unpacked(file), format="csv", header=True)
        rows = await connection.fetch("SELECT * FROM restored ORDER BY request_id")
        await connection.execute("DROP TABLE restored")
    return [tuple(row) for row in rows]


async def test_a_dry_run_says_what_would_be_dropped_and_drops_nothing(
    old: Ledger, database_url: str, capsys: Capture
) -> None:
    before = await events_of(old.pool)
    assert await prune(database_url, "--dry-run", "--json") == 0
    partitions = said(capsys)["partitions"]
    assert [(one["partition"], one["events"], one["dropped"]) for one in partitions] == [
        ("billing_event_2026w45", 7, False),
        ("billing_event_2026w46", 2, False),
    ]
    assert await prune(database_url, "--dry-run") == 0
    assert "may be dropped" in capsys.readouterr().out
    assert await events_of(old.pool) == before


async def test_old_events_are_dropped_and_then_there_are_none(
    old: Ledger, database_url: str, capsys: Capture
) -> None:
    assert await prune(database_url, "--yes", "--by", "ops") == 0
    assert "dropped 9 events of 2 partitions" in capsys.readouterr().out
    assert len(await events_of(old.pool)) == 1
    assert await old.pool.fetchval("SELECT DISTINCT pruned_by FROM pruned_event_range") == "ops"
    assert await prune(database_url, "--yes") == 0
    assert (
        "no events to drop: no partition whose ids are all from before then has any"
        in capsys.readouterr().out
    )
    assert await phoebe(database_url, "audit") == 0
    assert "pruned: 9 events" in capsys.readouterr().out


async def test_what_stays_is_exit_code_2_and_every_reason_says_what_to_do(
    old: Ledger, database_url: str, capsys: Capture
) -> None:
    await store(old.pool, timed_event(OLDEST_WEEK, 10, outcome="?"), at=STORED_AT)
    await old.force("UPDATE rated_usage SET prompt_tokens = prompt_tokens + 1 WHERE auth_id = 'bob'")
    assert await prune(database_url, "--yes") == 2
    shown = capsys.readouterr().out
    for words in (
        "OPEN_REJECTED_EVENTS: 1 not settled",
        "phoebe rejected list",
        "ROLLUP_DIFFERS_FROM_EVENTS",
    ):
        assert words in shown
    assert await prune(database_url, "--yes", "--json", "--accept", "OPEN_REJECTED_EVENTS") == 2
    first, second = said(capsys)["partitions"]
    kinds = {reason["kind"] for reason in first["reasons"]}
    assert kinds == {"ROLLUP_DIFFERS_FROM_EVENTS", "DAY_SUMS_DIFFER"}
    assert not first["dropped"]
    assert not second["dropped"]
    assert len(await events_of(old.pool)) == 10


async def test_where_nobody_can_be_asked_nothing_is_dropped(
    old: Ledger, database_url: str, capsys: Capture
) -> None:
    assert await prune(database_url) == 1
    assert "add --yes, or --dry-run" in capsys.readouterr().err
    assert await prune(database_url, "--json") == 1
    assert len(await events_of(old.pool)) == 10


@pytest.mark.parametrize(
    ("arguments", "said_of_them"),
    [
        (("--before", "2026-11-16T00:30Z"), "--before must be a whole UTC hour"),
        (("--before", "2100-01-01T00:00Z"), "routine runs rate what follows"),
        ((*OPTION, "--accept", "ROLLUP_MISSING"), "ROLLUP_MISSING: not one of LOST_EVENTS"),
    ],
)
async def test_wrong_usage_is_exit_code_1(
    database_url: str, arguments: tuple[str, ...], said_of_them: str, capsys: Capture
) -> None:
    assert await phoebe(database_url, "prune", "--yes", *arguments) == 1
    assert said_of_them in " ".join(capsys.readouterr().err.replace("│", "").split())


async def test_exported_events_can_be_read_back_whole(
    old: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    odd = timed_event(OLDEST_WEEK, 11, usage_raw='{"a":\n"b, \\"c\\" é"}', finish_reason="stop")
    assert await store(old.pool, odd, at=STORED_AT) == [Fate.STORED]
    await old.force("UPDATE producer SET last_seq = 11")
    await old.rate(OLDEST_WEEK, NOW.replace(hour=0, minute=0), now=NOW)
    before = [tuple(row) for row in await events_of(old.pool)]

    assert await prune(database_url, "--yes", "--json", "--export", str(tmp_path / "archive")) == 0

    files = []
    for partition in said(capsys)["partitions"]:
        file = Path(partition["export"]["path"])
        manifest = manifest_of(file)
        assert (manifest["sha256"], manifest["events"]) == (
            partition["export"]["sha256"],
            partition["events"],
        )
        files.append(file)
    back = [row for file in files for row in await restored(old.pool, file)]
    left = [tuple(row) for row in await events_of(old.pool)]
    assert sorted(back + left) == sorted(before)
    recorded = await old.pool.fetch("SELECT export_path, export_sha256 FROM pruned_event_range ORDER BY id")
    assert [row["export_path"] for row in recorded] == [str(file) for file in files]
    assert names(tmp_path / "archive") == {
        f"billing_event_2026w{week}.{suffix}" for week in (45, 46) for suffix in ("csv.gz", "json")
    }


async def test_an_export_that_is_there_already_is_kept_and_another_file_is_never_overwritten(
    old: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    other = tmp_path / "billing_event_2026w45.csv.gz"
    other.write_bytes(b"something else")
    assert await prune(database_url, "--yes", "--export", str(tmp_path)) == 1
    assert "holds other events" in capsys.readouterr().err
    assert other.read_bytes() == b"something else"
    assert names(tmp_path) == {other.name}
    assert len(await events_of(old.pool)) == 10
    other.unlink()

    await old.pool.execute(
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        " CREATE EVENT TRIGGER no ON sql_drop EXECUTE FUNCTION no()"
    )
    assert await prune(database_url, "--yes", "--export", str(tmp_path)) == 1
    first = other.read_bytes()
    await old.pool.execute("DROP EVENT TRIGGER no")
    assert await prune(database_url, "--yes", "--export", str(tmp_path)) == 0
    assert other.read_bytes() == first
    assert manifest_of(other)["events"] == len(await restored(old.pool, other)) == 7


async def test_an_export_that_does_not_hold_exactly_the_judged_events_is_no_export(
    old: Ledger, tmp_path: Path
) -> None:
    verdict, _ = await judge(old.pool, STORED_AT - MINUTE)
    await store(old.pool, timed_event(OLDEST_WEEK, 11), at=NOW)
    with pytest.raises(OperatorError, match=r"has 8 events .* should have 7"):
        await export_events(old.pool, verdict.events, tmp_path, NOW)
    assert names(tmp_path) == set()


async def test_a_folder_that_can_not_be_written_to_is_said_and_events_stay(
    old: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "file").touch()
    assert await prune(database_url, "--yes", "--export", str(tmp_path / "file")) == 1
    assert "can't be exported" in capsys.readouterr().err
    assert len(await events_of(old.pool)) == 10
