"""A service behind certificates and a tokens file, and callers with all kinds of credentials."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from rater_service.database.database import Pool
from rater_service.service.access_list import Right, new_token, token_line
from rater_service.service.protection import Protection, ProtectionFiles, open_protection
from rater_service.service.server import running_server
from tests.harness.certificates import Authority, Certificate, replace


@dataclass
class TokensFile:
    """A tokens file that a test lets callers in with, and out again."""

    path: Path
    lines: dict[str, str] = field(default_factory=dict)

    def let_in(self, *rights: Right, name: str = "someone") -> str:
        """Add a new token and return it."""
        token = new_token()
        self.lines[token] = token_line(name, rights, token)
        self._write()
        return token

    def let_in_certificate(self, certificate_name: str, *rights: Right) -> None:
        """Let in who has a certificate of this name."""
        self.lines[certificate_name] = f"{certificate_name} {','.join(rights)} certificate:{certificate_name}"
        self._write()

    def put_out(self, credential: str) -> None:
        """Take a token or a certificate's name away."""
        del self.lines[credential]
        self._write()

    def _write(self) -> None:
        replace(self.path, "".join(f"{line}\n" for line in ["# callers", *self.lines.values()]).encode())


@dataclass(frozen=True, slots=True)
class GuardedRater:
    """A service that answers on a real port."""

    port: int
    protection: Protection

    @asynccontextmanager
    async def channel(
        self, ca: bytes | None = None, shown: Certificate | None = None
    ) -> AsyncIterator[grpc.aio.Channel]:
        """Open a connection of its own: encrypted if there is a CA to trust, and showing a certificate."""
        target = f"127.0.0.1:{self.port}"
        options = (("grpc.use_local_subchannel_pool", 1),)
        if ca is None:
            opened = grpc.aio.insecure_channel(target, options)
        else:
            key, certificate = (shown.key, shown.certificate) if shown else (None, None)
            opened = grpc.aio.secure_channel(
                target, grpc.ssl_channel_credentials(ca, key, certificate), options
            )
        async with opened:
            yield opened


@asynccontextmanager
async def guarded_rater(pool: Pool, files: ProtectionFiles) -> AsyncIterator[GuardedRater]:
    protection = open_protection(files)
    async with running_server(pool, "127.0.0.1:0", asyncio.Event(), protection) as port:
        yield GuardedRater(port, protection)


def write_certificates(
    folder: Path, server: Certificate, client_authority: Authority | None
) -> ProtectionFiles:
    """Write what the service proves itself with, and whose certificates it asks for."""
    certificate, key = server.write(folder, "rater")
    client_ca = folder / "client-ca.pem" if client_authority else None
    if client_authority and client_ca:
        replace(client_ca, client_authority.pem)
    return ProtectionFiles(certificate, key, client_ca)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Make the metadata that shows a token."""
    return (("authorization", f"Bearer {token}"),)
