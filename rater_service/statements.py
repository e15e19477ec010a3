"""The SQL statements: each is a file in the folder `sql` of the package that sends it.

Arguments have names: what a file calls `:window_start` is `window_start=…` where it is sent, in any order.
The columns of a rollup are not listed again: `{key}` and `{values}` stand for their names, `{new_values}` and
`{found.values}` for the same names with `new_` or `found.` before each.

A distributed database keeps events and sums by their producer, and plans less. `/*by producer: …*/` is in a
statement there alone; where that is not enough, distributed/sql has the whole statement once more, by the
name `package_name.sql`. Sessions send the form that their database takes; see `as_distributed`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rater_service.rollup import KEY, VALUES

type Bound = tuple[str, *tuple[object, ...]]
"""A statement and its arguments, in the order in which asyncpg takes them."""

_HERE = Path(__file__).parent
_COLUMNS = {"key": KEY, "values": VALUES}
# Comments stay as they are.
_COLUMN_LIST = re.compile(r"(--[^\n]*)|\{([a-z_.:]*)(key|values)\}")
_BY_PRODUCER = re.compile(r"\s*/\*by producer:(.*?)\*/", re.DOTALL)
_PART = re.compile(r"(--[^\n]*)|\{([a-z_]+)\}")
# A colon names an argument, but not in a text or a cast.
_ARGUMENT = re.compile(r"(--[^\n]*|'(?:[^']|'')*'|::)|:([a-z][a-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as PostgreSQL takes it. parameters: the names of $1, $2, …, each once."""

    text: str
    parameters: tuple[str, ...]

    def bind(self, arguments: Mapping[str, object]) -> Bound:
        """Put arguments in their order. Raises TypeError unless they are those of the statement."""
        if arguments.keys() != set(self.parameters):
            raise TypeError(f"the arguments are {sorted(self.parameters)}, not {sorted(arguments)}")
        return self.text, *(arguments[name] for name in self.parameters)


# By the text of a statement: itself, and its other form.
_distributed: dict[str, tuple[Statement, Statement]] = {}


@cache
def statement(name: str, **parts: str) -> Statement:
    """Read a statement: "rating/begin" stands in rating/sql/begin.sql.

    parts: what goes in the place of `{name}`, for a table or a subquery that is not always the same.
    """
    text = _filled(source(name), parts)
    plain = _numbered(_BY_PRODUCER.sub("", text))
    whole = f"distributed/{name.replace('/', '_')}"
    distributed = _filled(source(whole), parts) if _file(whole).exists() else text
    if distributed is not text or _BY_PRODUCER.search(text):
        _distributed[plain.text] = plain, _numbered(_BY_PRODUCER.sub(r"\1", distributed))
    return plain


def by_producer(plain: Statement) -> Statement:
    """Give the form of a statement for a distributed database, which may have further arguments."""
    return _distributed[plain.text][1]


def as_distributed(text: str, arguments: tuple[object, ...]) -> Bound:
    """Give a statement as a distributed database takes it, with its arguments in their order there."""
    if text not in _distributed:
        return text, *arguments
    plain, other = _distributed[text]
    given = dict(zip(plain.parameters, arguments, strict=True))
    return other.text, *(given[name] for name in other.parameters)


def bound(name: str, /, **arguments: object) -> Bound:
    """Give a statement with its arguments, for asyncpg: `connection.fetch(*bound("events/…", ids=ids))`."""
    return statement(name).bind(arguments)


@cache
def part(name: str, **parts: str) -> str:
    """Read what goes in the place of a `{name}` in a statement, and may have parts itself."""
    return _filled(source(name), parts)


@cache
def source(name: str) -> str:
    """Return the text of a statement with the columns of rollups filled in."""
    text = _file(name).read_text(encoding="utf-8")
    return _COLUMN_LIST.sub(
        lambda found: found[1] or ", ".join(found[2] + column for column in _COLUMNS[found[3]]), text
    )


def _file(name: str) -> Path:
    package, _, file = name.partition("/")
    return _HERE / package / "sql" / f"{file}.sql"


def _filled(text: str, parts: Mapping[str, str]) -> str:
    return _PART.sub(lambda found: found[1] or parts[found[2]], text)


def _numbered(text: str) -> Statement:
    numbers: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        return found[1] or f"${numbers.setdefault(found[2], len(numbers) + 1)}"

    return Statement(_ARGUMENT.sub(number, text), tuple(numbers))
