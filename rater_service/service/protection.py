"""What stands between the network and the service: certificates and the tokens file, which may change."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from phoebe_runtime.followed_files import FileContent, Followed, FollowedFile, Parsed
from rater_service.errors import OperatorError
from rater_service.service.access_list import AccessList, AccessListError, parse_access_list
from rater_service.service.certificates import CertificateFiles, ServerCertificates

logger = logging.getLogger(__name__)


def follow_access_list(path: Path) -> Followed[AccessList]:
    """Read a tokens file, which may change. Raises OperatorError when it can't be used at first."""

    def parse(contents: Sequence[FileContent]) -> Parsed[AccessList]:
        (file,) = contents
        try:
            text = file.content.decode("utf-8")
        except UnicodeDecodeError:
            raise AccessListError(str(path), ["is not UTF-8"]) from None
        return Parsed(parse_access_list(text, str(path)))

    name = f"the tokens file {path}"
    # Messages do not call it by its path: whoever takes the option for the token must not find it in the log.
    return Followed(name, [FollowedFile(path, "the file that --tokens names")], parse)


@dataclass(frozen=True, slots=True)
class ProtectionFiles:
    """The files an operator named, None for those they did not; see `open_protection`."""

    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    tokens: Path | None = None

    @property
    def encrypts(self) -> bool:
        """Whether connections will be encrypted."""
        return self.tls_cert is not None

    @property
    def authenticates(self) -> bool:
        """Whether callers will be asked who they are."""
        return self.tokens is not None or self.tls_client_ca is not None


@dataclass(frozen=True, slots=True)
class Protection:
    """certificates: None for plaintext. access: None if everyone who gets through has all rights."""

    certificates: ServerCertificates | None = None
    access: Followed[AccessList] | None = None


NO_FILES = ProtectionFiles()
UNPROTECTED = Protection()


def open_protection(files: ProtectionFiles) -> Protection:
    """Read the files and say in the log what they make. Raises OperatorError when they can't be used."""
    protection = Protection(_certificates(files), follow_access_list(files.tokens) if files.tokens else None)
    if protection.certificates and protection.certificates.asks_callers and not protection.access:
        logger.warning(
            "without --tokens every certificate of the authorities in %s has all rights", files.tls_client_ca
        )
    return protection


def _certificates(files: ProtectionFiles) -> ServerCertificates | None:
    if (files.tls_cert is None) != (files.tls_key is None):
        raise OperatorError("--tls-cert and --tls-key go together: give both or neither")
    if files.tls_cert is None or files.tls_key is None:
        if files.tls_client_ca:
            raise OperatorError("--tls-client-ca needs --tls-cert and --tls-key")
        return None
    return ServerCertificates(CertificateFiles(files.tls_cert, files.tls_key, files.tls_client_ca))
