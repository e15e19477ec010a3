"""How the connection to the rater is encrypted and says who is calling: files, which may change.

They are read for every connection. A token comes from a file only: other users of the machine can read
command lines, and a process hands its environment on to all that it starts.
"""

import re
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

# Anything longer is another file.
_TOKEN_LENGTH_MAX = 512
_TOKEN = re.compile(rf"[!-~]{{1,{_TOKEN_LENGTH_MAX}}}")
# The rater is a neighbour; an HTTP proxy that the environment names for web traffic is not on the way to it.
_CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    # Otherwise a new channel shares the pauses, of up to two minutes, of any other one that can't connect to
    # the rater: that of an adopted spool, for example. How long to wait is the delivery's affair.
    ("grpc.use_local_subchannel_pool", 1),
)

type Version = tuple[tuple[int, int, int] | None, ...]


class RaterCredentialsError(ValueError):
    """A file can't be used. The message says which and why, and never quotes it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection is made with.

    channel: None for plaintext. metadata: goes with every call. warnings: what the operator should mend
    although it works.
    """

    channel: grpc.ChannelCredentials | None = field(repr=False)
    metadata: tuple[tuple[str, str], ...] = field(repr=False)
    warnings: tuple[str, ...]

    def open_channel(self, target: str) -> grpc.aio.Channel:
        """Make a channel to host:port."""
        if self.channel is None:
            return grpc.aio.insecure_channel(target, _CHANNEL_OPTIONS)
        return grpc.aio.secure_channel(target, self.channel, _CHANNEL_OPTIONS)


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Where the credentials are; None: there is none of the kind.

    ca: whom the rater's certificate must come from; None: the public authorities that gRPC knows.
    certificate, key: what the addon shows when the rater asks for a certificate.
    """

    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    token: Path | None = None

    def version(self) -> Version:
        """Return what differs when a file has changed."""
        return tuple(_version(path) for path in (self.ca, self.certificate, self.key, self.token) if path)

    def read(self) -> Credentials:
        """Read and check the files. Raises RaterCredentialsError."""
        metadata = (("authorization", f"Bearer {_read_token(self.token)}"),) if self.token else ()
        secrets = [path for path in (self.key, self.token) if path and _is_open_to_all(path)]
        warnings = tuple(f"{path} can be read by every user of this machine" for path in secrets)
        return Credentials(self._channel() if self.tls else None, metadata, warnings)

    def _channel(self) -> grpc.ChannelCredentials:
        authorities = _read_authorities(self.ca) if self.ca else None
        if not self.certificate or not self.key:
            return grpc.ssl_channel_credentials(authorities)
        key, certificate = _read(self.key), _read(self.certificate)
        _check_pair(self.certificate, self.key)
        return grpc.ssl_channel_credentials(authorities, key, certificate)


PLAINTEXT = CredentialFiles()


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _is_open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False  # it has gone since it was read


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RaterCredentialsError(f"can't read {path}: {error.strerror}") from None


def _read_token(path: Path) -> str:
    # Not by its name: whoever takes the option for the token itself must not find the token in the log.
    try:
        token = path.read_bytes().decode("ascii", "replace").strip()
    except OSError as error:
        raise RaterCredentialsError(
            f"can't read the file that phoebe_rater_token_file names: {error.strerror}"
        ) from None
    if not _TOKEN.fullmatch(token):
        raise RaterCredentialsError(
            f"{path} must hold a token and nothing else: up to {_TOKEN_LENGTH_MAX} characters, no spaces"
        )
    return token


def _read_authorities(path: Path) -> bytes:
    content = _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        raise RaterCredentialsError(f"{path} holds no certificate of an authority in PEM form") from None
    return content


def _check_pair(certificate: Path, key: Path) -> None:
    def refuse_passphrase() -> str:
        raise RaterCredentialsError(f"the private key {key} is encrypted: give one without a passphrase")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, refuse_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            fault = f"the private key {key} is not that of the certificate {certificate}"
        else:
            fault = f"{certificate} and {key} are not a certificate and its private key in PEM form"
        raise RaterCredentialsError(fault) from None
    except OSError as error:
        raise RaterCredentialsError(f"can't read {certificate} and {key}: {error.strerror}") from None
