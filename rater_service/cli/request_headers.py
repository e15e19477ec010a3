"""Headers that the operator gives for every request. Their values are secrets: no message has them."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class HeaderError(ValueError):
    """A header can't be sent, or its file not be read. The message says which one, without its value."""


def read_headers(given: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Read headers, each `Name: value`, or `@FILE` for a file with one on each line. Raises HeaderError."""
    return tuple(
        _header(line, f"{where}: must be written `Name: value`, in printable ASCII")
        for number, each in enumerate(given, 1)
        for where, line in _lines(each, f"number {number}")
    )


def _lines(given: str, where: str) -> Iterator[tuple[str, str]]:
    if not given.startswith("@"):
        yield where, given
        return
    file = Path(given[1:])
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise HeaderError(f"{file}: {reason}") from None
    yield from ((f"{file}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip())


def _header(line: str, fault: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    value = value.strip(" \t")
    if not (_NAME.fullmatch(name) and colon and value and value.isascii() and value.isprintable()):
        raise HeaderError(fault)
    return name, value
