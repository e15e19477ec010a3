"""What the service proves itself with, and whom it believes: PEM files that may change while it runs."""

import ssl
import stat
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from rater_service.errors import OperatorError


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificate (with its chain) is, its private key, and the CA of the callers' certificates.

    client_ca: None if callers need no certificate.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


class ServerCertificates:
    """The files' content, checked. Raises OperatorError when it can't be used at first.

    warnings: what the operator should mend although it works.
    """

    def __init__(self, files: CertificateFiles) -> None:
        self._files = files
        self._seen: tuple[bytes, ...] = ()
        self._lock = threading.Lock()
        self._fresh: grpc.ServerCertificateConfiguration | None = None
        self.warnings: tuple[str, ...] = ()
        if not self.refresh():
            raise OperatorError(f"{files.certificate} and {files.key} are being changed; start again")

    def __str__(self) -> str:
        """Name the files for a log."""
        return f"the certificate {self._files.certificate}"

    @property
    def asks_callers(self) -> bool:
        """Whether callers need a certificate."""
        return self._files.client_ca is not None

    def refresh(self) -> bool:
        """Read the files; take what they hold if it is new and can be used, and say whether it was taken.

        Connections that are there go on; new ones get the new certificate. Raises OperatorError for files
        that can't be used; what was in use stays.
        """
        content = self._read()
        if content == self._seen:
            return False
        self._seen = content
        self._check()
        if self._read() != content:
            # Certificate and key are written one after the other; the next look finds both.
            return False
        certificate, key, *client_ca = content
        configuration = grpc.ssl_server_certificate_configuration(
            [(key, certificate)], client_ca[0] if client_ca else None
        )
        with self._lock:
            self._fresh = configuration
        return True

    def server_credentials(self) -> grpc.ServerCredentials:
        """Make what a server's port is opened with; gRPC asks at every connection if there is a newer one.

        Call it once.
        """
        first = self._take_fresh()
        assert first is not None
        # The stubs leave out that None stands for "no newer one".
        return grpc.dynamic_ssl_server_credentials(
            first,
            self._take_fresh,  # type: ignore[arg-type]
            require_client_authentication=self.asks_callers,
        )

    def _take_fresh(self) -> grpc.ServerCertificateConfiguration | None:
        # gRPC calls this in a thread of its own.
        with self._lock:
            fresh, self._fresh = self._fresh, None
        return fresh

    def _read(self) -> tuple[bytes, ...]:
        files = self._files
        paths = [files.certificate, files.key, *([files.client_ca] if files.client_ca else [])]
        content = tuple(map(_read, paths))
        self.warnings = _warnings(files.key)
        return content

    def _check(self) -> None:
        files = self._files
        _check_pair(files.certificate, files.key)
        if files.client_ca:
            _check_authorities(files.client_ca)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OperatorError(f"can't read {path}: {error.strerror}") from error


def _warnings(key: Path) -> tuple[str, ...]:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise OperatorError(f"can't read {key}: {error.strerror}") from error
    if mode & stat.S_IROTH:
        return (f"the private key {key} can be read by every user of this machine",)
    return ()


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
