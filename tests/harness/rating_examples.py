"""The worked examples of docs/rating.md, read from the page: price files, events, and what the bill says."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests.harness.ledger import HOUR

PAGE = Path(__file__).parents[2] / "docs" / "rating.md"
MIDNIGHT = HOUR.replace(hour=0)
FIRST_LOADED = MIDNIGHT - timedelta(days=1)

_LOADED = re.compile(r"Loaded at (\d\d:\d\d)")

type Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class PriceFile:
    content: bytes
    loaded_at: datetime


@dataclass(frozen=True, slots=True)
class Events:
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Bill:
    """What a run over the day must leave; `reprice`: it is a run that was told to."""

    rows: tuple[Row, ...]
    reprice: bool


@dataclass(frozen=True, slots=True)
class Counts:
    rows: tuple[Row, ...]


type Step = PriceFile | Events | Bill | Counts


@dataclass(frozen=True, slots=True)
class Example:
    name: str
    steps: tuple[Step, ...]


def examples() -> list[Example]:
    """Read all examples of the page, in order."""
    sections = re.split(r"^#{2,3} ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [
        Example(name.removeprefix("Example: "), tuple(_steps(body)))
        for name, _, body in (section.partition("\n") for section in sections)
        if name.startswith("Example: ")
    ]


def moment(written: str) -> datetime:
    """Read a time of the examples' day."""
    return datetime.combine(MIDNIGHT, datetime.strptime(written, _format(written)).time(), MIDNIGHT.tzinfo)  # noqa: DTZ007


def _format(written: str) -> str:
    return ("%H:%M", "%H:%M:%S")[written.count(":") - 1] + (".%f" if "." in written else "")


def _steps(body: str) -> Iterator[Step]:
    said = ""
    for block in re.split(r"\n{2,}", body.strip()):
        if block.startswith("```yaml\n"):
            loaded = _LOADED.search(said)
            content = block.removeprefix("```yaml\n").removesuffix("```").encode()
            yield PriceFile(content, moment(loaded[1]) if loaded else FIRST_LOADED)
        elif block.startswith("| "):
            yield _table(block, said)
        said = block


def _table(block: str, said: str) -> Step:
    header, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
    rows = tuple(dict(zip(header, line, strict=True)) for line in lines)
    match header[0]:
        case "ended at":
            return Events(rows)
        case "hour":
            return Bill(rows, "--reprice" in said)
        case "count":
            return Counts(rows)
    raise AssertionError(f"no step begins with a column {header[0]}")
