"""Callers who break the rules of HTTP/2, of gRPC or of good manners, against the service as it is run."""

import asyncio
import gzip
import random
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from phoebe_proto.v1 import metering_pb2 as pb
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from tests.harness.hostile_bytes import frame
from tests.harness.ledger import PRICES, make_event
from tests.harness.raw_grpc import RawCaller, raw_caller
from tests.harness.served_rater import ServedRater, served_rater

pytestmark = pytest.mark.one_postgres

STREAM_EVENTS = "/phoebe.v1.MeteringService/StreamEvents"
RESOLVE_PRICE = "/phoebe.v1.RatingService/ResolvePrice"
OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 3, 8, 12, 13
MEBIBYTE = 1024 * 1024
# Everything that is under way at a moment: a batch or two, decompressed.
GROWTH_BYTES_MAX = 256 * MEBIBYTE


@pytest.fixture
async def served(database_url: str, tmp_path: Path) -> AsyncIterator[ServedRater]:
    """A service that, whatever a test does to it, still stores events, stays small and logs no traceback."""
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    async with served_rater(tmp_path, {"DATABASE_URL": database_url}, "--prices", str(prices)) as rater:
        await store_one(rater)
        before = rater.resident_bytes
        yield rater
        await store_one(rater)
        assert rater.resident_bytes - before < GROWTH_BYTES_MAX
        assert rater.process.poll() is None
    assert "Traceback" not in rater.log(), rater.log()


async def store_one(rater: ServedRater) -> None:
    """Store an event as a good caller does, on a connection of its own."""
    options = (("grpc.use_local_subchannel_pool", 1),)
    async with (
        asyncio.timeout(60),
        grpc.aio.insecure_channel(f"127.0.0.1:{rater.port}", options) as channel,
    ):
        call = MeteringServiceStub(channel).StreamEvents()
        await call.write(pb.StreamEventsRequest(events=[make_event()]))
        answer = await call.read()
        assert isinstance(answer, pb.StreamEventsResponse)
        assert answer.results[0].outcome == pb.EVENT_OUTCOME_STORED
        call.cancel()


BATCH = pb.StreamEventsRequest(events=[make_event(outcome="?")]).SerializeToString()
LARGE_BATCH = pb.StreamEventsRequest(events=[make_event(outcome="?") for _ in range(100)]).SerializeToString()
ZEROS = bytes(256 * MEBIBYTE)
GZIP, BROTLI, NONSENSE = ([("grpc-encoding", name)] for name in ("gzip", "br", "\x7f" * 100))
NO_MESSAGES: list[tuple[list[tuple[str, str]], bytes, set[int | None]]] = [
    ([], frame(b"\xff"), {INVALID_ARGUMENT}),
    # Cut off: nothing is answered, so nothing is forgotten.
    ([], frame(BATCH, length=len(BATCH) + 1), {OK}),
    ([], b"\0\0\0", {OK}),
    ([], b"", {OK}),
    ([], frame(b"", length=2**32 - 1), {RESOURCE_EXHAUSTED}),
    ([], frame(BATCH, compressed=1), {INTERNAL}),
    ([], frame(BATCH, compressed=2), {OK, INTERNAL}),
    ([], frame(BATCH, compressed=255), {OK, INTERNAL}),
    (GZIP, frame(BATCH, compressed=1), {INTERNAL}),
    (GZIP, frame(gzip.compress(BATCH)[:-9], compressed=1), {INTERNAL}),
    (BROTLI, frame(BATCH, compressed=1), {UNIMPLEMENTED, INTERNAL}),
    (NONSENSE, frame(BATCH, compressed=1), {UNIMPLEMENTED, INTERNAL}),
    ([("grpc-timeout", "99999999999H")], frame(BATCH), {OK, INTERNAL}),
    ([("grpc-timeout", "nonsense")], frame(BATCH), {OK, INTERNAL}),
    ([], frame(BATCH) * 100, {OK}),
    ([], frame(b"") * 500, {OK}),
]


async def test_a_body_that_is_no_message_ends_its_call_alone(served: ServedRater) -> None:
    for headers, body, statuses in NO_MESSAGES:
        async with raw_caller(served.port) as caller:
            stream = caller.open(STREAM_EVENTS, headers)
            await caller.send(stream, body)
            call = await caller.answer(stream)
            assert call.status in statuses, (headers, body[:20])


async def test_a_message_that_is_small_only_in_flight_is_never_unpacked(served: ServedRater) -> None:
    for encoding, bomb in (("gzip", gzip.compress(ZEROS)), ("deflate", zlib.compress(ZEROS))):
        async with raw_caller(served.port) as caller:
            for path in (STREAM_EVENTS, RESOLVE_PRICE):
                streams = [caller.open(path, [("grpc-encoding", encoding)]) for _ in range(10)]
                for stream in streams:
                    await caller.send(stream, frame(bomb, compressed=1))
                for stream in streams:
                    assert (await caller.answer(stream)).status == RESOURCE_EXHAUSTED


async def test_a_call_of_nothing_there_is_gets_an_error_and_no_answer(served: ServedRater) -> None:
    service = "/phoebe.v1.MeteringService"
    paths = ("/", "//", f"{service}/", f"{STREAM_EVENTS}/", f"{STREAM_EVENTS}?x=1", "/" + "x" * 4000)
    odd_paths = (f"{service.lower()}/streamevents", f"{service}/%53treamEvents", "", "*", "\x7f\xff")
    odd_pseudo: list[dict[str, str]] = [{"method": "GET"}, {"method": "CONNECT"}, {"scheme": "gopher"}]
    for path, pseudo in (
        *((path, {}) for path in (*paths, *odd_paths)),
        *((STREAM_EVENTS, pseudo) for pseudo in odd_pseudo),
    ):
        async with raw_caller(served.port) as caller:
            stream = caller.open(path, pseudo=pseudo)
            await caller.send(stream, frame(BATCH))
            call = await caller.answer(stream)
            assert (call.status == OK, call.body) == (False, b""), (path, pseudo)


async def test_floods_of_metadata_harm_nothing(served: ServedRater) -> None:
    # gRPC holds its limit against each frame of headers, so that some of these are taken and some are not.
    for metadata in (
        [("authorization", "Bearer " + "x" * 20_000)],
        [("x-large", "A" * 100_000)],
        [(f"x-{number}", "x" * 50) for number in range(1000)],
        [(f"x-{number}", "x" * 50) for number in range(100_000)],
    ):
        async with raw_caller(served.port) as caller:
            stream = caller.open(RESOLVE_PRICE, metadata)
            await caller.send(stream, frame(b""))
            assert (await caller.answer(stream)).status in (RESOURCE_EXHAUSTED, INVALID_ARGUMENT, None)


async def test_calls_that_are_opened_and_broken_off_by_the_thousand_cost_nothing(served: ServedRater) -> None:
    for _ in range(10):
        async with raw_caller(served.port) as caller:
            for _ in range(500):
                if caller.gone:
                    break
                stream = caller.open(STREAM_EVENTS)
                with suppress(Exception):
                    caller.reset(stream)
                await caller.flush()


async def test_calls_that_say_nothing_and_read_nothing_hold_up_nobody(served: ServedRater) -> None:
    async with raw_caller(served.port) as silent, raw_caller(served.port) as deaf:
        for _ in range(100):
            silent.open(STREAM_EVENTS)
            silent.open(RESOLVE_PRICE)
        await silent.flush()
        stream = deaf.open(STREAM_EVENTS)
        # Their answers are twice what the service may send to who reads nothing.
        await deaf.send(stream, frame(LARGE_BATCH) * 12, end=False)
        await store_one(served)


@pytest.mark.parametrize("seed", range(2))
async def test_a_call_may_break_off_at_any_byte(served: ServedRater, seed: int) -> None:
    chosen = random.Random(seed)
    body = frame(pb.StreamEventsRequest(events=[make_event() for _ in range(50)]).SerializeToString())
    for _ in range(40):
        async with raw_caller(served.port) as caller:
            stream = caller.open(STREAM_EVENTS)
            await caller.send(
                stream, (body * 3)[: chosen.randrange(len(body) * 3)], end=chosen.random() < 0.3
            )
            if chosen.random() < 0.5:
                await break_off(caller, stream)


async def break_off(caller: RawCaller, stream: int) -> None:
    with suppress(Exception):
        caller.reset(stream)
    await caller.flush()


@pytest.mark.parametrize("seed", range(2))
async def test_noise_on_a_connection_ends_that_connection_alone(served: ServedRater, seed: int) -> None:
    chosen = random.Random(seed)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for _ in range(40):
        frames = b"".join(
            (size := chosen.randrange(64)).to_bytes(3, "big") + chosen.randbytes(6) + chosen.randbytes(size)
            for _ in range(20)
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        with suppress(OSError):
            writer.write(chosen.choice([chosen.randbytes(500), preface + frames, preface[:-1] + frames]))
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 30)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
