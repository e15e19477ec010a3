"""A rater that remembers what it was sent, and a spool whose events are sent to it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import grpc
import grpc.aio

from phoebe_addon.delivery.credentials import PLAINTEXT, CredentialFiles
from phoebe_addon.delivery.delivery import Delivery
from phoebe_addon.spool.spool import Spool
from phoebe_proto.v1 import metering_pb2, metering_pb2_grpc
from phoebe_proto.v1.metering_pb2 import EventResult, StreamEventsRequest, StreamEventsResponse
from rig.ports import reserve_port

type Answer = Callable[[StreamEventsRequest], Awaitable[StreamEventsResponse | None]]
type Context = grpc.aio.ServicerContext[StreamEventsRequest, StreamEventsResponse]


def answer_to(
    request: StreamEventsRequest, outcome: int = metering_pb2.EVENT_OUTCOME_STORED, reason: str = ""
) -> StreamEventsResponse:
    results = [
        EventResult(request_id=event.request_id, outcome=outcome, reason=reason)  # type: ignore[arg-type]
        for event in request.events
    ]
    return StreamEventsResponse(batch_id=request.batch_id, results=results)


INSTALLATION = "0195c0de-0000-4000-8000-000000000001"


async def stored(request: StreamEventsRequest) -> StreamEventsResponse:
    return answer_to(request)


class RecordingRater(metering_pb2_grpc.MeteringServiceServicer):
    """A rater that remembers what it was sent.

    answers: how the next batches are answered, one each; None ends the stream. After them, all are stored.
    installation: which it says it is; empty: like an earlier version it says none. greetings: the messages by
    which it was asked. tokens: those it lets in, if it asks for one. credentials: what it encrypts
    connections with.
    """

    def __init__(self) -> None:
        self.port = 0
        self.batches: list[StreamEventsRequest] = []
        self.greetings: list[StreamEventsRequest] = []
        self.installation = INSTALLATION
        self.answers: list[Answer] = []
        self.streams_ended = 0
        self.tokens: set[str] | None = None
        self.refused: list[str] = []
        self.credentials: grpc.ServerCredentials | None = None
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self._server = grpc.aio.server()
        metering_pb2_grpc.add_MeteringServiceServicer_to_server(self, self._server)
        self.port = self.port or reserve_port()  # the same at every start
        listen = f"127.0.0.1:{self.port}"
        if self.credentials:
            self._server.add_secure_port(listen, self.credentials)
        else:
            self._server.add_insecure_port(listen)
        await self._server.start()

    async def stop(self) -> None:
        assert self._server
        await self._server.stop(None)

    async def StreamEvents(  # noqa: N802
        self, request_iterator: AsyncIterator[StreamEventsRequest], context: Context
    ) -> AsyncIterator[StreamEventsResponse]:
        try:
            await self._check_token(context)
            async for request in request_iterator:
                await self._check_token(context)
                if not request.events and not request.HasField("status"):
                    self.greetings.append(request)
                    yield StreamEventsResponse(batch_id=request.batch_id, installation_id=self.installation)
                    continue
                self.batches.append(request)
                answer = self.answers.pop(0) if self.answers else stored
                try:
                    response = await answer(request)
                except OutOfServiceError:
                    await context.abort(grpc.StatusCode.UNAVAILABLE, "the database can't be reached")
                if response is None:
                    return
                yield response
        finally:
            self.streams_ended += 1

    async def _check_token(self, context: Context) -> None:
        shown = dict(context.invocation_metadata() or ()).get("authorization")
        if self.tokens is not None and shown not in {f"Bearer {token}" for token in self.tokens}:
            self.refused.append(str(shown))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "the token is not known")

    def sent(self) -> list[int]:
        return [event.producer_seq for batch in self.batches for event in batch.events]


class OutOfServiceError(Exception):
    pass


async def out_of_service(request: StreamEventsRequest) -> StreamEventsResponse:
    raise OutOfServiceError


class Sender:
    """A spool, its delivery to a rater, and what was counted."""

    def __init__(self, spool: Spool, target: str, files: CredentialFiles = PLAINTEXT) -> None:
        self.credentials = files.follow()
        self.spool = spool
        self.counted: Counter[str] = Counter()
        self.delivery = Delivery(spool, target, self.counted.update, self.credentials)
        self.task: asyncio.Task[None] | None = None
        self._written = 0

    def start(self) -> None:
        self.task = asyncio.create_task(self.delivery.run())

    async def write(self, count: int) -> None:
        """Put events with the request ids r1, r2, … into the spool."""
        written = []
        for _ in range(count):
            self._written += 1
            request_id = f"r{self._written}"
            event = metering_pb2.MeteringEvent(request_id=request_id).SerializeToString()
            written.append(self.spool.finish(request_id, [event], datetime.now(UTC)))
        await asyncio.gather(*map(self.spool.until_durable, written))
        self.delivery.wake()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                assert self.task is None or not self.task.done(), "delivery has stopped"
                await asyncio.sleep(0.01)

    async def until_empty(self) -> None:
        await self.until(lambda: self.spool.depth() == 0)
