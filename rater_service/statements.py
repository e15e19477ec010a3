"""The SQL statements, each a file in sql/ that says what it is for."""

from functools import cache
from pathlib import Path

SQL = Path(__file__).with_name("sql")


@cache
def statement(name: str) -> str:
    """Return the text of sql/<name>.sql."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")
