"""Tables that break no number and no name: where they do not fit, each row is written as lines."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

# Far more than any terminal: how wide it would be.
_ANY_WIDTH = 100_000


class FittingTable:
    """A table of texts, some of several lines. numbers: which columns stand right."""

    def __init__(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: frozenset[str]
    ) -> None:
        self._title = title
        self._columns = tuple(columns)
        self._rows = [tuple(row) for row in rows]
        self._numbers = numbers

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Write it as a table, or as lines `column: cell` if that would be wider than the terminal."""
        table = self._table()
        if Measurement.get(console, options.update(width=_ANY_WIDTH), table).maximum <= options.max_width:
            yield table
            return
        yield Text(self._title, style="bold")
        for row in self._rows:
            yield Text("\n".join(self._lines(row)))

    def _table(self) -> Table:
        table = Table(
            title=self._title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        for column in self._columns:
            table.add_column(column, no_wrap=True, justify="right" if column in self._numbers else "left")
        for row in self._rows:
            table.add_row(*map(Text, row))
        return table

    def _lines(self, row: Sequence[str]) -> Iterable[str]:
        yield ""
        for column, cell in zip(self._columns, row, strict=True):
            first, *others = cell.split("\n")
            yield f"{column.replace(chr(10), ', ')}: {first}"
            yield from (f"  {line}" for line in others)
