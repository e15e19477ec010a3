"""Bringing events from the spool to the rater, over one long gRPC stream.

An event leaves the spool only after the rater's answer for it, which comes after its COMMIT. Whatever breaks
in between, the events are sent again; the rater recognises them by their request id.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence

import grpc
import grpc.aio
import tenacity

from phoebe_proto.v1 import metering_pb2, metering_pb2_grpc

from .spool import Spool, SpooledEvent, SpoolError

logger = logging.getLogger(__name__)

BATCH_EVENTS_MAX = 500
# A batch commits in milliseconds. The rater may be waiting for a lock or a failover; after this long it is
# better to try on a new connection.
ANSWER_TIMEOUT_S = 30.0
RETRY_WAIT_MAX_S = 10.0
# A missed wake-up must not leave an event behind.
IDLE_WAIT_S = 5.0

# The rater is a neighbour; an HTTP proxy that the environment names for web traffic is not on the way to it.
_CHANNEL_OPTIONS = (("grpc.enable_http_proxy", 0),)

_OUTCOMES = {
    metering_pb2.EVENT_OUTCOME_STORED: "stored",
    metering_pb2.EVENT_OUTCOME_DUPLICATE: "duplicate",
    metering_pb2.EVENT_OUTCOME_CONFLICT: "conflict",
    metering_pb2.EVENT_OUTCOME_REJECTED: "rejected",
}

type OnResults = Callable[[Counter[str]], None]


class DeliveryError(Exception):
    """The rater gave an answer that does not fit what it was sent."""


class Delivery:
    """Sends what is in the spool, for as long as `run` runs.

    on_results: told for every batch how many events had which outcome ("stored", "duplicate", …).
    """

    def __init__(self, spool: Spool, target: str, on_results: OnResults) -> None:
        self._spool = spool
        self._target = target
        self._on_results = on_results
        self._wake = asyncio.Event()
        self._batch_number = 0

    def wake(self) -> None:
        """Say that the spool has got events."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled. Failures are logged and tried again, with growing, jittered pauses."""
        async for attempt in tenacity.AsyncRetrying(
            wait=tenacity.wait_random_exponential(multiplier=0.2, max=RETRY_WAIT_MAX_S),
            retry=tenacity.retry_if_exception_type(
                (grpc.aio.AioRpcError, TimeoutError, DeliveryError, SpoolError)
            ),
            before_sleep=self._log_failure,
        ):
            with attempt:
                await self._run_channel(attempt.retry_state)

    async def _run_channel(self, state: tenacity.RetryCallState) -> None:
        async with grpc.aio.insecure_channel(self._target, _CHANNEL_OPTIONS) as channel:
            stub = metering_pb2_grpc.MeteringServiceStub(channel)
            stream = stub.StreamEvents(wait_for_ready=True)
            try:
                while True:
                    batch = await self._next_batch()
                    await self._deliver(stream, batch)
                    state.attempt_number = 1  # it works: the next pause starts small again
            finally:
                stream.cancel()

    async def _next_batch(self) -> list[SpooledEvent]:
        while True:
            self._wake.clear()
            batch = await asyncio.to_thread(self._spool.read, 0, BATCH_EVENTS_MAX)
            if batch:
                return batch
            try:
                await asyncio.wait_for(self._wake.wait(), IDLE_WAIT_S)
            except TimeoutError:
                continue

    async def _deliver(
        self,
        stream: grpc.aio.StreamStreamCall[
            metering_pb2.StreamEventsRequest, metering_pb2.StreamEventsResponse
        ],
        batch: Sequence[SpooledEvent],
    ) -> None:
        if stream.done():
            raise DeliveryError("the rater ended the stream")
        self._batch_number += 1
        request = metering_pb2.StreamEventsRequest(
            batch_id=str(self._batch_number), events=[self._message(spooled) for spooled in batch]
        )
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            await stream.write(request)
            response = await stream.read()
        if not isinstance(response, metering_pb2.StreamEventsResponse):
            raise DeliveryError("the rater ended the stream")
        self._check(request, response)
        self._report(response)
        await self._spool.forget([spooled.producer_seq for spooled in batch])

    def _message(self, spooled: SpooledEvent) -> metering_pb2.MeteringEvent:
        event = metering_pb2.MeteringEvent.FromString(spooled.event)
        event.producer_id = self._spool.producer_id
        event.producer_seq = spooled.producer_seq
        return event

    def _check(
        self, request: metering_pb2.StreamEventsRequest, response: metering_pb2.StreamEventsResponse
    ) -> None:
        sent = [event.request_id for event in request.events]
        answered = [result.request_id for result in response.results]
        decided = all(result.outcome in _OUTCOMES for result in response.results)
        if response.batch_id != request.batch_id or sent != answered or not decided:
            raise DeliveryError("the rater's answer does not fit the batch it was sent")

    def _report(self, response: metering_pb2.StreamEventsResponse) -> None:
        outcomes: Counter[str] = Counter()
        for result in response.results:
            outcomes[_OUTCOMES[result.outcome]] += 1
            if result.reason:
                logger.error("phoebe: the rater kept event %s aside: %s", result.request_id, result.reason)
        self._on_results(outcomes)

    def _log_failure(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        reason = error.details() if isinstance(error, grpc.aio.AioRpcError) else str(error) or repr(error)
        logger.warning("phoebe: events wait in the spool: the rater at %s: %s", self._target, reason)
