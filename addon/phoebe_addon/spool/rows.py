"""Rows of one transaction, written with one statement for many of them.

Each statement is a call into SQLite for which Python's lock is let go and taken again. The event loop, which
wants it too, then runs meanwhile: every such change costs both threads more than the row itself.
"""

import sqlite3
from collections.abc import Sequence
from functools import cache

# A file that is made anew may have more than memory should hold.
_ROWS_AT_ONCE = 64
# SQLite plans a statement for each number of rows, and Python keeps 128 plans.
_PLANNED_ROWS_MAX = 16

type Values = tuple[object, ...]

_ADMIT = "INSERT OR REPLACE INTO admitted (id, record) VALUES "
_END = "DELETE FROM admitted WHERE id IN "
_WAIT = "INSERT INTO waiting (event_time, record) VALUES "


class Rows:
    """What is to be written: admissions, the numbers of those that have ended, events that wait."""

    __slots__ = ("admitted", "ended", "waiting")

    def __init__(self) -> None:
        self.admitted: list[Values] = []
        self.ended: list[Values] = []
        self.waiting: list[Values] = []

    @property
    def are_many(self) -> bool:
        """Whether no more should be kept."""
        return len(self.admitted) + len(self.ended) + len(self.waiting) >= _ROWS_AT_ONCE

    def write(self, connection: sqlite3.Connection) -> None:
        """Write all there is, and forget it. Raises sqlite3.Error."""
        for beginning, row, rows in (
            (_ADMIT, "(?, ?)", self.admitted),
            (_END, "?", self.ended),
            (_WAIT, "(?, ?)", self.waiting),
        ):
            if rows:
                _write(connection, beginning, row, rows)
        self.clear()

    def clear(self) -> None:
        """Forget all there is."""
        self.admitted.clear()
        self.ended.clear()
        self.waiting.clear()


def _write(connection: sqlite3.Connection, beginning: str, row: str, rows: Sequence[Values]) -> None:
    for start in range(0, len(rows), _PLANNED_ROWS_MAX):
        part = rows[start : start + _PLANNED_ROWS_MAX]
        connection.execute(
            _statement(beginning, row, len(part)), [value for values in part for value in values]
        )


@cache
def _statement(beginning: str, row: str, count: int) -> str:
    rows = ", ".join([row] * count)
    return f"{beginning}({rows})" if row == "?" else beginning + rows
