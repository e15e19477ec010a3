"""Looks at the certificate of a server: whether it proves who the server is, and until when it holds."""

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from phoebe_runtime.durations import in_words
from rater_service.doctor.findings import Finding, failed, ok, warning
from rater_service.doctor.targets import Address
from rater_service.hours import utc_text

# The alert is at a week; who asks the doctor has time to plan.
SOON = timedelta(days=14)
_RENEW = "renew it; Phoebe's own are read again when their file changes"


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What a server showed. ends_at: UTC-aware. distrust: why it proves nothing; None: it does."""

    ends_at: datetime
    distrust: str | None


def client_context(
    ca: Path | None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """Make what a client of gRPC trusts and shows. Raises OSError for files that can't be read."""
    context = lenient(ssl.create_default_context(cafile=None if ca is None else str(ca)))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    return context


def lenient(context: ssl.SSLContext) -> ssl.SSLContext:
    """Take certificates that most clients take, gRPC among them: Python asks more of their form."""
    context.verify_flags &= ~ssl.VerifyFlags.VERIFY_X509_STRICT
    return context


async def look_at_certificate(address: Address, trusting: ssl.SSLContext) -> ServerCertificate:
    """Open a connection with TLS and look at the certificate. Raises OSError: no connection, or no TLS."""
    try:
        return ServerCertificate(await _ends_at(address, trusting), None)
    except ssl.SSLCertVerificationError as error:
        anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anything.check_hostname = False
        # Only to read until when it holds: nothing is sent on this connection.
        anything.verify_mode = ssl.CERT_NONE
        return ServerCertificate(await _ends_at(address, anything), error.verify_message)


async def _ends_at(address: Address, context: ssl.SSLContext) -> datetime:
    _, writer = await asyncio.open_connection(
        address.host, address.port, ssl=context, server_hostname=address.host
    )
    try:
        return expiry_of(writer.get_extra_info("ssl_object").getpeercert(True))
    finally:
        writer.transport.abort()


def expiry_of(der: bytes) -> datetime:
    """Say until when a certificate holds, given in DER form; UTC-aware."""
    return x509.load_der_x509_certificate(der).not_valid_after_utc


def judge(found: ServerCertificate, whose: str, now: datetime) -> Finding:
    """Say whether a certificate can be relied on, and for how long. whose: "the rater's"."""
    expired = judge_expiry(found.ends_at, f"{whose} certificate", now)
    if found.distrust is None or found.ends_at <= now:
        return expired
    return failed(
        f"{whose} certificate does not prove who it is: {found.distrust}",
        "name the authority that signed it, or have one made for the name that clients call",
    )


def judge_expiry(ends_at: datetime, what: str, now: datetime) -> Finding:
    """Say whether something that holds until a moment has ended, or will soon."""
    left = ends_at - now
    if left <= timedelta(0):
        return failed(f"{what} ended {utc_text(ends_at.astimezone(UTC))}", _RENEW)
    if left < SOON:
        return warning(f"{what} ends in {in_words(left)}, {utc_text(ends_at)}", _RENEW)
    return ok(f"{what} holds until {utc_text(ends_at)}")
