"""Messages nobody should send, to every method: each gets a clear answer, and none does harm."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from hashlib import sha256

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from phoebe_proto.v1 import metering_pb2 as pb
from phoebe_proto.v1 import rating_pb2
from rater_service.database.database import POOL_CONNECTIONS_MAX
from rater_service.service.server import running_server
from rater_service.wire_time import to_timestamp
from tests.harness.hostile_bytes import LENGTH, messages, record
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

pytestmark = pytest.mark.one_postgres

METHODS: list[MethodDescriptor] = [
    method
    for module in (pb, rating_pb2, health_pb2, reflection_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
OWN = "phoebe.v1."
# What the service may find wrong with a message. UNKNOWN and INTERNAL are never the caller's fault.
FOUND_WRONG = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
}
VALID: dict[str, Sequence[bytes]] = {
    "phoebe.v1.StreamEventsRequest": [
        pb.StreamEventsRequest(batch_id="b", events=[make_event(), make_event()]).SerializeToString(),
        pb.StreamEventsRequest(status=pb.ProducerStatus(producer_id="spool-1")).SerializeToString(),
    ],
    "phoebe.v1.RateWindowRequest": [
        rating_pb2.RateWindowRequest(
            window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR)
        ).SerializeToString()
    ],
    "phoebe.v1.ResolvePriceRequest": [
        rating_pb2.ResolvePriceRequest(model_id="meta/base-a", prompt_tokens=1).SerializeToString()
    ],
}


class Troubles(logging.Handler):
    """Keeps what a log must not have: exceptions nobody expected."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, line: logging.LogRecord) -> None:
        if line.exc_info or "Traceback" in line.getMessage():
            self.found.append(self.format(line))


class Target:
    """A service with a rated hour, and a connection that takes bytes for messages."""

    def __init__(self, ledger: Ledger, channel: grpc.aio.Channel, troubles: Troubles) -> None:
        self.ledger = ledger
        self.troubles = troubles
        self._channel = channel

    async def send(
        self, method: MethodDescriptor, *sent: bytes
    ) -> tuple[grpc.StatusCode, list[bytes], ErrorInfo | None]:
        """Call a method with messages as they are; give the status, the answers and what a program reads."""

        async def requests() -> AsyncIterator[bytes]:
            for message in sent:
                yield message

        answers: list[bytes] = []
        path = f"/{method.containing_service.full_name}/{method.name}"
        try:
            async with asyncio.timeout(60):
                if not method.client_streaming and not method.server_streaming:
                    multicallable: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
                        path
                    )
                    answers.append(await multicallable(sent[0]))
                    return grpc.StatusCode.OK, answers, None
                stream: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(path)
                call = stream(requests())
                async for answer in call:
                    answers.append(answer)
                    if not method.client_streaming:
                        call.cancel()  # Watch has no end of its own
                        break
                return grpc.StatusCode.OK, answers, None
        except grpc.aio.AioRpcError as error:
            said = error.details() or ""
            self.troubles.found += [said] if "Traceback" in said else []
            return error.code(), answers, _error_info(error)

    async def is_unharmed(self, rollups: list[object]) -> None:
        """Check that no exception was left to chance, no bill changed, and all of it still works."""
        assert self.troubles.found == []
        assert [tuple(row) for row in await self.ledger.rollups()] == rollups
        batch = pb.StreamEventsRequest(batch_id="good", events=[make_event()])
        status, answers, _ = await self.send(METHODS[0], batch.SerializeToString())
        assert status is grpc.StatusCode.OK
        (result,) = pb.StreamEventsResponse.FromString(answers[0]).results
        assert result.outcome == pb.EVENT_OUTCOME_STORED
        async with asyncio.timeout(20), AsyncExitStack() as stack:
            for _ in range(POOL_CONNECTIONS_MAX):
                await stack.enter_async_context(self.ledger.pool.acquire())


def _error_info(error: grpc.aio.AioRpcError) -> ErrorInfo | None:
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    info = ErrorInfo()
    if isinstance(details, bytes) and any(
        detail.Unpack(info) for detail in Status.FromString(details).details
    ):
        return info
    return None


@pytest.fixture
def target(oracle_ledger: Ledger, oracle_runner: asyncio.Runner) -> Iterator[Target]:
    stack, troubles = AsyncExitStack(), Troubles()

    async def start() -> Target:
        await oracle_ledger.store(make_event(), make_event(model_id="meta/base-b"))
        await oracle_ledger.rate()
        port = await stack.enter_async_context(
            running_server(oracle_ledger.pool, "127.0.0.1:0", asyncio.Event())
        )
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        return Target(oracle_ledger, channel, troubles)

    started = oracle_runner.run(start())
    logging.getLogger().addHandler(troubles)
    yield started
    logging.getLogger().removeHandler(troubles)
    oracle_runner.run(stack.aclose())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.full_name)
def test_any_bytes_for_a_message_get_an_answer_a_program_can_read(
    target: Target, oracle_runner: asyncio.Runner, method: MethodDescriptor
) -> None:
    kind = method.input_type
    before = oracle_runner.run(target.ledger.rollups())

    @settings(max_examples=80)
    @given(messages(kind, VALID.get(kind.full_name, (b"",))))
    def send(message: bytes) -> None:
        status, _, info = oracle_runner.run(target.send(method, message))
        assert target.troubles.found == []
        assert status is grpc.StatusCode.OK or status in FOUND_WRONG
        with suppress(DecodeError):
            GetMessageClass(kind).FromString(message)
            assert info is None or info.reason != "UNREADABLE_MESSAGE"
            if status in FOUND_WRONG and method.full_name.startswith(OWN):
                assert info is not None
                assert (info.domain, bool(info.reason)) == ("phoebe", True)
            return
        assert (status, info and info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNREADABLE_MESSAGE")

    send()
    oracle_runner.run(target.is_unharmed([tuple(row) for row in before]))


def test_every_event_of_an_answered_batch_is_stored_or_kept_whatever_it_is(
    target: Target, oracle_runner: asyncio.Runner
) -> None:
    events = messages(pb.MeteringEvent.DESCRIPTOR, [make_event().SerializeToString() for _ in range(3)])
    before = oracle_runner.run(target.ledger.rollups())

    async def check(batch: pb.StreamEventsRequest, answers: list[bytes]) -> None:
        (answer,) = (pb.StreamEventsResponse.FromString(raw) for raw in answers)
        assert [result.request_id for result in answer.results] == [
            event.request_id for event in batch.events
        ]
        for event, result in zip(batch.events, answer.results, strict=True):
            if result.outcome in (pb.EVENT_OUTCOME_STORED, pb.EVENT_OUTCOME_DUPLICATE):
                found = await target.ledger.pool.fetchval(
                    "SELECT count(*) FROM billing_event WHERE request_id = $1::text::uuid", event.request_id
                )
            else:
                assert result.outcome in (pb.EVENT_OUTCOME_REJECTED, pb.EVENT_OUTCOME_CONFLICT)
                assert result.reason
                found = await target.ledger.pool.fetchval(
                    "SELECT count(*) FROM rejected_event WHERE event_sha256 = $1",
                    sha256(event.SerializeToString(deterministic=True)).digest(),
                )
            assert found == 1

    @settings(max_examples=150)
    @given(st.lists(events, min_size=1, max_size=5))
    def send(sent: list[bytes]) -> None:
        message = b"".join(record(2, LENGTH, event) for event in sent)
        status, answers, _ = oracle_runner.run(target.send(METHODS[0], message))
        try:
            batch = pb.StreamEventsRequest.FromString(message)
        except DecodeError:
            assert status is grpc.StatusCode.INVALID_ARGUMENT
            return
        assert status is grpc.StatusCode.OK
        oracle_runner.run(check(batch, answers))

    send()
    oracle_runner.run(target.is_unharmed([tuple(row) for row in before]))
