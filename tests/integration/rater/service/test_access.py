"""Who gets in to the service: certificates, tokens and rights, on real connections."""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from phoebe_proto.v1 import rating_pb2
from phoebe_proto.v1.metering_pb2 import StreamEventsRequest, StreamEventsResponse
from phoebe_proto.v1.metering_pb2_grpc import MeteringServiceStub
from phoebe_proto.v1.rating_pb2_grpc import RatingServiceStub
from phoebe_runtime import followed_files
from rater_service.database.database import Pool
from rater_service.limits import CHANNEL_OPTIONS, MESSAGE_BYTES_MAX, METADATA_BYTES_MAX
from rater_service.service import call_guard as call_guard_module
from rater_service.service import server as server_module
from rater_service.service.access_list import Right, new_token
from rater_service.service.protection import ProtectionFiles
from tests.harness.certificates import Authority, Certificate, replace
from tests.harness.guarded_rater import (
    GuardedRater,
    TokensFile,
    bearer,
    guarded_rater,
    write_certificates,
)
from tests.harness.ledger import make_event
from tests.harness.rater import Rater
from tests.harness.rpc import failure
from tests.harness.waiting import until

pytestmark = pytest.mark.one_postgres

type Metadata = tuple[tuple[str, str], ...]
type Call = Callable[[grpc.aio.Channel, Metadata], Awaitable[object]]

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
ATTEMPTS_MAX = 20


async def stream_events(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    stub = MeteringServiceStub(channel)
    request = StreamEventsRequest(events=[make_event()])
    return await first_answer(lambda: stub.StreamEvents(metadata=metadata), request)


async def first_answer(open_stream: Callable[[], Any], request: object) -> object:
    """Send a message on a stream of both directions; read its answer, or raise what it was refused with."""
    for _ in range(ATTEMPTS_MAX):
        stream = open_stream()
        try:
            await stream.write(request)
            return await stream.read()
        except asyncio.InvalidStateError:
            # It was refused before the message left.
            return await stream.read()
        except grpc.aio.AioRpcError as error:
            # grpc.aio loses the status of a stream that ends at the moment it is written to.
            if error.code() is not grpc.StatusCode.INTERNAL or "from Core" not in (error.details() or ""):
                raise
        finally:
            stream.cancel()
    raise AssertionError(f"grpc.aio lost the status of {ATTEMPTS_MAX} streams")


async def rate_window(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    return await RatingServiceStub(channel).RateWindow(rating_pb2.RateWindowRequest(), metadata=metadata)


async def resolve_price(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    return await RatingServiceStub(channel).ResolvePrice(rating_pb2.ResolvePriceRequest(), metadata=metadata)


async def list_rated_usage(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    request = rating_pb2.ListRatedUsageRequest(page_size=-1)
    return await RatingServiceStub(channel).ListRatedUsage(request, metadata=metadata)


async def audit(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    request = rating_pb2.AuditRequest(producer_id="\0")
    return await RatingServiceStub(channel).Audit(request, metadata=metadata)


async def list_runs(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    request = rating_pb2.ListRunsRequest(page_size=-1)
    return await RatingServiceStub(channel).ListRuns(request, metadata=metadata)


async def list_events(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    request = rating_pb2.ListEventsRequest()
    return await RatingServiceStub(channel).ListEvents(request, metadata=metadata)


async def get_event(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    return await RatingServiceStub(channel).GetEvent(rating_pb2.GetEventRequest(), metadata=metadata)


async def watch_health(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    watch = HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), metadata=metadata)
    try:
        return await watch.read()
    finally:
        watch.cancel()


async def reflect(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    stub = ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    return await first_answer(lambda: stub.ServerReflectionInfo(metadata=metadata), request)


async def check_health(channel: grpc.aio.Channel, metadata: Metadata) -> object:
    return await HealthStub(channel).Check(health_pb2.HealthCheckRequest(), metadata=metadata)


NEEDS: dict[Call, set[Right]] = {
    stream_events: {Right.PRODUCE},
    rate_window: {Right.RATE},
    resolve_price: {Right.READ},
    list_rated_usage: {Right.READ},
    audit: {Right.READ},
    list_runs: {Right.READ},
    list_events: {Right.EVENTS},
    get_event: {Right.EVENTS},
    watch_health: set(Right),
    reflect: set(Right),
}


@pytest.fixture(autouse=True)
def quick_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(followed_files, "PERIOD_S", 0.01)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def tokens(tmp_path: Path) -> TokensFile:
    return TokensFile(tmp_path / "tokens")


async def status(call: Awaitable[object]) -> grpc.StatusCode:
    """Tell how a call ended."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def served(call: Awaitable[object]) -> bool:
    """Whether a call reaches its service, which may find fault with the request."""
    return await status(call) in {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}


async def connection_refused(rater: GuardedRater, ca: bytes | None, shown: Certificate | None = None) -> bool:
    """Whether no call gets through a connection of this kind."""
    async with rater.channel(ca, shown) as channel:
        return await status(check_health(channel, ())) is UNAVAILABLE


# Tokens and rights.


async def test_each_right_opens_its_own_methods_and_no_others(pool: Pool, tokens: TokensFile) -> None:
    holders = {
        rights: tokens.let_in(*rights)
        for rights in [*((right,) for right in Right), (Right.RATE, Right.READ), tuple(Right)]
    }
    async with (
        guarded_rater(pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        for rights, token in holders.items():
            for call, needed in NEEDS.items():
                if needed & set(rights):
                    assert await served(call(channel, bearer(token)))
                else:
                    refused = await failure(call(channel, bearer(token)))
                    assert refused == (PERMISSION_DENIED, "RIGHT_MISSING", ""), (rights, call)


async def test_whoever_is_not_known_gets_nothing_but_the_word_that_the_service_is_up(
    pool: Pool, tokens: TokensFile
) -> None:
    known = tokens.let_in(*Right)
    strangers: list[tuple[Metadata, str]] = [
        ((), "TOKEN_MISSING"),
        (bearer(new_token()), "TOKEN_UNKNOWN"),
        (bearer(known[:-1]), "TOKEN_UNKNOWN"),
        (bearer(""), "TOKEN_UNKNOWN"),
        ((("authorization", known),), "TOKEN_UNKNOWN"),
        ((("authorization", f"Basic {known}"),), "TOKEN_UNKNOWN"),
        (bearer(known) + bearer(known), "TOKEN_UNKNOWN"),
    ]
    async with (
        guarded_rater(pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        for metadata, reason in strangers:
            for call in NEEDS:
                assert await failure(call(channel, metadata)) == (UNAUTHENTICATED, reason, ""), (reason, call)
            assert await check_health(channel, metadata)
        assert await served(rate_window(channel, (("authorization", f"bearer  {known} "),)))
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 0


async def test_a_method_that_does_not_exist_is_unimplemented(pool: Pool, tokens: TokensFile) -> None:
    token = tokens.let_in(*Right)
    async with (
        guarded_rater(pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        call = untyped(channel, "/phoebe.v1.RatingService/Nonsense", bearer(token))
        assert await status(call.read()) is grpc.StatusCode.UNIMPLEMENTED


async def test_a_refusal_comes_before_the_message_is_read(pool: Pool, tokens: TokensFile) -> None:
    tokens.let_in(Right.READ)
    async with (
        guarded_rater(pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        # The method takes one message; this sends none.
        call = untyped(channel, "/phoebe.v1.RatingService/RateWindow", ())
        assert await failure(call.read()) == (UNAUTHENTICATED, "TOKEN_MISSING", "")


async def test_a_call_whose_message_does_not_come_ends(
    pool: Pool, tokens: TokensFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_guard_module, "FIRST_MESSAGE_TIMEOUT_S", 0.05)
    tokens.let_in(Right.READ)
    async with (
        guarded_rater(pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        waiting = untyped(channel, "/grpc.health.v1.Health/Check", ())
        async with asyncio.timeout(5):
            ending = await failure(waiting.read())
        assert ending == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "")
        ended = untyped(channel, "/grpc.health.v1.Health/Check", ())
        await ended.done_writing()
        assert (await failure(ended.read()))[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_a_token_that_is_put_out_ends_the_streams_it_opened_before_their_next_batch(
    pool: Pool, tokens: TokensFile
) -> None:
    token = tokens.let_in(Right.PRODUCE)
    tokens.let_in(Right.READ)
    async with (
        guarded_rater(pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        stream = MeteringServiceStub(channel).StreamEvents(metadata=bearer(token))
        await stream.write(StreamEventsRequest(events=[make_event()]))
        assert isinstance(await stream.read(), StreamEventsResponse)

        tokens.put_out(token)
        await until(lambda: not lets_in(rater, token))
        await stream.write(StreamEventsRequest(events=[make_event()]))

        assert await failure(stream.read()) == (UNAUTHENTICATED, "TOKEN_UNKNOWN", "")
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 1


async def test_tokens_are_exchanged_without_a_call_that_fails(pool: Pool, tokens: TokensFile) -> None:
    old = tokens.let_in(Right.READ, name="atlas")
    async with (
        guarded_rater(pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        new = tokens.let_in(Right.READ, name="atlas")
        await until(lambda: lets_in(rater, new))
        assert await served(resolve_price(channel, bearer(old)))
        assert await served(resolve_price(channel, bearer(new)))

        tokens.put_out(old)
        await until(lambda: not lets_in(rater, old))

        assert await failure(resolve_price(channel, bearer(old))) == (UNAUTHENTICATED, "TOKEN_UNKNOWN", "")
        assert await served(resolve_price(channel, bearer(new)))


async def test_names_stand_in_the_log_and_secrets_do_not(
    pool: Pool, tokens: TokensFile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    known, strange = tokens.let_in(*Right, name="atlas-eu"), new_token()
    reader = tokens.let_in(Right.READ, name="reports")
    async with (
        guarded_rater(pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        for call in NEEDS:
            assert await served(call(channel, bearer(known)))
        said = []
        for metadata in (bearer(strange), bearer(reader)):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await rate_window(channel, metadata)
            said.append(f"{raised.value!r} {raised.value.debug_error_string()}")
        replace(tokens.path, f"atlas-eu read {strange}".encode())
        await until(lambda: "what was in use stays" in caplog.text)

    assert "atlas-eu calls /phoebe.v1.RatingService/RateWindow" in caplog.text
    assert "calling /phoebe.v1.RatingService/RateWindow: TOKEN_UNKNOWN" in caplog.text
    digests = [line.rpartition(":")[2] for line in tokens.lines.values()]
    for secret in (known, strange, reader, *digests):
        assert secret not in caplog.text
        assert secret not in "".join(said)


async def test_callers_that_are_refused_cannot_fill_the_log(
    pool: Pool, tokens: TokensFile, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_guard_module, "_REFUSAL_LOG_PAUSE_S", 3600)
    tokens.let_in(Right.READ)
    async with (
        guarded_rater(pool, ProtectionFiles(tokens=tokens.path)) as rater,
        rater.channel() as channel,
    ):
        for _ in range(20):
            await failure(resolve_price(channel, ()))

    assert caplog.text.count("refused ipv4:127.0.0.1:") == 1


# Certificates.


async def test_an_encrypted_port_takes_no_plaintext_and_nobody_who_distrusts_its_certificate(
    pool: Pool, tmp_path: Path, authority: Authority
) -> None:
    files = write_certificates(tmp_path, authority.issue_for_loopback(), None)
    async with guarded_rater(pool, files) as rater:
        assert await connection_refused(rater, None)
        assert await connection_refused(rater, Authority().pem)
        assert not await connection_refused(rater, authority.pem)


async def test_a_certificate_for_another_host_is_not_believed(
    pool: Pool, tmp_path: Path, authority: Authority
) -> None:
    files = write_certificates(tmp_path, authority.issue("a rater", x509.DNSName("elsewhere.example")), None)
    async with guarded_rater(pool, files) as rater:
        assert await connection_refused(rater, authority.pem)


async def test_with_a_client_ca_only_its_certificates_get_a_connection(
    pool: Pool, tmp_path: Path, authority: Authority
) -> None:
    clients = Authority("clients")
    files = write_certificates(tmp_path, authority.issue_for_loopback(), clients)
    async with guarded_rater(pool, files) as rater:
        assert await connection_refused(rater, authority.pem)
        assert await connection_refused(rater, authority.pem, authority.issue("addon"))
        assert await connection_refused(rater, authority.pem, Authority("clients").issue("addon"))
        async with rater.channel(authority.pem, clients.issue("addon")) as channel:
            for call in NEEDS:
                assert await served(call(channel, ()))


async def test_with_tokens_too_a_certificate_has_the_rights_its_name_was_given_and_no_others(
    pool: Pool, tmp_path: Path, authority: Authority, tokens: TokensFile
) -> None:
    tokens.let_in_certificate("addon.example", Right.PRODUCE)
    token = tokens.let_in(Right.READ)
    files = write_certificates(tmp_path, authority.issue_for_loopback(), authority)
    named = authority.issue("whoever", x509.DNSName("other.example"), x509.DNSName("addon.example"))
    by_subject, unnamed = authority.issue("addon.example"), authority.issue("stranger.example")
    subject_only_claims = authority.issue("addon.example", x509.DNSName("stranger.example"))
    async with guarded_rater(pool, dataclasses.replace(files, tokens=tokens.path)) as rater:
        for shown in (named, by_subject):
            async with rater.channel(authority.pem, shown) as channel:
                assert await served(stream_events(channel, ()))
                refused = await failure(resolve_price(channel, ()))
                assert refused == (PERMISSION_DENIED, "RIGHT_MISSING", "")
                # Whoever shows a token is who the token says.
                assert await served(resolve_price(channel, bearer(token)))
                refused = await failure(stream_events(channel, bearer(token)))
                assert refused == (PERMISSION_DENIED, "RIGHT_MISSING", "")
                refused = await failure(stream_events(channel, bearer(new_token())))
                assert refused == (UNAUTHENTICATED, "TOKEN_UNKNOWN", "")
        for shown in (unnamed, subject_only_claims):
            async with rater.channel(authority.pem, shown) as channel:
                refused = await failure(stream_events(channel, ()))
                assert refused == (UNAUTHENTICATED, "CERTIFICATE_UNKNOWN", "")
                assert await served(resolve_price(channel, bearer(token)))


async def test_a_new_certificate_is_shown_to_new_connections_while_old_ones_go_on(
    pool: Pool, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files = write_certificates(tmp_path, authority.issue_for_loopback(), None)
    assert files.tls_cert
    assert files.tls_key
    successor = Authority("successor")
    new = successor.issue_for_loopback()
    async with guarded_rater(pool, files) as rater, rater.channel(authority.pem) as old_channel:
        stream = MeteringServiceStub(old_channel).StreamEvents()
        await stream.write(StreamEventsRequest(events=[make_event()]))
        assert isinstance(await stream.read(), StreamEventsResponse)

        replace(files.tls_cert, new.certificate)
        await until(lambda: "what was in use stays in use: the private key" in caplog.text)
        assert not await connection_refused(rater, authority.pem)
        replace(files.tls_key, new.key)
        await until(lambda: "was read again" in caplog.text)

        assert await connection_refused(rater, authority.pem)
        assert not await connection_refused(rater, successor.pem)
        await stream.write(StreamEventsRequest(events=[make_event()]))
        assert isinstance(await stream.read(), StreamEventsResponse)
        stream.cancel()


async def test_callers_certificates_of_a_new_client_ca_are_taken_and_those_of_the_old_no_more(
    pool: Pool, tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before, after = Authority("before"), Authority("after")
    files = write_certificates(tmp_path, authority.issue_for_loopback(), before)
    assert files.tls_client_ca
    async with guarded_rater(pool, files) as rater:
        assert not await connection_refused(rater, authority.pem, before.issue("addon"))
        assert await connection_refused(rater, authority.pem, after.issue("addon"))

        replace(files.tls_client_ca, after.pem)
        await until(lambda: "was read again" in caplog.text)

        assert await connection_refused(rater, authority.pem, before.issue("addon"))
        assert not await connection_refused(rater, authority.pem, after.issue("addon"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"\xff" * 70_000,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 50,
    ],
)
@pytest.mark.parametrize("encrypted", [False, True])
async def test_bytes_of_any_kind_harm_nothing(
    pool: Pool, tmp_path: Path, authority: Authority, garbage: bytes, *, encrypted: bool
) -> None:
    certificates = write_certificates(tmp_path, authority.issue_for_loopback(), None)
    files = certificates if encrypted else ProtectionFiles()
    async with guarded_rater(pool, files) as rater:
        reader, writer = await asyncio.open_connection("127.0.0.1", rater.port)
        # The service may hang up at any byte.
        with suppress(OSError):
            writer.write(garbage)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 20)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

        assert not await connection_refused(rater, authority.pem if encrypted else None)


# Limits.


async def test_a_message_too_large_is_refused_also_if_compression_hides_its_size(rater: Rater) -> None:
    batch = StreamEventsRequest(batch_id="x" * (MESSAGE_BYTES_MAX + 1))
    for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
        call = rater.metering.StreamEvents(compression=compression)
        await call.write(batch)
        assert await status(call.read()) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_too_large_is_refused(rater: Rater) -> None:
    call = resolve_price(rater.channel, bearer("x" * METADATA_BYTES_MAX))
    assert await status(call) is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_more_calls_than_it_takes_are_refused_until_others_end(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CALLS_MAX", 2)
    async with guarded_rater(pool, ProtectionFiles()) as rater, rater.channel() as channel:
        watches = [HealthStub(channel).Watch(health_pb2.HealthCheckRequest()) for _ in range(2)]
        for watch in watches:
            await watch.read()
        assert await status(check_health(channel, ())) is grpc.StatusCode.RESOURCE_EXHAUSTED
        watches[0].cancel()

        async with asyncio.timeout(20):
            while await status(check_health(channel, ())) is grpc.StatusCode.RESOURCE_EXHAUSTED:
                pass
        watches[1].cancel()


async def test_more_connections_than_it_takes_are_refused(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**dict(CHANNEL_OPTIONS), "grpc.max_allowed_incoming_connections": 2}
    monkeypatch.setattr(server_module, "CHANNEL_OPTIONS", tuple(options.items()))
    async with guarded_rater(pool, ProtectionFiles()) as rater:
        # Those that fail do not count for ever.
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", rater.port)
            writer.write(b"nonsense")
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        async with rater.channel() as first, rater.channel() as second:
            for channel in (first, second):
                async with asyncio.timeout(20):
                    while await status(check_health(channel, ())) is not grpc.StatusCode.OK:
                        pass
            assert await connection_refused(rater, None)

            await first.close()

            async with asyncio.timeout(20):
                while await connection_refused(rater, None):
                    pass


def untyped(
    channel: grpc.aio.Channel, method: str, metadata: Metadata
) -> grpc.aio.StreamStreamCall[bytes, bytes]:
    """Call a method by its name; messages are bytes, as many as one likes."""
    multicallable: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(method)
    return multicallable(metadata=metadata)


def lets_in(rater: GuardedRater, token: str) -> bool:
    assert rater.protection.access
    return rater.protection.access.value.caller_of_token(token) is not None
