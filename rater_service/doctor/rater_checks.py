"""Checks of the rater's gRPC port, as a proxy and a stranger see it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from phoebe_client import AsyncClient, Connection, NotAllowedError, PhoebeError
from phoebe_proto.v1 import metering_pb2_grpc
from rater_service.doctor.access import Access
from rater_service.doctor.certificates import client_context, judge, look_at_certificate
from rater_service.doctor.findings import Finding, failed, ok, unchecked, warning
from rater_service.doctor.targets import address_of

_METERING = "phoebe.v1.MeteringService"
_RATING = "phoebe.v1.RatingService"
_AMISS = {
    _METERING: "the rater can't store events: they wait in the spools",
    _RATING: "the rater can't rate and quote; events are stored",
}
_SEE_PROBES = "its log and its /readyz say why: docs/watching.md#probes"
_UNREACHED = "start it, or name the address that proxies use; look at networks and firewalls between"
_REFUSED = frozenset({grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED})


def _connection(access: Access) -> Connection:
    assert access.targets.rater is not None
    return access.targets.rater


@asynccontextmanager
async def open_channel(connection: Connection) -> AsyncIterator[grpc.aio.Channel]:
    """Open a channel as the connection says, as long as the context lasts."""
    channel = (
        grpc.aio.secure_channel(connection.address, connection.credentials())
        if connection.encrypted
        else grpc.aio.insecure_channel(connection.address)
    )
    try:
        yield channel
    finally:
        await channel.close()


async def check_calls(access: Access) -> Sequence[Finding]:
    """Ask the rater's health which of its services work."""
    findings = []
    async with open_channel(_connection(access)) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service, amiss in _AMISS.items():
            answer = await health.Check(
                health_pb2.HealthCheckRequest(service=service), timeout=access.timeout_s
            )
            if answer.status != health_pb2.HealthCheckResponse.SERVING:
                findings.append(failed(amiss, _SEE_PROBES))
    return findings or [ok(f"the rater at {_connection(access).address} stores events and rates them")]


async def check_rater_encryption(access: Access) -> Sequence[Finding]:
    """Say whether others can read what goes to the rater, and until when its certificate holds."""
    connection = _connection(access)
    address = address_of(connection.address)
    if not connection.encrypted:
        if address.is_loopback:
            return [ok("the rater is on this machine, without TLS")]
        return [
            failed(
                "events and tokens go to the rater unencrypted, over a network",
                "give `phoebe serve` --tls-cert and --tls-key, proxies phoebe_rater_tls: docs/security.md",
            )
        ]
    try:
        context = client_context(connection.ca, connection.certificate, connection.key)
        found = await look_at_certificate(address, context)
    except ssl.SSLError as error:
        return [failed(f"the rater speaks no TLS that can be used: {error.reason or error}", _UNREACHED)]
    return [judge(found, "the rater's", datetime.now(UTC))]


async def check_access(access: Access) -> Sequence[Finding]:
    """Ask the rater for its runs as a stranger would, without token and certificate."""
    own = _connection(access)
    stranger = Connection(own.address, tls=own.encrypted, ca=own.ca)
    try:
        async with AsyncClient(stranger.address, tls=stranger.tls, ca=stranger.ca) as client:
            async for _ in client.list_runs(timeout_s=access.timeout_s):
                break
    except NotAllowedError:
        return [ok("the rater asks callers who they are")]
    except PhoebeError as error:
        if error.code is grpc.StatusCode.UNAVAILABLE and own.certificate is not None:
            return [ok("the rater lets nobody connect without a certificate")]
        return [unchecked(f"the rater could not be asked as a stranger: {error.message}", _UNREACHED)]
    if address_of(own.address).is_loopback:
        return [ok("the rater asks nobody who they are, at this machine's own address")]
    return [
        failed(
            "whoever reaches the rater may read bills, and rate: it asks nobody who they are",
            "give `phoebe serve` --tokens or --tls-client-ca: docs/security.md",
        )
    ]


async def check_reflection(access: Access) -> Sequence[Finding]:
    """Ask the rater, as a stranger, which methods it has."""
    own = _connection(access)
    stranger = Connection(own.address, tls=own.encrypted, ca=own.ca)
    request = reflection_pb2.ServerReflectionRequest(list_services="")

    def ask(channel: grpc.Channel) -> Iterable[object]:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        answers: Iterable[object] = stub.ServerReflectionInfo(iter([request]), timeout=access.timeout_s)
        return answers

    try:
        answers = await asyncio.to_thread(_streamed, stranger, ask)
    except grpc.RpcError as error:
        code, _ = status_of(error)
        if code in {*_REFUSED, grpc.StatusCode.UNIMPLEMENTED}:
            return [ok("strangers learn nothing of the rater's methods")]
        if code is grpc.StatusCode.UNAVAILABLE and own.certificate is not None:
            return [ok("the rater lets nobody connect without a certificate")]
        raise
    if not answers or address_of(own.address).is_loopback:
        return [ok("reflection is answered at this machine's own address, where it is of use")]
    return [
        warning(
            "the rater tells strangers all its methods (gRPC reflection)",
            "give `phoebe serve` --tokens or --tls-client-ca: then only known callers are answered",
        )
    ]


async def check_credentials(access: Access) -> Sequence[Finding]:
    """Say whether the credentials let a proxy deliver, and what else they would let it do."""
    connection = _connection(access)
    if connection.token is None and connection.certificate is None:
        return [
            unchecked(
                "no credentials of a proxy were given",
                "give --rater-token-file FILE, or --rater-cert and --rater-key",
            )
        ]

    def deliver_nothing(channel: grpc.Channel) -> Iterable[object]:
        stub = metering_pb2_grpc.MeteringServiceStub(channel)
        return stub.StreamEvents(iter(()), timeout=access.timeout_s, metadata=connection.metadata)

    try:
        await asyncio.to_thread(_streamed, connection, deliver_nothing)
    except grpc.RpcError as error:
        code, details = status_of(error)
        if code not in _REFUSED:
            raise
        return [
            failed(
                f"the rater does not let these credentials deliver events: {details}",
                "`phoebe token new NAME --rights produce` makes a line for the rater's file of tokens",
            )
        ]
    if await _may_read(connection, access.timeout_s):
        return [
            warning(
                "the credentials of a proxy may also read bills",
                "give it the right produce alone: `phoebe token new NAME --rights produce`",
            )
        ]
    return [ok("the credentials let a proxy deliver events, and not read bills")]


async def _may_read(connection: Connection, timeout_s: float) -> bool:
    try:
        async with AsyncClient(
            connection.address,
            token=connection.token,
            tls=connection.encrypted,
            ca=connection.ca,
            certificate=connection.certificate,
            key=connection.key,
        ) as client:
            async for _ in client.list_runs(timeout_s=timeout_s):
                break
    except NotAllowedError:
        return False
    return True


def _streamed(connection: Connection, ask: Callable[[grpc.Channel], Iterable[object]]) -> Sequence[object]:
    """Ask by a stream, in a thread, and return all that is answered. Raises grpc.RpcError.

    gRPC's own calls for asyncio say INTERNAL where a stream is refused while it is being written to.
    """
    channel = (
        grpc.secure_channel(connection.address, connection.credentials())
        if connection.encrypted
        else grpc.insecure_channel(connection.address)
    )
    with channel:
        return list(ask(channel))


def status_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Read what a call ended with, and the words for it: each kind of call raises an error with both."""
    ended: Any = error
    return ended.code(), str(ended.details())


def unreached(error: grpc.RpcError) -> Finding:
    """Say that a call to the rater failed, and what to do."""
    code, details = status_of(error)
    return failed(f"the rater can't be called: {code.name}: {details}", _UNREACHED)
