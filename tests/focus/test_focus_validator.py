"""What `phoebe export --format focus` writes, judged by the validator of the FinOps Foundation."""

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from rater_service.cli import main
from tests.focus.conftest import PYTHON
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

pytestmark = pytest.mark.focus

RULES_VERSION = "1.2.0.1"
# What the validator cannot know of who wrote the file.
CRITERIA = (
    "PUBLIC_PRICE_LIST_SUPPORTED",
    "UNIT_PRICING_SUPPORTED",
    "USAGE_MEASUREMENT_SUPPORTED",
    "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED",
    "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
)
# One of two alternatives of InvoiceId-C-003-C, which passes: what is on no invoice yet has no InvoiceId.
NOT_BY_ITSELF = {"InvoiceId-C-005-C"}
RULES_MIN = 200


def validate(file: Path, folder: Path) -> tuple[int, set[str]]:
    """Run the validator; give how many rules passed, and the names of those that failed."""
    options = ["--validate-version", RULES_VERSION, "--applicability-criteria", ",".join(CRITERIA)]
    run = subprocess.run(
        [PYTHON, "-m", "focus_validator.main", "--data-file", file, "--block-download", *options],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    summary = re.search(r"^Total: \d+ \| Pass: (\d+) \| Fail: (\d+)", run.stdout, re.MULTILINE)
    assert summary, run.stdout + run.stderr
    failed = set(re.findall(r"^\W*(\S+): FAIL", run.stdout, re.MULTILINE))
    assert len(failed) == int(summary[2]), run.stdout
    return int(summary[1]), failed


@pytest.mark.parametrize(("form", "name"), [("focus", "bills.csv"), ("focus-parquet", "bills.parquet")])
async def test_the_official_validator_finds_no_fault(  # noqa: PLR0917
    ledger: Ledger, database_url: str, tmp_path: Path, validator_folder: Path, form: str, name: str
) -> None:
    await ledger.store(
        make_event(),
        make_event(auth_id="bob", model_id="ft:x", base_model="meta/base-a"),
        make_event(model_id="tiny/nano", prompt_tokens=3, cached_tokens=None),
        make_event(HOUR + ONE_HOUR, model_id="free/free", cached_tokens=0),
        make_event(HOUR + ONE_HOUR, auth_id="bob", prompt_tokens=2**53, completion_tokens=None),
    )
    await ledger.rate(HOUR, HOUR + 2 * ONE_HOUR)
    file = tmp_path / name
    arguments = ["export", "2026-11", "--format", form, "-o", str(file), "--database-url", database_url]
    assert await asyncio.to_thread(main, arguments) == 0
    passed, failed = await asyncio.to_thread(validate, file, validator_folder)
    assert failed == NOT_BY_ITSELF
    assert passed > RULES_MIN


async def test_the_validator_would_find_a_fault(
    ledger: Ledger, database_url: str, tmp_path: Path, validator_folder: Path
) -> None:
    await ledger.store(make_event())
    await ledger.rate()
    file = tmp_path / "bills.csv"
    arguments = ["export", "2026-11", "--format", "focus", "-o", str(file), "--database-url", database_url]
    assert await asyncio.to_thread(main, arguments) == 0
    await asyncio.to_thread(spoil, file)
    _, failed = await asyncio.to_thread(validate, file, validator_folder)
    assert any(name.startswith("ServiceCategory-") for name in failed)


def spoil(file: Path) -> None:
    file.write_text(file.read_text().replace("AI and Machine Learning", "Magic"))
