"""What the service proves itself with, and whom it believes: PEM files that may change while it runs."""

import ssl
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import grpc

from phoebe_runtime.expiry import first_expiry
from phoebe_runtime.followed_files import FileChanges, FileContent, Followed, FollowedFile, Parsed
from rater_service.errors import OperatorError
from rater_service.hours import utc_text


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificate (with its chain) is, its private key, and the CA of the callers' certificates.

    client_ca: None if callers need no certificate.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


class ServerCertificates:
    """The files' content, checked. Raises OperatorError when it can't be used at first."""

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        paths = [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]
        self._followed = Followed(str(self), [FollowedFile(path, str(path)) for path in paths], self._parse)
        self._given: grpc.ServerCertificateConfiguration | None = None

    def __str__(self) -> str:
        """Name the files for a log."""
        return f"the certificate {self._files.certificate}"

    @property
    def files(self) -> CertificateFiles:
        """Which files it is."""
        return self._files

    @property
    def current(self) -> grpc.ServerCertificateConfiguration:
        """What the files hold that is in use; another object once that changes."""
        return self._followed.value

    @property
    def paths(self) -> dict[str, Path]:
        """Where certificates are, by what they are used for: `server`, and `ca` for those of callers."""
        client_ca = {"ca": self._files.client_ca} if self._files.client_ca else {}
        return {"server": self._files.certificate, **client_ca}

    @property
    def asks_callers(self) -> bool:
        """Whether callers need a certificate."""
        return self._files.client_ca is not None

    @property
    def changes(self) -> FileChanges:
        """How the files stand: what became of their changes."""
        return self._followed.changes

    def look(self) -> None:
        """Take what the files hold if it is new and can be used.

        Connections that are there go on; new ones get the new certificate.
        """
        self._followed.look()

    def server_credentials(self) -> grpc.ServerCredentials:
        """Make what a server's port is opened with; gRPC asks at every connection if there is a newer one.

        Call it once.
        """
        self._given = self._followed.value
        # The stubs leave out that None stands for "no newer one".
        return grpc.dynamic_ssl_server_credentials(
            self._given,
            self._newer,  # type: ignore[arg-type]
            require_client_authentication=self.asks_callers,
        )

    def _newer(self) -> grpc.ServerCertificateConfiguration | None:
        # gRPC calls this in threads of its own. To be given the same one twice does no harm.
        current = self._followed.value
        if current is self._given:
            return None
        self._given = current
        return current

    def _parse(self, contents: Sequence[FileContent]) -> Parsed[grpc.ServerCertificateConfiguration]:
        files = self._files
        _check_pair(files.certificate, files.key)
        if files.client_ca:
            _check_authorities(files.client_ca)
        certificate, key, *client_ca = contents
        configuration = grpc.ssl_server_certificate_configuration(
            [(key.content, certificate.content)], client_ca[0].content if client_ca else None
        )
        return Parsed(configuration, tuple(_warnings_of(files, is_key_open=bool(key.mode & stat.S_IROTH))))


def _warnings_of(files: CertificateFiles, *, is_key_open: bool) -> Iterator[str]:
    """Say what is amiss with files that can be used."""
    if is_key_open:
        yield f"the private key {files.key} can be read by every user of this machine"
    ends = first_expiry(files.certificate)
    if ends < time.time():
        at = utc_text(datetime.fromtimestamp(ends, UTC))
        yield f"the certificate {files.certificate} ended at {at}: nobody who checks it can connect"


def _check_pair(certificate: Path, key: Path) -> None:
    def refuse_passphrase() -> str:
        raise OperatorError(f"the private key {key} is encrypted: give one without a passphrase")

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, refuse_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            fault = f"the private key {key} is not that of the certificate {certificate}"
        else:
            fault = f"{certificate} and {key} are not a certificate and its private key in PEM form"
        raise OperatorError(fault) from error
    except OSError as error:
        raise OperatorError(f"can't read {certificate} and {key}: {error.strerror}") from error


def _check_authorities(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as error:
        raise OperatorError(f"{path} holds no certificate of an authority in PEM form") from error
