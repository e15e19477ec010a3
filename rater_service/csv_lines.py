"""Rows as lines of CSV, on every Python."""

import csv
from typing import Any, Protocol

_LINE_END = "\r\n"


class _Text(Protocol):
    def write(self, text: str, /) -> object:
        """Take some text."""


class _OwnLineEnds:
    """Ends lines with a line feed alone. Each call of `write` has one line."""

    def __init__(self, text: _Text) -> None:
        self._text = text

    def write(self, line: str) -> object:
        return self._text.write(f"{line.removesuffix(_LINE_END)}\n")


def csv_writer(text: _Text, *, quoted: bool = False) -> Any:
    """Return a writer of the module csv whose lines end with a line feed.

    quoted: quote every cell; else those that need it.

    Python 3.12 quotes a carriage return in a cell only where lines end with one too. Without quotes it begins
    a new row for many readers. So the module csv writes both, and the carriage return is taken away.
    """
    return csv.writer(
        _OwnLineEnds(text),
        lineterminator=_LINE_END,
        quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL,
    )
