"""The standard health service, whole: the library leaves one of its methods out.

A service is NOT_SERVING while the database can't be written to, or a background task is down without which
its answers can't be trusted. A probe that decides whether events are sent here asks for MeteringService by
its name: it needs less than the rest.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NoReturn

import grpc
from grpc_health.v1 import health, health_pb2

CERTIFICATES_TASK = "certificates"
TOKENS_TASK = "tokens"
PRICE_FILE_TASK = "price file"
SCHEDULE_TASK = "scheduled rating"
DATABASE_WATCH_TASK = "database watch"
"""Names of background tasks that services need."""
DATABASE = "database"
"""What all of them need besides: a database that can be written to. It is noted like a task."""

# While these are down, a caller whose credential was removed is still let in.
_ACCESS_TASKS = frozenset({CERTIFICATES_TASK, TOKENS_TASK})
# While nobody looks at the database, what was seen last may be long ago.
_DATABASE = frozenset({DATABASE, DATABASE_WATCH_TASK})
NEEDED_TASKS: Mapping[str, frozenset[str]] = {
    "phoebe.v1.MeteringService": _ACCESS_TASKS | _DATABASE,
    "phoebe.v1.RatingService": _ACCESS_TASKS | _DATABASE | {PRICE_FILE_TASK, SCHEDULE_TASK},
}
"""What each service needs: background tasks, if the process has them, and the database."""


class HealthService(health.aio.HealthServicer):  # type: ignore[misc] # the library has no types
    """Tells of these services, and under the name "" of the process, which needs what any of them needs."""

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__()
        self._needed = {name: NEEDED_TASKS.get(name, frozenset()) for name in services}
        self._needed[""] = frozenset().union(*self._needed.values())
        self._down: set[str] = set()
        self._changed = asyncio.Event()

    def note_task(self, name: str, up: bool) -> None:
        """Note whether a background task is up; `keep_telling` tells it."""
        if up:
            self._down.discard(name)
        else:
            self._down.add(name)
        self._changed.set()

    async def tell(self) -> None:
        """Tell whoever asks how things stand now."""
        for service, needed in self._needed.items():
            status = health_pb2.HealthCheckResponse
            await self.set(service, status.NOT_SERVING if needed & self._down else status.SERVING)

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
