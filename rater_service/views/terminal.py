"""What the command line writes: results to standard output, everything else to standard error."""

import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal

from rich.console import Console

from phoebe_runtime.log_lines import LogFormat, RepeatGuard, formatter
from rater_service.distribution import installed_version
from rater_service.log_events import event_of
from rater_service.money import decimal_text
from rater_service.views.documents import MESSAGE, messages_are_json, write_error
from rater_service.views.layout import Words, table_or_records, wrapped

type OnPart = Callable[[str], None]

# Where nobody looks at the edge of a screen, nothing is wrapped.
_PIPE_COLUMNS = 10_000


def write(text: str) -> None:
    """Write a line of the result; on a terminal it is wrapped between words."""
    _write_lines(_console(stderr=False), [text])


def write_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str | int | Decimal | None]]
) -> None:
    """Write a table; numbers stand right, None is left blank. Only `Words` are wrapped; see `layout`."""
    body = [list(row) for row in rows]
    numbers = [any(isinstance(row[place], int | Decimal) for row in body) for place in range(len(columns))]
    console = _console(stderr=False)
    _write_lines(console, [title], style="bold")
    cells = [[_cell(value) for value in row] for row in body]
    console.print(table_or_records(columns, cells, numbers, console.width), soft_wrap=True)


def complain(text: str) -> None:
    """Write what went wrong, or a warning, to standard error."""
    if messages_are_json():
        write_error(MESSAGE, {"message": text})
        return
    _write_lines(_console(stderr=True), text.splitlines())


@contextmanager
def progress(doing: str) -> Iterator[None]:
    """Show on a terminal that something takes its time."""
    with _console(stderr=True).status(doing):
        yield


@contextmanager
def reported_progress(doing: str) -> Iterator[OnPart]:
    """Show the same on a terminal, and give what says which part of it is being done."""
    with _console(stderr=True).status(doing) as status:
        yield lambda part: status.update(printable(part))


@contextmanager
def told_progress(doing: str) -> Iterator[Callable[[str], None]]:
    """Show the same on a terminal, and give what writes a line of its own for each step, anywhere."""
    with _console(stderr=True).status(doing) as status:
        yield lambda step: _write_lines(status.console, [step])


def log_to_stderr(level: str = "NOTSET", style: LogFormat = LogFormat.HUMAN) -> None:
    """Send Phoebe's log records of this level ("INFO") and above to standard error, with UTC times.

    Of the libraries' only warnings and errors: theirs tell of their own workings. NOTSET: of Phoebe's, too.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        formatter(style, "phoebe-rater", installed_version(), socket.gethostname(), event_of)
    )
    handler.addFilter(RepeatGuard())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in ("phoebe_runtime", "rater_service"):
        logging.getLogger(name).setLevel(level)
    # It warns with a traceback of each session that can't be opened. The watch of the database says why.
    logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)


def printable(text: str) -> str:
    """Escape what could steer the terminal: names come from engines and files, and may hold any character."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = _PIPE_COLUMNS
    return console


def _write_lines(console: Console, lines: Iterable[str], style: str = "") -> None:
    for line in lines:
        # soft_wrap: the lines are as they shall be.
        for part in wrapped(printable(line), console.width):
            console.print(part, soft_wrap=True, style=style)


def _cell(value: str | int | Decimal | None) -> str:
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return decimal_text(value)
    text = printable(str(value))
    return Words(text) if isinstance(value, Words) else text
