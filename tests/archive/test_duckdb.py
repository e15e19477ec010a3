"""The queries of docs/archive.md, run by DuckDB over an archive as it lies."""

import asyncio
import json
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.archive.conftest import PROGRAMS
from tests.harness.archives import PRUNE, Capture, phoebe, said
from tests.harness.ledger import Ledger
from tests.harness.old_events import two_weeks_of_events
from tests.harness.page_blocks import every_block

pytestmark = pytest.mark.one_postgres

QUERIES = [block for block in every_block() if block.page == "docs/archive.md" and block.language == "sql"]
REQUEST = "0193a1c2-5ab0-7cc1-8d2e-1f0e2d4c5b6a"
RUN = """
import json, sys, duckdb
rows = duckdb.sql(sys.argv[1]).fetchall()
print(json.dumps(rows, default=str))
"""


async def run(query: str) -> list[list[Any]]:
    """Run a query as a user of DuckDB does, in a process without Phoebe."""
    assert (PROGRAMS / "python").exists(), "DuckDB is not installed: make test-archive"
    rows: list[list[Any]] = json.loads(await asyncio.to_thread(_run, query))
    return rows


def _run(query: str) -> str:
    command: list[str | Path] = [PROGRAMS / "python", "-c", RUN, query]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def query(words: str, folder: Path) -> str:
    """Give the query of the page that has these words, for an archive in a folder."""
    (block,) = [block for block in QUERIES if words in block.code]
    first = two_weeks_of_events()[0].request_id
    return block.code.replace("/archive/", f"{folder}/").replace(REQUEST, first).replace("2025", "2026")


async def test_the_queries_of_the_page_answer_what_phoebe_says(
    old: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0
    # The year of these events is not over.
    await write_books(old, tmp_path)
    capsys.readouterr()

    by_customer = await run(query("GROUP BY auth_id, model_id", tmp_path))
    assert ["alice", "meta/base-a", 4, "300", "30"] in [
        [*row[:3], str(row[3]), str(row[4])] for row in by_customer
    ]
    assert sum(row[2] for row in by_customer) == 9

    ((request_id, *_),) = await run(query("WHERE request_id", tmp_path))
    assert request_id == two_weeks_of_events()[0].request_id

    _, report = await said(database_url, capsys, "report", "2026-11", "--by", "customer")
    billed = {row["auth_id"]: Decimal(row["cost"]) for row in report["rows"]}
    assert {who: Decimal(cost) for who, cost in await run(query("sum(cost)", tmp_path))} == billed

    assert await run(query("summed_events <> archived_events", tmp_path)) == []
    await old.force("UPDATE hourly_usage SET event_count = event_count + 1 WHERE auth_id = 'bob'")
    await write_books(old, tmp_path)
    assert {row[1] for row in await run(query("summed_events <> archived_events", tmp_path))} == {"bob"}
    assert len(QUERIES) == 4, "a query of the page is not tested"


async def write_books(ledger: Ledger, folder: Path) -> None:
    """Write the books of a year that is not over yet: the command would refuse it."""
    from rater_service.archive.books import archive_books
    from tests.harness.old_events import NOW

    await archive_books(ledger.pool, 2026, str(folder), "ops", NOW, lambda _: None)
