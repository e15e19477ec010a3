"""How tables and sentences fit a width: words are wrapped; amounts, times, ids and names are never broken.

Where not all columns of a table fit, its rows are written as records, a line for each column.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from rich.box import HEAVY_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

# Of a column: a line and a blank on each side; and the last line of the table.
_COLUMN_FRAME = 3
_TABLE_FRAME = 1


class Words(str):
    """Text of a cell that may be wrapped between its words. Any other cell is written in one line."""

    __slots__ = ()


def wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Cut text into lines of a width, between words; a word that is wider has a line of its own.

    width: in cells of the terminal. indent: what later lines begin with. The first line keeps its blanks.
    """
    words = text.split(" ")
    lines = [words[0]]
    for word in words[1:]:
        if cell_len(lines[-1]) + 1 + cell_len(word) <= width or not lines[-1].strip():
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
    return lines


def table_or_records(
    columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[bool], width: int
) -> Table | Text:
    """Lay rows out as a table, or as records if it would be wider than a width, in cells of the terminal.

    numbers: for each column, whether it stands right.
    """
    widths = _column_widths(columns, rows, width)
    if widths is None:
        return Text("\n".join(_records(columns, rows, width)))
    table = Table(box=HEAVY_HEAD)
    for name, is_number, column_width in zip(columns, numbers, widths, strict=True):
        table.add_column(
            Text("\n".join(wrapped(name, column_width))),
            justify="right" if is_number else "left",
            width=column_width,
            no_wrap=True,
        )
    for row in rows:
        pairs = zip(row, widths, strict=True)
        table.add_row(*(Text("\n".join(_lines(cell, column_width))) for cell, column_width in pairs))
    return table


def _lines(cell: str, width: int) -> list[str]:
    return wrapped(cell, width) if isinstance(cell, Words) else [cell]


def _column_widths(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """Give each column its width; None: they do not fit. What is left goes to those that are wrapped."""
    by_column = list(zip_longest(columns, *rows, fillvalue=""))
    # A heading may be wrapped, too.
    least = [max(map(_least, (Words(heading), *cells))) for heading, *cells in by_column]
    most = [max(map(cell_len, cells)) for cells in by_column]
    left = width - _TABLE_FRAME - _COLUMN_FRAME * len(columns) - sum(least)
    if left < 0:
        return None
    widths = list(least)
    # The narrowest first, so that few cells have several lines.
    for place in sorted(range(len(columns)), key=lambda place: most[place]):
        more = min(most[place] - widths[place], left)
        widths[place] += more
        left -= more
    return widths


def _least(cell: str) -> int:
    return max(map(cell_len, cell.split(" "))) if isinstance(cell, Words) else cell_len(cell)


def _records(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Write rows as `name: value`; cells without text are left out.

    Of two columns the first is what names the second.
    """
    if len(columns) == 2:
        for name, cell in rows:
            yield from (
                wrapped(f"{name}: {cell}", width, "  ") if isinstance(cell, Words) else [f"{name}: {cell}"]
            )
        return
    for number, row in enumerate(rows):
        if number:
            yield ""
        for name, cell in zip(columns, row, strict=True):
            if cell:
                yield from _record_line(name, cell, width)


def _record_line(name: str, cell: str, width: int) -> list[str]:
    line = f"{name}: {cell}"
    return wrapped(line, width, "  ") if isinstance(cell, Words) else [line]
