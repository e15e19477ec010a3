"""The books of a closed year in the archive: what the database has, proved; the database keeps it."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from pyarrow import parquet

from rater_service.archive import books
from rater_service.archive.books import TABLES, archive_books
from rater_service.errors import OperatorError
from tests.harness.archives import Capture, phoebe, said
from tests.harness.ledger import ONE_HOUR, Ledger
from tests.harness.old_events import NOW, bills_of, store, timed_event

pytestmark = pytest.mark.one_postgres

LAST_HOUR = datetime(2025, 12, 31, 23, tzinfo=UTC)


@pytest.fixture
async def closed(old: Ledger) -> Ledger:
    """Besides, the last hour of the year before, and the first of the next."""
    for number, hour in enumerate((LAST_HOUR, LAST_HOUR + ONE_HOUR), 11):
        await store(old.pool, timed_event(hour, number, prompt_tokens=2**53), at=hour + ONE_HOUR)
    await old.rate(LAST_HOUR, LAST_HOUR + 2 * ONE_HOUR, now=NOW)
    await old.rate(LAST_HOUR, LAST_HOUR + ONE_HOUR, now=NOW)
    return old


async def test_the_books_of_a_year_are_those_of_the_database_which_keeps_them(
    closed: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    before = await bills_of(closed.pool)

    status, written = await said(
        database_url, capsys, "archive", "books", "2025", "--archive", str(tmp_path), "--by", "ops"
    )

    assert status == 0
    assert {file["kind"]: file["rows"] for file in written["files"]} == {
        "hourly_usage": 1, "rated_usage": 1, "rated_usage_change": 1, "rating_run": 2,
    }  # fmt: skip
    assert await bills_of(closed.pool) == before
    year = "window_start >= '2025-01-01 00:00Z' AND window_start < '2026-01-01 00:00Z'"
    for table in TABLES:
        expected = [
            dict(row) for row in await closed.pool.fetch(f"SELECT * FROM {table} WHERE {year} ORDER BY 1")
        ]
        assert parquet.read_table(tmp_path / f"books/2025/{table}.parquet").to_pylist() == expected
        manifest = json.loads((tmp_path / f"books/2025/{table}.json").read_text())
        assert (manifest["kind"], manifest["year"], manifest["rows"]) == (table, 2025, len(expected))
    (rollup,) = parquet.read_table(tmp_path / "books/2025/rated_usage.parquet").to_pylist()
    assert rollup["cost"].as_tuple().exponent == -9
    assert isinstance(rollup["prompt_tokens"], int | Decimal)

    await closed.force("UPDATE rating_run SET requested_by = 'other' WHERE id = 1")
    assert await phoebe(database_url, "archive", "books", "2025", "--archive", str(tmp_path)) == 0
    assert "bytes a row" in capsys.readouterr().out
    assert await closed.pool.fetchval("SELECT count(*) FROM archived_file") == 4
    assert (await said(database_url, capsys, "audit"))[0] == 0


async def test_a_year_that_is_not_closed_is_refused(
    closed: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    assert closed
    assert await phoebe(database_url, "archive", "books", "2099", "--archive", str(tmp_path)) == 1
    assert "2099 is not closed: routine runs rate what ends after" in capsys.readouterr().err


async def test_books_of_another_installation_are_not_replaced(
    closed: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    assert await phoebe(database_url, "archive", "books", "2025", "--archive", str(tmp_path)) == 0
    assert await phoebe(database_url, "installation", "renew") == 0
    assert await phoebe(database_url, "archive", "books", "2025", "--archive", str(tmp_path)) == 1
    assert "hourly_usage.parquet of the archive" in capsys.readouterr().err
    (tmp_path / "books/2025/hourly_usage.parquet").write_bytes(b"something else")
    assert await phoebe(database_url, "archive", "books", "2025", "--archive", str(tmp_path)) == 1
    assert "is no Parquet file: move it away" in capsys.readouterr().err
    assert closed


async def test_books_that_do_not_add_up_are_not_stored(
    closed: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "_table", _with_another_cost)
    with pytest.raises(OperatorError, match="rated_usage, 1 row, does not add up"):
        await archive_books(closed.pool, 2025, str(tmp_path), "ops", NOW, lambda _: None)
    assert not (tmp_path / "books").exists()


_table = books._table


def _with_another_cost(rows: list[dict[str, object]], schema: object) -> object:
    changed = [{**row, "cost": Decimal(1)} if "cost" in row else row for row in rows]
    return _table(changed, schema)
