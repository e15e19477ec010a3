"""The standard health service, whole: the library leaves one of its methods out.

A service is NOT_SERVING while something is amiss that it needs: the database can't be written to or is not
migrated, no price book is in force, a background task is down without which its answers can't be trusted, or
the process starts or stops. A probe that decides whether events are sent here asks for MeteringService by its
name: it needs less than the rest. The name "" and the page `/readyz` say the same, and so do a service's name
and its page of PAGES.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NoReturn

import grpc
from grpc_health.v1 import health, health_pb2

from phoebe_runtime.probes import Condition

CERTIFICATES_TASK = "certificates"
TOKENS_TASK = "tokens"
PRICE_FILE_TASK = "price file"
SCHEDULE_TASK = "scheduled rating"
DATABASE_WATCH_TASK = "database watch"
"""Names of background tasks that services need."""
DATABASE = "database"
SCHEMA = "schema"
PRICE_BOOK = "price book"
CALLS = "calls"
"""What services need besides: a database that can be written to, its tables, prices, and to be neither at the
start nor at the end. Each is noted with words for when it holds and when it does not."""
STANDING_TASK = "schema and prices"
"""The task that looks at the schema and the price book."""

# While these are down, a caller whose credential was removed is still let in.
_ACCESS_TASKS = frozenset({CERTIFICATES_TASK, TOKENS_TASK})
# While nobody looks at the database, what was seen last may be long ago.
_DATABASE = frozenset({DATABASE, DATABASE_WATCH_TASK, SCHEMA})
NEEDED: Mapping[str, frozenset[str]] = {
    "phoebe.v1.MeteringService": _ACCESS_TASKS | _DATABASE | {CALLS},
    "phoebe.v1.RatingService": _ACCESS_TASKS
    | _DATABASE
    | {CALLS, PRICE_BOOK, PRICE_FILE_TASK, SCHEDULE_TASK},
}
"""What each service needs, by name. What nobody has noted holds: not every process has every task."""


PAGES: Mapping[str, str] = {
    "/readyz": "",
    "/readyz/metering": "phoebe.v1.MeteringService",
    "/readyz/rating": "phoebe.v1.RatingService",
}
"""The pages of readiness that probes may ask, and of which service each is."""


class HealthService(health.aio.HealthServicer):  # type: ignore[misc] # the library has no types
    """Tells of these services, and under the name "" of the process, which needs what any of them needs."""

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__()
        self._needed = {name: NEEDED.get(name, frozenset()) for name in services}
        self._needed[""] = frozenset().union(*self._needed.values())
        self._noted: dict[str, tuple[bool, str]] = {}
        self._changed = asyncio.Event()

    def note(self, name: str, holds: bool, words: str) -> None:
        """Note whether something holds that services may need, in words; `keep_telling` tells it."""
        self._noted[name] = holds, words
        self._changed.set()

    def note_task(self, name: str, up: bool) -> None:
        """Note whether a background task is up."""
        self.note(name, up, f"the task {name} {'works' if up else 'is down, and is being started again'}")

    def conditions(self, service: str = "") -> list[Condition]:
        """How things stand: all that a service needs, and whatever else is amiss."""
        needed = self._needed[service]
        return [
            Condition(holds, words, counts=name in needed)
            for name, (holds, words) in self._noted.items()
            if name in needed or not holds
        ]

    async def tell(self) -> None:
        """Tell whoever asks how things stand now."""
        amiss = {name for name, (holds, _) in self._noted.items() if not holds}
        for service, needed in self._needed.items():
            status = health_pb2.HealthCheckResponse
            await self.set(service, status.NOT_SERVING if needed & amiss else status.SERVING)

    async def keep_telling(self) -> NoReturn:
        """Tell of every change, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.tell()

    async def List(  # noqa: N802 - the name in the contract
        self,
        _request: health_pb2.HealthListRequest,
        context: grpc.aio.ServicerContext[health_pb2.HealthListRequest, health_pb2.HealthListResponse],
    ) -> health_pb2.HealthListResponse:
        """Answer what Check answers, for every service."""
        statuses = {
            name: await self.Check(health_pb2.HealthCheckRequest(service=name), context)
            for name in self._needed
        }
        return health_pb2.HealthListResponse(statuses=statuses)
