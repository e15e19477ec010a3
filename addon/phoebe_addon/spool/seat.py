"""The seat of a worker: its number among those of one `phoebe proxy`, which its spool files are named after.

A worker that is started again takes the files of its number, so that its producer stays the same. The others
leave those to it for a while, and take at once what belongs to a number that there is no more.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"spool-worker-([0-9]+)-.*")


@dataclass(frozen=True, slots=True)
class Seat:
    """The number of a worker, from 1 on, and how many there are."""

    number: int
    count: int

    @property
    def prefix(self) -> str:
        """How the names of this number's spool files begin."""
        return f"spool-worker-{self.number}-"

    def has(self, path: Path) -> bool:
        """Whether a spool file is of this number."""
        return _number_of(path) == self.number

    def is_of_another(self, path: Path) -> bool:
        """Whether a spool file is of another number that there is, whose worker takes it when it starts."""
        number = _number_of(path)
        return number is not None and number != self.number and number <= self.count


def _number_of(path: Path) -> int | None:
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else None
