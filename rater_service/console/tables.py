"""Tables: what a page shows. Money and times stay exact."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import asyncpg

from rater_service.database.database import Connection
from rater_service.hours import utc_text
from rater_service.money import decimal_text
from rater_service.statements import Bound

type Value = str | int | Decimal | datetime | None


class Kind(StrEnum):
    """What a column holds, and so how it stands."""

    TEXT = "text"
    NAME = "name"
    """What customers and engines call things: any characters."""
    ID = "id"
    """A number or an id by which something is found: shown whole, without spaces between its digits."""
    WORDS = "words"
    """Text that is wrapped."""
    COUNT = "count"
    MONEY = "money"
    RATE = "rate"
    TIME = "time"
    CODE = "code"
    """A command to copy, or a line of a file."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column. name: in CSV and JSON. label: on the page, with the unit."""

    name: str
    label: str
    kind: Kind = Kind.TEXT


@dataclass(frozen=True, slots=True)
class Cell:
    """A value. href: where it leads to. shown: what stands there on the page instead. anchor: its id."""

    value: Value
    href: str | None = None
    shown: str | None = None
    anchor: str | None = None


type Row = tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class AllRows:
    """All rows of a table, to be read while they are written.

    statement: gives a record for each. row_of: makes the row. total: the last line.
    """

    statement: Bound
    row_of: Callable[[asyncpg.Record], Row]
    total: Row | None = None


type Source = Callable[[Connection], Awaitable[AllRows]]
"""Is given the snapshot in which the rows will be read, so that they and the total agree."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. name: in its download's URL. total: its last line, over all rows there are, shown or not.

    more: the link to the rows after these, or to all. is_cut: there are more rows than these. empty: what is
    said instead of no rows. of_estimates: its money is on no bill. source: where a download reads all rows;
    None: `rows` are all, or is_cut says that they are not.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[Row]
    total: Row | None = None
    more: str | None = None
    is_cut: bool = False
    empty: str = "Nothing."
    note: str | None = None
    of_estimates: bool = False
    source: Source | None = None


def row(*values: Value | Cell) -> Row:
    """Make a row."""
    return tuple(value if isinstance(value, Cell) else Cell(value) for value in values)


def value_text(value: Value) -> str:
    """Write a value in full, as downloads have it."""
    match value:
        case None:
            return ""
        case Decimal():
            return decimal_text(value)
        case datetime():
            return utc_text(value)
    return str(value)
