"""What a page is asked with, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from rater_service.console.kept_sums import KeptSums
from rater_service.console.query import Query
from rater_service.console.tables import Table
from rater_service.database.database import Pool
from rater_service.database.source import Source
from rater_service.service.access_list import Caller, Right

ROWS_ON_PAGE = 100
"""As many rows as a table shows; its downloads have all."""
ROWS_MAX = 200_000
"""As many rows as a download has that is made in memory."""


@dataclass(frozen=True, slots=True)
class View:
    """What was asked for. source: what is read. now: UTC-aware. download: all rows are wanted, and not those
    of one page.
    """

    source: Source
    sums: KeptSums
    parameters: Mapping[str, str]
    query: Query
    caller: Caller
    now: datetime
    download: bool = False

    @property
    def pool(self) -> Pool:
        """The sessions to read with."""
        return self.source.pool

    @property
    def sees_events(self) -> bool:
        """Whether the caller may see single events."""
        return Right.EVENTS in self.caller.rights

    @property
    def rows_max(self) -> int:
        """How many rows of a table are wanted."""
        return ROWS_MAX if self.download else ROWS_ON_PAGE


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows. title: tells it from all others. template: without it the tables alone are shown."""

    title: str
    tables: tuple[Table, ...]
    template: str = "tables.html"
    shown: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Redirect:
    """Another page has what was asked for."""

    href: str


class NotFoundError(Exception):
    """What was asked for is not there; what to do instead stands in the message."""
