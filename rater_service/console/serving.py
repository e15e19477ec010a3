"""Where the console can be read: an HTTP address of its own, served by a thread of its own.

Pages are made in that thread, on their own few sessions with the database, so that batches and runs do not
wait for whoever looks at them.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from phoebe_runtime.background import Background
from rater_service.console.access import Sessions
from rater_service.console.app import DOWNLOADS_AT_ONCE, Console, ConsoleSettings
from rater_service.console.guard import own_hosts
from rater_service.console.json_calls import JsonCalls
from rater_service.database.database import open_pool
from rater_service.database.installation import read_installation
from rater_service.errors import OperatorError
from rater_service.service.exposure import Exposure, refuse_exposure
from rater_service.service.protection import Protection
from rater_service.service.rating import RatingReads
from rater_service.service.reads import Reads
from rater_service.service.server import Serving

logger = logging.getLogger(__name__)

CONNECTIONS_MAX = 2
"""Sessions with the database for pages: viewers wait for each other, and nobody for them."""
DOWNLOAD_CONNECTIONS_MAX = DOWNLOADS_AT_ONCE
"""Sessions for downloads, so that no page waits for somebody whose line is slow."""
CALL_CONNECTIONS_MAX = 2
"""Sessions for the calls of programs, so that no page waits for those: an audit takes one for minutes."""
STATEMENT_TIMEOUT_S = 5.0
_HTTP_CONNECTIONS_MAX = 200
_STOP_GRACE_S = 2


@dataclass(frozen=True, slots=True)
class ConsoleAddress:
    """Where the console listens, HOST:PORT, and what its operator allows it to do without."""

    listen: str
    allow_plaintext: bool = False
    allow_anonymous: bool = False


@asynccontextmanager
async def console_endpoint(address: ConsoleAddress, service: Serving) -> AsyncIterator[int]:
    """Let the console be read, and give its port.

    Raises OperatorError when the address can't be had, or may not.
    """
    protection = service.protection
    refuse_exposure(
        address.listen,
        Exposure(
            encrypted=protection.certificates is not None,
            # People have no certificate of a client: it takes tokens.
            authenticated=protection.access is not None,
            allow_plaintext=address.allow_plaintext,
            allow_anonymous=address.allow_anonymous,
        ),
    )
    host, _, port = address.listen.rpartition(":")
    listening = _listening(address.listen, host, int(port))
    serving = _Serving(service.url, service.read_url, protection, listening, host)
    service.background.start("console", serving.run, "the console can't be read")
    scheme = "http" if protection.certificates is None else "https"
    logger.info("console on %s://%s:%d/", scheme, host, serving.port)
    try:
        yield serving.port
    finally:
        serving.stop()
        listening.close()


@dataclass(slots=True)
class _Serving:
    """The thread that serves; may be run again when it has failed."""

    url: str
    read_url: str | None
    protection: Protection
    listening: socket.socket
    host: str
    _server: uvicorn.Server | None = None
    _stopping: bool = False
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = self.listening.getsockname()[1]

    async def run(self) -> None:
        await asyncio.to_thread(asyncio.run, self._serve())

    def stop(self) -> None:
        self._stopping = True
        if self._server:
            self._server.should_exit = True

    async def _serve(self) -> None:
        access = self.protection.access
        tokens = None if access is None else lambda: access.value
        async with (
            Background() as background,
            open_pool(
                self.url,
                writes=False,
                read_only=True,
                connections_max=CONNECTIONS_MAX,
                command_timeout_s=STATEMENT_TIMEOUT_S,
            ) as pool,
            open_pool(
                self.url, writes=False, read_only=True, connections_max=DOWNLOAD_CONNECTIONS_MAX
            ) as pool_of_downloads,
            open_pool(
                self.url, writes=False, read_only=True, connections_max=CALL_CONNECTIONS_MAX
            ) as pool_of_calls,
            Reads(pool).following(
                self.read_url,
                background,
                connections_max=CONNECTIONS_MAX,
                command_timeout_s=STATEMENT_TIMEOUT_S,
            ) as reads,
            Reads(pool_of_downloads).following(
                self.read_url, background, connections_max=DOWNLOAD_CONNECTIONS_MAX
            ) as reads_of_downloads,
            Reads(pool_of_calls).following(
                self.read_url, background, connections_max=CALL_CONNECTIONS_MAX
            ) as reads_of_calls,
        ):
            installation = await read_installation(pool)
            calls = JsonCalls(RatingReads(pool_of_calls, reads_of_calls), tokens)
            settings = ConsoleSettings(
                installation=str(installation.id),
                hosts=own_hosts(self.host, self.port) if access is None else None,
                secure=self.protection.certificates is not None,
                port=self.port,
            )
            console = Console(reads, Sessions(tokens), settings, calls, reads_of_downloads=reads_of_downloads)
            application = console.application()
            self._server = uvicorn.Server(self._config(application))
            self._server.should_exit = self._stopping
            await self._server.serve(sockets=[self.listening.dup()])

    def _config(self, application: ASGIApp) -> uvicorn.Config:
        config = uvicorn.Config(
            application,
            lifespan="off",
            # It would have the parameters, which name customers.
            access_log=False,
            log_config=None,
            log_level="warning",
            server_header=False,
            ws="none",
            http="h11",
            proxy_headers=False,
            limit_concurrency=_HTTP_CONNECTIONS_MAX,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=_STOP_GRACE_S,
            h11_max_incomplete_event_size=32 * 1024,
        )
        if self.protection.certificates is not None:
            files = self.protection.certificates.files
            config.load()
            config.ssl = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(files.certificate, files.key)
            config.callback_notify = _renewing(context, self.protection)
            config.timeout_notify = 5
        return config


def _renewing(context: ssl.SSLContext, protection: Protection) -> Callable[[], "asyncio.Future[None]"]:
    """Give what takes new certificates for new connections, once the service takes them."""
    certificates = protection.certificates
    assert certificates is not None
    seen = certificates.current

    async def renew() -> None:
        nonlocal seen
        if certificates.current is not seen:
            seen = certificates.current
            context.load_cert_chain(certificates.files.certificate, certificates.files.key)

    return renew  # type: ignore[return-value] # a coroutine function is what uvicorn awaits


def _listening(listen: str, host: str, port: int) -> socket.socket:
    bare = host.removeprefix("[").removesuffix("]")
    try:
        family, _, _, _, address = socket.getaddrinfo(
            bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise OperatorError(f"can't serve the console on {listen}: {error}") from error
