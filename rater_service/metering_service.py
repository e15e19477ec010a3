"""The gRPC service that takes metering events."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import grpc

from phoebe_proto.v1.metering_pb2 import EventOutcome, EventResult, StreamEventsRequest, StreamEventsResponse
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceServicer
from rater_service.database import Pool
from rater_service.event_store import store_events
from rater_service.rpc_errors import RpcError, answered_errors, invalid

BATCH_EVENTS_MAX = 1000
BATCH_ID_LENGTH_MAX = 64

type _Context = grpc.aio.ServicerContext[StreamEventsRequest, StreamEventsResponse]


class MeteringService(MeteringServiceServicer):
    """Stores batches of events. Once `stopping` is set, streams end after the batch they are at."""

    def __init__(self, pool: Pool, stopping: asyncio.Event) -> None:
        self._pool = pool
        self._stopping = stopping

    async def StreamEvents(  # noqa: N802 - the name in the contract
        self, request_iterator: AsyncIterator[StreamEventsRequest], context: _Context
    ) -> AsyncIterator[StreamEventsResponse]:
        """Answer each batch after its transaction has committed."""
        async with answered_errors(context):
            async for request in self._until_stopping(request_iterator):
                yield await self._store(request)

    async def _until_stopping(
        self, requests: AsyncIterator[StreamEventsRequest]
    ) -> AsyncIterator[StreamEventsRequest]:
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while True:
                read = asyncio.ensure_future(anext(requests, None))
                await asyncio.wait({read, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    read.cancel()
                    raise RpcError(
                        grpc.StatusCode.UNAVAILABLE,
                        "STOPPING",
                        "the service is stopping; send again what was not answered",
                    )
                request = await read
                if request is None:
                    return
                yield request
        finally:
            stopping.cancel()

    async def _store(self, request: StreamEventsRequest) -> StreamEventsResponse:
        if len(request.events) > BATCH_EVENTS_MAX:
            raise invalid("events", f"must be at most {BATCH_EVENTS_MAX}, not {len(request.events)}")
        if len(request.batch_id) > BATCH_ID_LENGTH_MAX:
            raise invalid("batch_id", f"must be at most {BATCH_ID_LENGTH_MAX} characters")
        results = await store_events(self._pool, request.events, datetime.now(UTC))
        return StreamEventsResponse(
            batch_id=request.batch_id,
            results=[
                EventResult(
                    request_id=event.request_id,
                    outcome=EventOutcome.Value(f"EVENT_OUTCOME_{result.fate}"),
                    reason=result.reason,
                )
                for event, result in zip(request.events, results, strict=True)
            ],
        )
