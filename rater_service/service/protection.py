"""What stands between the network and the service: certificates and the tokens file, which may change."""

import asyncio
import logging
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rater_service.errors import OperatorError
from rater_service.service.access_list import AccessList, AccessListError, parse_access_list
from rater_service.service.certificates import CertificateFiles, ServerCertificates

logger = logging.getLogger(__name__)

REFRESH_S = 1.0


class AccessFile:
    """A tokens file. Raises OperatorError when it can't be used at first.

    access: what it says. warnings: what the operator should mend although it works.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: bytes | None = None
        self.access = AccessList((), {})
        self.warnings: tuple[str, ...] = ()
        self.refresh()

    def __str__(self) -> str:
        """Name the file for a log."""
        return f"the tokens file {self._path}"

    def refresh(self) -> bool:
        """Read the file if it changed, and say whether it had.

        Raises OperatorError for a file that can't be used; what was in use stays.
        """
        content = self._read()
        if content == self._seen:
            return False
        self._seen = content
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            raise AccessListError(str(self._path), ["is not UTF-8"]) from None
        self.access = parse_access_list(text, str(self._path))
        return True

    def _read(self) -> bytes:
        try:
            content = self._path.read_bytes()
            mode = self._path.stat().st_mode
        except OSError as error:
            # Not by its name: whoever takes the option for the token must not find the token in the log.
            raise OperatorError(f"can't read the file that --tokens names: {error.strerror}") from error
        self.warnings = (
            (f"{self} can be changed by every user of this machine",) if mode & stat.S_IWOTH else ()
        )
        return content


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
    access: AccessFile | None = None

    async def keep_fresh(self) -> None:
        """Notice changes of the files until cancelled. What can't be used is reported, and the old stays."""
        await asyncio.gather(*(_keep_fresh(each) for each in (self.certificates, self.access) if each))


NO_FILES = ProtectionFiles()
UNPROTECTED = Protection()


def open_protection(files: ProtectionFiles) -> Protection:
    """Read the files and say in the log what they make. Raises OperatorError when they can't be used."""
    protection = Protection(_certificates(files), AccessFile(files.tokens) if files.tokens else None)
    for each in (protection.certificates, protection.access):
        if each:
            _warn(each.warnings)
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


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        logger.warning("%s", warning)


class _Refreshed(Protocol):
    @property
    def warnings(self) -> tuple[str, ...]: ...

    def refresh(self) -> bool: ...


async def _keep_fresh(files: _Refreshed) -> None:
    complaint = ""
    while True:
        await asyncio.sleep(REFRESH_S)
        try:
            if await asyncio.to_thread(files.refresh):
                logger.info("%s was read again", files)
                _warn(files.warnings)
            complaint = ""
        except OperatorError as error:
            # A file that stays away is news once.
            if str(error) != complaint:
                complaint = str(error)
                logger.error("WHAT WAS IN USE STAYS IN USE: %s", error)
