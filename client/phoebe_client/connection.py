"""How to reach the rater: address, TLS, token, and what a channel is made with."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import grpc

# While a run takes minutes the line is silent. Firewalls forget silent lines, and a lost rater says nothing.
_KEEPALIVE_S = 30
_KEEPALIVE_TIMEOUT_S = 10
# The service sends no larger ones: a page of 1,000 rollups, an audit.
_MESSAGE_BYTES_MAX = 32 * 1024 * 1024
# Every method may be called again: none does anything twice. Together about five seconds.
_RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": "phoebe.v1.RatingService"}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.3s",
                "maxBackoff": "3s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.keepalive_time_ms", _KEEPALIVE_S * 1000),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_S * 1000),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.service_config", json.dumps(_RETRIES)),
)
"""Of the channel. UNAVAILABLE is tried again up to four times, as gRPC's own retries do it."""


class ConnectionOptions(TypedDict, total=False):
    """What a connection can be told beside the address; see `Connection`."""

    token: str | None
    tls: bool
    ca: Path | None
    certificate: Path | None
    key: Path | None


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the rater is, and who calls.

    address: HOST:PORT. token: the bearer token that the rater's list of tokens knows; None: it asks nobody,
    or knows the certificate. tls: whether the line is encrypted. ca: PEM file with the authorities to trust
    instead of the system's. certificate, key: PEM files of the client's own certificate, both or none. Each
    of the three implies tls. Raises ValueError for a token without TLS beyond loopback, where it could be
    read, and for a certificate without its key.
    """

    address: str
    token: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what can't work, or would give the token away."""
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: give both or none")
        if self.token is not None and not self.encrypted and not self._is_loopback:
            raise ValueError("a token can be read on a line without TLS: set tls=True, or ca")

    @property
    def encrypted(self) -> bool:
        """Whether TLS is used."""
        return self.tls or self.ca is not None or self.certificate is not None

    @property
    def _is_loopback(self) -> bool:
        host = self.address.rpartition(":")[0].strip("[]")
        return host in {"localhost", "::1"} or host.startswith("127.") or self.address.startswith("unix:")

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def credentials(self) -> grpc.ChannelCredentials:
        """Read the files and make the credentials of an encrypted channel. Raises OSError."""
        return grpc.ssl_channel_credentials(_read(self.ca), _read(self.key), _read(self.certificate))


def _read(file: Path | None) -> bytes | None:
    return None if file is None else Path(file).read_bytes()
