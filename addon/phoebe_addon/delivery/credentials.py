"""How the connection to the rater is encrypted and says who is calling: files, which may change.

A token comes from a file only: other users of the machine can read command lines, and a process hands its
environment on to all that it starts.
"""

import re
import ssl
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from phoebe_runtime.followed_files import FileContent, Followed, FollowedFile, Parsed, UnusableFileError

# Anything longer is another file.
_TOKEN_LENGTH_MAX = 512
_TOKEN = re.compile(rf"[!-~]{{1,{_TOKEN_LENGTH_MAX}}}")
# The rater is a neighbour; an HTTP proxy that the environment names for web traffic is not on the way to it.
_CHANNEL_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    # gRPC lets all channels of a process to one address share a connection. After a failed attempt they would
    # all pause together, for up to two minutes. Each delivery decides for itself how long it waits.
    ("grpc.use_local_subchannel_pool", 1),
)


class RaterCredentialsError(UnusableFileError):
    """A file can't be used. The message says which and why, and never quotes it."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a connection is made with.

    channel: None for plaintext. metadata: goes with every call.
    """

    channel: grpc.ChannelCredentials | None = field(default=None, repr=False)
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)

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

    def follow(self) -> Followed[Credentials]:
        """Read and check the files, which may change. Raises UnusableFileError."""
        files = [FollowedFile(path, str(path)) for path in (self.ca, self.certificate, self.key) if path]
        if self.token:
            # Not by its name: whoever takes the option for the token must not find the token in the log.
            files.append(FollowedFile(self.token, "the file that phoebe_rater_token_file names"))
        return Followed("what the connection to the rater is made with", files, self._parse)

    def _parse(self, contents: Sequence[FileContent]) -> Parsed[Credentials]:
        paths = [path for path in (self.ca, self.certificate, self.key, self.token) if path]
        found = dict(zip(paths, contents, strict=True))
        token = (("authorization", f"Bearer {_token(self.token, found[self.token])}"),) if self.token else ()
        open_to_all = [path for path in (self.key, self.token) if path and found[path].mode & stat.S_IROTH]
        return Parsed(
            Credentials(self._channel(found), token),
            tuple(f"{path} can be read by every user of this machine" for path in open_to_all),
        )

    def _channel(self, found: Mapping[Path, FileContent]) -> grpc.ChannelCredentials | None:
        if not self.tls:
            return None
        if self.ca:
            _check_authorities(self.ca)
        authorities = found[self.ca].content if self.ca else None
        if not self.key or not self.certificate:
            return grpc.ssl_channel_credentials(authorities)
        _check_pair(self.certificate, self.key)
        return grpc.ssl_channel_credentials(
            authorities, found[self.key].content, found[self.certificate].content
        )


PLAINTEXT = CredentialFiles()


def _token(path: Path, file: FileContent) -> str:
    token = file.content.decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise RaterCredentialsError(
            f"{path} must hold a token and nothing else: up to {_TOKEN_LENGTH_MAX} characters, no spaces"
        )
    return token


def _check_authorities(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError):
        raise RaterCredentialsError(f"{path} holds no certificate of an authority in PEM form") from None


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
