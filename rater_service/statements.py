"""The SQL statements: each is a file in the folder `sql` of the package that sends it."""

from functools import cache
from pathlib import Path

_HERE = Path(__file__).parent


@cache
def statement(name: str) -> str:
    """Return the text of a statement: "rating/begin" stands in rating/sql/begin.sql."""
    package, _, file = name.partition("/")
    return (_HERE / package / "sql" / f"{file}.sql").read_text(encoding="utf-8")
