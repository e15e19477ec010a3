"""The documentation lists every table, and says the bounds that the code has."""

import re
from pathlib import Path

import pytest

from rater_service.hours import LATE_MAX

ROOT = Path(__file__).parents[3]


def test_every_table_is_listed() -> None:
    statements = "\n".join(path.read_text("utf-8") for path in (ROOT / "migrations").rglob("*.sql"))
    made = set(re.findall(r"CREATE TABLE (\w+)\b(?! PARTITION OF)", statements))
    section = (ROOT / "docs/rater.md").read_text("utf-8").partition("\n## Tables\n")[2].partition("\n## ")[0]
    listed = {
        name
        for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    renamed = set(re.findall(r"ALTER TABLE \w+ RENAME TO (\w+)", statements))
    assert listed == made | renamed | {"alembic_version"}


@pytest.mark.parametrize("page", ["audit", "guarantees", "rater", "rating", "scheduling"])
def test_how_old_usage_a_routine_run_takes_along_is_what_the_pages_say(page: str) -> None:
    assert f"{LATE_MAX.days} days" in (ROOT / "docs" / f"{page}.md").read_text("utf-8")
