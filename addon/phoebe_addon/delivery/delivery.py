"""Bringing events from the spool to the rater, over one long gRPC stream.

An event leaves the spool only after the rater's answer for it, which comes after its COMMIT. Whatever breaks
in between, the events are sent again; the rater recognises them by their request id.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NoReturn
from uuid import UUID

import grpc
import grpc.aio
import tenacity
from google.protobuf.message import DecodeError

from phoebe_addon.addon_version import addon_version
from phoebe_addon.delivery.credentials import Credentials
from phoebe_addon.delivery.trouble import DeliveryError, DeliveryTrouble, WrongInstallationError
from phoebe_addon.spool.spool import ProducerState, Spool, SpooledEvent, SpoolError
from phoebe_proto.v1 import metering_pb2, metering_pb2_grpc
from phoebe_runtime.followed_files import Followed

logger = logging.getLogger(__name__)

BATCH_EVENTS_MAX = 500
# gRPC takes messages of up to 4 MiB.
BATCH_BYTES_MAX = 2 * 1024 * 1024
# A batch commits in milliseconds. The rater may be waiting for a lock or a failover; after this long it is
# better to try on a new connection.
ANSWER_TIMEOUT_S = 30.0
RETRY_WAIT_MAX_S = 10.0
# If a wake-up is missed, its event is sent after this time. The rater expects a status at least every 10 s.
IDLE_WAIT_S = 5.0
# While events come faster than they are sent, more of them go in each batch: it costs about the same with one
# event as with many. After so long the next one is read, if the last one had more than a few.
GATHERING_S = 0.1
FEW_EVENTS = 4
# It is asked at least every IDLE_WAIT_S, and a batch may take some seconds.
SILENT_AFTER_S = 15.0
# The rater ends connections that are an hour old, so that whoever lost their certificate loses it at last.
CONNECTION_AGE_MAX_S = 1800.0
VERSION_LENGTH_MAX = 64

_OUTCOMES = {
    metering_pb2.EVENT_OUTCOME_STORED: "stored",
    metering_pb2.EVENT_OUTCOME_DUPLICATE: "duplicate",
    metering_pb2.EVENT_OUTCOME_CONFLICT: "conflict",
    metering_pb2.EVENT_OUTCOME_REJECTED: "rejected",
}

OUTCOMES = tuple(_OUTCOMES.values())
"""What becomes of an event at the rater."""
_OTHER_FAILURE = "other"
FAILURES = (
    *(code.name.lower() for code in grpc.StatusCode if code is not grpc.StatusCode.OK),
    _OTHER_FAILURE,
)
"""Why an attempt to deliver can fail."""

type _Stream = grpc.aio.StreamStreamCall[metering_pb2.StreamEventsRequest, metering_pb2.StreamEventsResponse]
type OnFailure = Callable[[str], None]
type OnResults = Callable[[Counter[str]], None]


class Delivery:
    """Sends what is in the spool, for as long as `run` runs.

    on_results: told for every batch how many events had which outcome ("stored", "duplicate", …). on_failure:
    told of every attempt that failed, by one of FAILURES.
    credentials: what connections are made with; a new connection is made when they change. target: host:port
    of the rater. name: what people call the proxy that writes to the spool; empty: that is another one's.
    troubled: whether the last attempt failed. misdirected: whether it failed because the rater is of another
    installation.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - two of them are whom to tell
        self,
        spool: Spool,
        target: str,
        on_results: OnResults,
        credentials: Followed[Credentials],
        name: str = "",
        on_failure: OnFailure = lambda _: None,
    ) -> None:
        self._spool = spool
        self.target = target
        self._name = name
        # Longer than this no rater takes it.
        self._version = addon_version()[:VERSION_LENGTH_MAX]
        self._on_results = on_results
        self._on_failure = on_failure
        self._credentials = credentials
        self._trouble = DeliveryTrouble(target)
        self._wake = asyncio.Event()
        self._batch_number = 0
        self._answered = 0
        self._finishing = False
        self._gather_until_s = 0.0
        self._sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._heard_at_s = time.monotonic()
        self.heard_at = 0.0
        """When the rater answered last, in seconds since 1970; 0: never."""
        self.troubled = False
        self.misdirected = False

    @property
    def silence(self) -> timedelta:
        """How long ago the rater answered last, or since the start if it never did."""
        return timedelta(seconds=time.monotonic() - self._heard_at_s)

    @property
    def silent_for(self) -> timedelta | None:
        """How long the rater has not answered, from the start if it never did; None: it answers."""
        silence = self.silence
        return silence if silence.total_seconds() > SILENT_AFTER_S else None

    def wake(self) -> None:
        """Say that the spool has got events."""
        self._wake.set()

    def finish(self) -> None:
        """Let `run` return once the rater has had everything, and has been told that it was the last."""
        self._finishing = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver until cancelled. Failures are logged and tried again, with growing, jittered pauses."""
        await self._persist(_TROUBLES)

    async def run_to_the_end(self) -> None:
        """Deliver until the rater has had everything, and has been told that it was the last.

        Raises WrongInstallationError if that never can be; other failures as in `run`.
        """
        self.finish()
        await self._persist(_TROUBLES & tenacity.retry_if_not_exception_type(WrongInstallationError))

    async def _persist(self, troubles: tenacity.retry_base) -> None:
        said_all = False
        while not said_all:
            async for attempt in tenacity.AsyncRetrying(
                wait=tenacity.wait_random_exponential(multiplier=0.2, max=RETRY_WAIT_MAX_S),
                retry=troubles,
                before_sleep=self._note_trouble,
            ):
                with attempt:
                    said_all = await self._run_connection(attempt.retry_state)

    async def _run_connection(self, state: tenacity.RetryCallState) -> bool:
        """Deliver over one connection, until it is old or its credentials have changed.

        Returns whether all has been said.
        """
        credentials = self._credentials.value
        end_s = asyncio.get_running_loop().time() + CONNECTION_AGE_MAX_S
        async with credentials.open_channel(self.target) as channel:
            stub = metering_pb2_grpc.MeteringServiceStub(channel)
            stream = stub.StreamEvents(metadata=credentials.metadata)
            stream.add_done_callback(lambda _: self._wake.set())
            try:
                await self._meet(stream)
                while asyncio.get_running_loop().time() < end_s and self._credentials.value is credentials:
                    answered = self._answered
                    more = await self._say_next(stream)
                    if self._answered > answered:
                        state.attempt_number = 1  # it works: the next pause starts small again
                        self._trouble.over()
                    if not more and self._finishing:
                        return True
            finally:
                stream.cancel()
        return False

    async def _meet(self, stream: _Stream) -> None:
        """Ask the rater of which installation it is, before it gets anything.

        The first that is met is the one that the spool belongs to. Raises WrongInstallationError.
        """
        try:
            response = await self._send(stream, [], None)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.FAILED_PRECONDITION:
                raise WrongInstallationError(str(error.details())) from error
            raise
        belongs_to, met = self._spool.installation, response.installation_id
        if belongs_to is None and met:
            await self._spool.bind(_checked(met))
            logger.info("phoebe: the spool belongs to the installation %s now", met)
        elif belongs_to and belongs_to != met:
            this = f"this is {met:.64}" if met else "this rater, an earlier version, does not say which it is"
            raise WrongInstallationError(f"the events belong to the installation {belongs_to}, and {this}")
        self.misdirected = False

    async def _say_next(self, stream: _Stream) -> bool:
        """Send events, or, after a while without any, how the spool stands. Returns whether more may follow.

        Raises what the stream ended with, if it did.
        """
        await self._gather()
        self._wake.clear()
        if stream.done():
            await _raise_ending(stream)
        read_at_s = time.monotonic()
        batch = await asyncio.to_thread(self._spool.read, BATCH_EVENTS_MAX, BATCH_BYTES_MAX)
        if FEW_EVENTS < len(batch) < BATCH_EVENTS_MAX:
            self._gather_until_s = read_at_s + GATHERING_S
        if batch:
            await self._deliver(stream, batch)
            return True
        await self._say_departed(stream)
        state = await asyncio.to_thread(self._spool.state)
        stopped = self._finishing and not state.spooled_events and not state.open_exchanges
        if not stopped:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), IDLE_WAIT_S)
                return True
            state = await asyncio.to_thread(self._spool.state)
        await self._send(stream, [], _status(state, self._name, stopped=stopped))
        if stopped:
            self._spool.note_stopped(stopped=True)
        return not stopped

    async def _gather(self) -> None:
        """Let events gather that come in quick succession."""
        pause_s = self._gather_until_s - time.monotonic()
        if pause_s > 0 and not self._finishing:
            await self._sleep(pause_s)

    async def _say_departed(self, stream: _Stream) -> None:
        """Tell that producers whose file was damaged will send nothing more."""
        for row_id, state in await asyncio.to_thread(self._spool.departed):
            await self._send(stream, [], _status(state, "", stopped=True))
            await self._spool.forget_departed(row_id)

    async def _deliver(self, stream: _Stream, batch: Sequence[SpooledEvent]) -> None:
        messages = [message for spooled in batch if (message := self._message(spooled))]
        state = await asyncio.to_thread(self._spool.state, batch[-1].id)
        self._report(await self._send(stream, messages, _status(state, self._name)))
        self.troubled = False
        await self._spool.forget(batch)

    async def _send(
        self,
        stream: _Stream,
        events: Sequence[metering_pb2.MeteringEvent],
        status: metering_pb2.ProducerStatus | None,
    ) -> metering_pb2.StreamEventsResponse:
        if stream.done():
            await _raise_ending(stream)
        self._batch_number += 1
        if status:
            status.version = self._version
            status.sent_at.FromDatetime(datetime.now(UTC))
        request = metering_pb2.StreamEventsRequest(
            batch_id=str(self._batch_number),
            events=events,
            status=status,
            installation_id=self._spool.installation or "",
        )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await stream.write(request)
                response = await stream.read()
        except TimeoutError:
            raise DeliveryError(f"no answer within {ANSWER_TIMEOUT_S:g} seconds") from None
        if not isinstance(response, metering_pb2.StreamEventsResponse):
            raise DeliveryError("the rater ended the stream")
        self._check(request, response)
        self._answered += 1
        self._heard_at_s, self.heard_at = time.monotonic(), time.time()
        return response

    def _message(self, spooled: SpooledEvent) -> metering_pb2.MeteringEvent | None:
        try:
            event = metering_pb2.MeteringEvent.FromString(spooled.event)
        except DecodeError:
            self._spool.condemn(spooled.id)
            return None
        event.producer_id = spooled.producer_id
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

    def _note_trouble(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        self.troubled = True
        self.misdirected = isinstance(error, WrongInstallationError)
        self._on_failure(
            error.code().name.lower() if isinstance(error, grpc.aio.AioRpcError) else _OTHER_FAILURE
        )
        self._trouble.met(error)


_TROUBLES = tenacity.retry_if_exception_type((grpc.aio.AioRpcError, DeliveryError, SpoolError))


def _checked(installation: str) -> str:
    try:
        return str(UUID(installation))
    except ValueError:
        raise DeliveryError(f"the rater names an installation that is no UUID: {installation:.64}") from None


def _status(state: ProducerState, name: str, *, stopped: bool = False) -> metering_pb2.ProducerStatus:
    status = metering_pb2.ProducerStatus(
        producer_id=state.producer_id,
        last_seq=state.last_seq,
        spooled_events=state.spooled_events,
        open_exchanges=state.open_exchanges,
        stopped=stopped,
        lost_rows=state.lost_rows,
        name=name,
    )
    status.complete_until.FromDatetime(state.complete_until)
    return status


async def _raise_ending(stream: _Stream) -> NoReturn:
    """Raise what a stream ended with."""
    await stream.read()  # raises what the rater ended it with, unless it was an end in peace
    raise DeliveryError("the rater ended the stream")
