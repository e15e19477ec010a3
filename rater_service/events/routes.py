"""Which partition of stored_event takes an event, so that events are written straight into it.

PostgreSQL would look that up for each event. What is known here may be out of date: a partition was made,
detached or dropped since. The database refuses an event in the wrong partition, and a partition that is none
any more is noticed before the commit. Then the partitions are read again, and the batch is stored again.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from uuid import UUID

import asyncpg

from rater_service.database.database import Connection, DatabaseUnavailableError
from rater_service.errors import OperatorError
from rater_service.statements import bound

_LOWEST = UUID(int=0)


class RoutesOutdated(DatabaseUnavailableError):  # noqa: N818 - nothing failed
    """The partitions are not those that were known. Whoever stores the events again finds those there are."""

    def __init__(self) -> None:
        super().__init__("the partitions of stored_event changed while events were stored")


@dataclass(frozen=True, slots=True)
class Route:
    """A partition that events are written to. id: its number in the catalog.

    It takes the ids from lower up to, but not, upper (None: no bound), as their 16 bytes; the default one,
    those that no other takes.
    """

    id: int
    schema: str
    name: str
    lower: bytes
    upper: bytes | None
    is_default: bool

    @property
    def quoted(self) -> str:
        """The name as it stands in a statement."""
        return ".".join('"{}"'.format(part.replace('"', '""')) for part in (self.schema, self.name))


class Routes:
    """The partitions, read when they are first needed and whenever they turned out to be out of date."""

    def __init__(self) -> None:
        self._weeks: Sequence[Route] = ()
        self._lowers: Sequence[bytes] = ()
        self._default: Route | None = None

    def forget(self) -> None:
        """Read them again at the next need."""
        self._default = None

    async def holds(self, connection: Connection, request_id: bytes) -> bool:
        """Read the partitions, and tell whether it was known which takes an event."""
        known = self._route_of(request_id, self._default) if self._default else None
        return self._route_of(request_id, await self._read(connection)) == known

    async def split(
        self, connection: Connection, ids: Sequence[bytes], places: Sequence[int]
    ) -> list[tuple[Route, Sequence[int]]]:
        """Split events, given by places among `ids`, by the partitions that take them.

        The partitions are in the order in which PostgreSQL locks those of a table, by their numbers in the
        catalog: so batches and whoever locks the table do not wait for each other in a circle. Within one
        the places keep their order. Raises asyncpg's errors, and OperatorError where a partition is missing
        that must always be there.
        """
        if not places:
            return []
        default = self._default or await self._read(connection)
        some = [ids[place] for place in places]
        route = self._route_of(min(some), default)
        # Nearly all batches are of one week.
        if not route.is_default and (route.upper is None or max(some) < route.upper):
            return [(route, places)]
        parts: dict[Route, list[int]] = {}
        for place in places:
            parts.setdefault(self._route_of(ids[place], default), []).append(place)
        return sorted(parts.items(), key=lambda part: part[0].id)

    def _route_of(self, request_id: bytes, default: Route) -> Route:
        number = bisect_right(self._lowers, request_id) - 1
        if number < 0:
            return default
        route = self._weeks[number]
        return route if route.upper is None or request_id < route.upper else default

    async def _read(self, connection: Connection) -> Route:
        routes = [_route(row) for row in await connection.fetch(*bound("events/event_routes"))]
        default = next((route for route in routes if route.is_default), None)
        if default is None:
            raise OperatorError(
                "stored_event has no default partition, for ids of no week: "
                "CREATE TABLE billing_event_default PARTITION OF stored_event DEFAULT"
            )
        self._weeks = [route for route in routes if not route.is_default]
        self._lowers = list(map(attrgetter("lower"), self._weeks))
        self._default = default
        return default


@contextmanager
def noticing_outdated_routes(*, named: bool = True) -> Iterator[None]:
    """Raise RoutesOutdated where the database says that a partition is gone, or does not take an event.

    named: whether it names the rules that an event breaks.
    """
    try:
        yield
    except asyncpg.UndefinedTableError as error:
        raise RoutesOutdated from error
    except asyncpg.CheckViolationError as error:
        # A partition's own bounds are a rule without a name.
        if named and error.constraint_name is None:
            raise RoutesOutdated from error
        raise


def _route(row: asyncpg.Record) -> Route:
    lower, upper = row["lower_id"], row["upper_id"]
    return Route(
        id=row["id"],
        schema=row["schema"],
        name=row["name"],
        lower=(lower or _LOWEST).bytes,
        upper=None if upper is None else upper.bytes,
        is_default=row["is_default"],
    )
