"""Rated usage as files: CSV, Parquet and FOCUS, exact, whole or not at all."""

import asyncio
import csv
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import pyarrow as pa
import pytest
from pyarrow import parquet

from rater_service.bills.export import export_rollups
from rater_service.bills.export_layout import RATED_USAGE, Cell
from rater_service.bills.rollups import Selection
from rater_service.cli import main
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.rows import KeptRows

pytestmark = pytest.mark.one_postgres

type Capture = pytest.CaptureFixture[str]


async def phoebe(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "--database-url", url])


@pytest.fixture
async def rated(ledger: Ledger) -> Ledger:
    """A database with bills of two customers, in two hours, of which one is free."""
    await ledger.store(
        make_event(),
        make_event(auth_id="bob", model_id="ft:x", base_model="meta/base-a"),
        make_event(HOUR + ONE_HOUR, model_id="free/free", cached_tokens=0),
        make_event(HOUR + ONE_HOUR, auth_id="bob", prompt_tokens=2**53, completion_tokens=None),
    )
    await ledger.rate(HOUR, HOUR + 2 * ONE_HOUR)
    return ledger


async def total(ledger: Ledger) -> Decimal:
    return Decimal(sum(int(row["cost"].scaleb(9)) for row in await ledger.rollups())).scaleb(-9)


def read_csv(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_csv_has_every_rollup_with_all_its_columns(
    rated: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "november.csv"
    assert await phoebe(database_url, "export", "2026-11", "--format", "csv", "-o", str(file)) == 0
    rows = read_csv(file)
    expected = [{name: _csv_text(value) for name, value in row.items()} for row in await rated.rollups()]
    assert rows == expected
    assert list(rows[0]) == [column.name for column in RATED_USAGE.columns]
    written = capsys.readouterr()
    assert written.out == ""
    assert f"4 rollups written to {file}" in written.err.replace("\n", "")


def _csv_text(value: Cell) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Decimal):
        return format(value, "f")
    return "" if value is None else str(value)


async def test_parquet_has_the_same_with_exact_decimals(
    rated: Ledger, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "november.parquet"
    assert await phoebe(database_url, "export", "2026-11", "--format", "parquet", "-o", str(file)) == 0
    table = parquet.read_table(file)
    assert table.schema.field("cost").type == pa.decimal128(38, 9)
    assert table.schema.field("applied_prompt_rate").type == pa.decimal128(20, 9)
    assert table.schema.field("window_start").type == pa.timestamp("us", tz="UTC")
    assert table.to_pylist() == [dict(row) for row in await rated.rollups()]


async def test_the_rows_of_focus_add_up_to_the_bills(
    rated: Ledger, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "november.focus.csv"
    names = ("--provider", "Example Corp", "--service", "Model Serving")
    assert await phoebe(database_url, "export", "2026-11", "--format", "focus", *names, "-o", str(file)) == 0
    rows = read_csv(file)
    nanos = sum(int(Decimal(row["BilledCost"]).scaleb(9)) for row in rows)
    assert Decimal(nanos).scaleb(-9) == await total(rated)
    for row in rows:
        product = int(Decimal(row["ConsumedQuantity"])) * int(Decimal(row["ListUnitPrice"]).scaleb(9))
        assert product == int(Decimal(row["BilledCost"]).scaleb(9))
        assert row["BilledCost"] == row["EffectiveCost"] == row["ListCost"] == row["ContractedCost"]
        assert row["ProviderName"] == row["PublisherName"] == row["InvoiceIssuerName"] == "Example Corp"
    meters = [(row["BillingAccountId"], row["x_ModelId"], row["SkuMeter"]) for row in rows]
    assert meters == [
        ("alice", "meta/base-a", "Prompt Tokens"),
        ("alice", "meta/base-a", "Cached Prompt Tokens"),
        ("alice", "meta/base-a", "Completion Tokens"),
        ("bob", "ft:x", "Prompt Tokens"),
        ("bob", "ft:x", "Cached Prompt Tokens"),
        ("bob", "ft:x", "Completion Tokens"),
        ("alice", "free/free", "Prompt Tokens"),
        ("alice", "free/free", "Completion Tokens"),
        ("bob", "meta/base-a", "Prompt Tokens"),
        ("bob", "meta/base-a", "Cached Prompt Tokens"),
    ]
    assert rows[0]["ChargePeriodStart"] == "2026-11-20T10:00:00Z"
    assert rows[0]["ChargePeriodEnd"] == "2026-11-20T11:00:00Z"
    assert rows[0]["BillingPeriodStart"] == "2026-11-01T00:00:00Z"
    assert rows[0]["BillingPeriodEnd"] == "2026-12-01T00:00:00Z"
    assert rows[0]["SkuPriceId"] == "meta/base-a/prompt@0.000000200"


async def test_focus_as_parquet_has_the_same_rows_with_exact_decimals(
    rated: Ledger, database_url: str, tmp_path: Path
) -> None:
    text, binary = tmp_path / "focus.csv", tmp_path / "focus.parquet"
    for form, file in (("focus", text), ("focus-parquet", binary)):
        assert await phoebe(database_url, "export", "2026-11", "--format", form, "-o", str(file)) == 0
    table = parquet.read_table(binary)
    rows = read_csv(text)
    assert table.column_names == list(rows[0])
    assert [str(cost) for cost in table["BilledCost"].to_pylist()] == [
        str(Decimal(row["BilledCost"]).quantize(Decimal("1e-9"))) for row in rows
    ]


async def test_an_export_can_say_what_the_bills_said_earlier(
    rated: Ledger, database_url: str, tmp_path: Path
) -> None:
    before = await rated.rollups()
    moment = await rated.pool.fetchval("SELECT clock_timestamp()")
    await rated.store(make_event(), make_event(auth_id="carol"))
    await rated.force("DELETE FROM stored_event WHERE auth_id = 'bob'")
    await rated.force("DELETE FROM hourly_usage WHERE auth_id = 'bob'")
    await rated.rate(HOUR, HOUR + 2 * ONE_HOUR)
    file = tmp_path / "then.parquet"
    arguments = ("export", "2026-11", "--format", "parquet", "-o", str(file), "--as-of", moment.isoformat())
    assert await phoebe(database_url, *arguments) == 0
    assert parquet.read_table(file).to_pylist() == [dict(row) for row in before]


async def test_a_file_that_is_there_is_replaced_only_by_force(
    rated: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    file = tmp_path / "bills.csv"
    file.write_text("precious")
    arguments = ("export", "2026-11", "--format", "csv", "-o", str(file))
    assert await phoebe(database_url, *arguments) == 1
    assert "is there already; --force replaces it" in capsys.readouterr().err.replace("\n", " ")
    assert file.read_text() == "precious"
    assert await phoebe(database_url, *arguments, "--force") == 0
    assert len(read_csv(file)) == 4
    assert [found.name for found in _files(tmp_path)] == ["bills.csv"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "nowhere/bills.csv"), "can't write nowhere/bills.csv: No such file"),
        (("-o", "bills.csv", "--as-of", "2126-01-01"), "is not past"),
        (("-o", "bills.csv", "--provider", " "), "must not be empty"),
    ],
)
async def test_a_failed_export_leaves_nothing_behind(  # noqa: PLR0917
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await phoebe(database_url, "export", "2026-11", "--format", "focus", *arguments) == 1
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert _files(tmp_path) == []


async def test_an_export_of_nothing_is_a_file_with_columns_and_no_rows(
    database_url: str, tmp_path: Path
) -> None:
    for form in ("csv", "focus", "parquet", "focus-parquet"):
        file = tmp_path / form
        assert await phoebe(database_url, "export", "2026-11", "--format", form, "-o", str(file)) == 0
    assert read_csv(tmp_path / "csv") == read_csv(tmp_path / "focus") == []
    assert (tmp_path / "csv").read_text().startswith("id,auth_id,")
    assert parquet.read_table(tmp_path / "parquet").num_rows == 0
    assert parquet.read_table(tmp_path / "focus-parquet").column_names[0] == "BilledCost"


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_an_export_can_be_piped(rated: Ledger, database_url: str, form: str) -> None:
    command = [sys.executable, "-m", "rater_service.cli", "export", "2026-11", "--format", form]
    run = await asyncio.to_thread(
        subprocess.run, [*command, "--database-url", database_url], check=True, capture_output=True
    )
    if form == "parquet":
        assert parquet.read_table(io.BytesIO(run.stdout)).num_rows == 4
    else:
        assert len(list(csv.DictReader(io.StringIO(run.stdout.decode())))) == 4
    assert b"4 rollups" in run.stderr


async def test_an_export_is_of_one_snapshot_whatever_happens_meanwhile(
    rated: Ledger, database_url: str
) -> None:
    await rated.pool.execute(
        "INSERT INTO rated_usage OVERRIDING SYSTEM VALUE SELECT made.*"
        " FROM rated_usage u, generate_series(1, 6000) n,"
        " jsonb_populate_record(u, jsonb_build_object('id', 1000 + n, 'auth_id', 'auth-' || n)) made"
        " WHERE u.auth_id = 'alice' AND u.model_id = 'meta/base-a'"
    )

    async def take_all_away() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("DELETE FROM rated_usage")
        await connection.close()

    with ThreadPoolExecutor(max_workers=1) as thread:

        def between_the_first_rows_and_the_others(_count: int) -> None:
            thread.submit(asyncio.run, take_all_away()).result()

        writer = KeptRows()
        exported = await export_rollups(
            rated.pool,
            Selection(HOUR, HOUR + 2 * ONE_HOUR),
            None,
            RATED_USAGE,
            writer,
            now=HOUR + 9 * ONE_HOUR,
            on_count=between_the_first_rows_and_the_others,
        )
    assert exported.rollups == len(writer.rows) == 6004
    assert await rated.rollups() == []
