"""What an export has in which column: the layout of rated usage itself."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Protocol

type Cell = str | int | Decimal | datetime | None


class Rollup(Protocol):
    """A row of rated_usage, or what is read from the ledger as one."""

    def __getitem__(self, column: str, /) -> Cell:
        """Return the value of a column."""


class ColumnKind(Enum):
    """What a column holds; every kind can be absent (None)."""

    TEXT = auto()
    INTEGER = auto()
    """A whole number that fits 64 bits."""
    MONEY = auto()
    """USD, 9 decimals, 38 digits at most."""
    RATE = auto()
    """USD per token, 9 decimals, 20 digits at most."""
    TIME = auto()
    """UTC, to the microsecond."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an export. is_required: no row leaves it blank."""

    name: str
    kind: ColumnKind
    is_required: bool = True


@dataclass(frozen=True, slots=True)
class Layout:
    """How rollups become rows: columns, and what makes the rows of one rollup, none or several."""

    columns: tuple[Column, ...]
    rows: Callable[[Rollup], Iterable[tuple[Cell, ...]]]


_RATED_USAGE = (
    Column("id", ColumnKind.INTEGER),
    Column("auth_id", ColumnKind.TEXT),
    Column("resource_id", ColumnKind.TEXT),
    Column("model_id", ColumnKind.TEXT),
    Column("window_start", ColumnKind.TIME),
    Column("window_end", ColumnKind.TIME),
    Column("prompt_tokens", ColumnKind.INTEGER),
    Column("cached_tokens", ColumnKind.INTEGER),
    Column("completion_tokens", ColumnKind.INTEGER),
    Column("billable_prompt_tokens", ColumnKind.INTEGER),
    Column("cost", ColumnKind.MONEY),
    Column("applied_prompt_rate", ColumnKind.RATE),
    Column("applied_cached_rate", ColumnKind.RATE),
    Column("applied_completion_rate", ColumnKind.RATE),
    Column("event_count", ColumnKind.INTEGER),
    Column("base_model", ColumnKind.TEXT, is_required=False),
    Column("price_book", ColumnKind.TEXT),
    Column("run", ColumnKind.INTEGER),
    Column("rated_at", ColumnKind.TIME),
)


def _rated_usage(rollup: Rollup) -> Iterable[tuple[Cell, ...]]:
    yield tuple(rollup[column.name] for column in _RATED_USAGE)


RATED_USAGE = Layout(_RATED_USAGE, _rated_usage)
"""One row for each rollup, with the columns of the table rated_usage."""
