"""The gRPC service that takes metering events."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from typing import TYPE_CHECKING
from uuid import UUID

import grpc

from phoebe_proto.v1.metering_pb2 import (
    EventOutcome,
    EventResult,
    StreamEventsRequest,
    StreamEventsResponse,
)
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceServicer
from phoebe_runtime.counts import counted
from rater_service.database.database import Pool
from rater_service.database.installation import read_installation
from rater_service.events.model_names import MODEL_NAMES_MAX, ModelNames
from rater_service.events.patterns import Patterns
from rater_service.events.producer_status import InvalidStatus, StatusRow, validate_status
from rater_service.events.routes import Routes
from rater_service.events.store import STORED, Fate, Result, store_events
from rater_service.prices.store import priced_among
from rater_service.service.batch_reader import BatchReader
from rater_service.service.batch_room import BatchRoom
from rater_service.service.clock_watch import ClockWatch
from rater_service.service.door import Door, TurnedAway
from rater_service.service.metrics import Metrics
from rater_service.service.rpc_errors import answered_errors, invalid

if TYPE_CHECKING:  # it needs libraries that are there only where somebody traces
    from rater_service.service.traced_work import TracedWork

logger = logging.getLogger(__name__)

BATCH_EVENTS_MAX = 1000
BATCH_ID_LENGTH_MAX = 64
# A refused id may be as long as a message; the event is kept whole elsewhere.
_LOGGED_ID_LENGTH = 64
_OUTCOMES = {fate: EventOutcome.Value(f"EVENT_OUTCOME_{fate}") for fate in Fate}

# The id of each event that was stored has as many characters. Results behind each other are a list of them:
# to write them all takes less time than to add each to a message.
_SOME_ID = str(UUID(int=0))
_ONE_STORED = (
    StreamEventsResponse(results=[EventResult(request_id=_SOME_ID, outcome=_OUTCOMES[Fate.STORED])])
    .SerializeToString()
    .decode("ascii")
)
_SENT_BEFORE = frozenset({Fate.DUPLICATE, Fate.CONFLICT})

type _Context = grpc.aio.ServicerContext[StreamEventsRequest, StreamEventsResponse]


@dataclass(slots=True)
class _Stream:
    """What is known of one stream.

    metadata: what its sender said of it. door: where its sender is let in; None before the first batch.
    perhaps_sent_before: some of its next events are likely to be there. The first ones of a connection often
    are: those whose answer the one before did not bring.
    """

    batches: BatchReader
    peer: str
    metadata: Iterable[tuple[str, str | bytes]] = ()
    clocks: ClockWatch = field(default_factory=ClockWatch)
    door: Door | None = None
    perhaps_sent_before: bool = True

    def note(self, results: Sequence[Result]) -> None:
        """Note what became of a batch."""
        if results:
            self.perhaps_sent_before = results.count(STORED) < len(results) and any(
                result.fate in _SENT_BEFORE for result in results
            )


class MeteringService(MeteringServiceServicer):
    """Stores batches of events. Once `stopping` is set, streams end after the batch they are at.

    traced: makes spans of batches; None: there are none.
    """

    def __init__(
        self,
        pool: Pool,
        stopping: asyncio.Event,
        metrics: Metrics,
        model_names_max: int = MODEL_NAMES_MAX,
        traced: "TracedWork | None" = None,
    ) -> None:
        self._pool = pool
        self._traced = traced
        self._stopping = stopping
        self._metrics = metrics
        self._names = ModelNames(priced_among, model_names_max, metrics.other_model_events.inc)
        self._routes = Routes()
        self._patterns = Patterns()
        self._room = BatchRoom()
        metrics.follow_batch_room(lambda: self._room.waiting)
        self._turned_away = TurnedAway(metrics.wrong_installations.inc)

    async def StreamEvents(  # noqa: N802 - the name in the contract
        self, request_iterator: AsyncIterator[StreamEventsRequest], context: _Context
    ) -> AsyncIterator[StreamEventsResponse]:
        """Answer each batch after its transaction has committed."""
        # Addons keep their events and try again, whoever has to mend it meanwhile.
        async with answered_errors(context, until_mended=grpc.StatusCode.UNAVAILABLE):
            batches = BatchReader(request_iterator, self._room, context.peer(), self._stopping)
            stream = _Stream(batches, context.peer(), context.invocation_metadata() or ())
            while (response := await self._answer_next(stream)) is not None:
                yield response

    async def _answer_next(self, stream: _Stream) -> StreamEventsResponse | None:
        """Store the next batch; None: there is none. Nothing refers to the batch when this returns."""
        async with stream.batches.batch() as request:
            if request is None:
                return None
            if stream.door is None:
                # Asked anew for each stream: an operator may make the database another installation.
                installation = await read_installation(self._pool)
                stream.door = Door(installation.id, stream.peer, self._turned_away)
            stream.door.admit(request.installation_id)
            response = await self._store(request, stream)
        response.installation_id = str(stream.door.installation)
        return response

    async def _store(self, request: StreamEventsRequest, stream: _Stream) -> StreamEventsResponse:
        received_at = datetime.now(UTC)
        if len(request.events) > BATCH_EVENTS_MAX:
            raise invalid("events", f"must be at most {BATCH_EVENTS_MAX}, not {len(request.events)}")
        if len(request.batch_id) > BATCH_ID_LENGTH_MAX:
            raise invalid("batch_id", f"must be at most {BATCH_ID_LENGTH_MAX} characters")
        status = self._status(request, received_at)
        if status is not None:
            stream.clocks.note(status)
        with self._metrics.batch():
            storing = store_events(
                self._pool,
                request.events,
                received_at,
                status,
                perhaps_sent_before=stream.perhaps_sent_before,
                names=self._names,
                routes=self._routes,
                patterns=self._patterns,
            )
            traced = self._traced
            results = await (traced.batch(request, stream.metadata, storing) if traced else storing)
        stream.note(results)
        self._metrics.count_events(results)
        _log_refused(request, results)
        return _response(request, results)

    def _status(self, request: StreamEventsRequest, received_at: datetime) -> StatusRow | None:
        """Read the status. One that is wrong must not hold up events: without it hours get incomplete."""
        if not request.HasField("status"):
            return None
        status = validate_status(request.status, received_at)
        if isinstance(status, InvalidStatus):
            self._metrics.statuses_refused.inc()
            logger.error("the status of a producer is left out: %s", status.reason)
            return None
        return status


def _response(request: StreamEventsRequest, results: Sequence[Result]) -> StreamEventsResponse:
    response = StreamEventsResponse(batch_id=request.batch_id)
    if _are_all_stored(results):
        before, _, after = _ONE_STORED.partition(_SOME_ID)
        ids = map(attrgetter("request_id"), request.events)
        response.MergeFromString((before + (after + before).join(ids) + after).encode())
        return response
    add = response.results.add
    for event, result in zip(request.events, results, strict=True):
        add(request_id=event.request_id, outcome=_OUTCOMES[result.fate], reason=result.reason)
    return response


def _are_all_stored(results: Sequence[Result]) -> bool:
    """Tell whether there are events, and all were stored, as nearly always."""
    return results.count(STORED) == len(results) > 0


def _log_refused(request: StreamEventsRequest, results: Sequence[Result]) -> None:
    """Log which events were kept aside, one line for each reason: a batch may hold a thousand."""
    refused: dict[str, list[str]] = {}
    if _are_all_stored(results):
        return
    for event, result in zip(request.events, results, strict=True):
        if result.reason:
            refused.setdefault(f"{result.fate}: {result.reason}", []).append(event.request_id)
    for reason, request_ids in refused.items():
        logger.error(
            "kept %s aside, the first with request_id %r: %s",
            counted(len(request_ids), "event"),
            request_ids[0][:_LOGGED_ID_LENGTH],
            reason,
        )
