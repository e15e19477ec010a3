"""Runs the service: database, price file, gRPC server, from start to a clean stop."""

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from phoebe_proto.v1 import metering_pb2, metering_pb2_grpc, rating_pb2, rating_pb2_grpc
from phoebe_runtime.background import Background
from phoebe_runtime.expiry import first_expiry
from phoebe_runtime.followed_files import follow
from phoebe_runtime.spans import Spans, Tracing, TracingError, open_spans
from rater_service.database.clock import read_clock
from rater_service.database.database import POOL_CONNECTIONS_MAX, Pool, open_database, open_pool
from rater_service.database.installation import read_installation
from rater_service.database.numbers import refuse_numbers_behind
from rater_service.database.schema import migrate, require_fitting_schema
from rater_service.database.server_facts import read_server_facts
from rater_service.database.url_parameters import place_of
from rater_service.distribution import installed_version
from rater_service.errors import OperatorError
from rater_service.events.model_names import MODEL_NAMES_MAX
from rater_service.events.partitions import keep_making_partitions, try_to_make_partitions
from rater_service.events.slots import keep_cooling
from rater_service.hours import LATE_MAX
from rater_service.limits import CALLS_MAX, CHANNEL_OPTIONS
from rater_service.prices.pricebook import NOTHING_ALLOWED, Allowed
from rater_service.prices.store import load_history, read_timeline
from rater_service.prices.watch import PriceWatch
from rater_service.process_owner import process_owner
from rater_service.rating.schedule import RatingSchedule
from rater_service.service.call_guard import CallGuard
from rater_service.service.database_watch import DatabaseWatch
from rater_service.service.exposure import Exposure, refuse_exposure
from rater_service.service.health import (
    CALLS,
    CERTIFICATES_TASK,
    DATABASE,
    DATABASE_WATCH_TASK,
    PRICE_FILE_TASK,
    SCHEDULE_TASK,
    STANDING_TASK,
    TOKENS_TASK,
    HealthService,
)
from rater_service.service.metering import MeteringService
from rater_service.service.methods import Interceptor, Methods
from rater_service.service.metrics import Metrics
from rater_service.service.metrics_endpoint import metrics_endpoint
from rater_service.service.protection import (
    NO_FILES,
    UNPROTECTED,
    Protection,
    ProtectionFiles,
    open_protection,
)
from rater_service.service.rating import RatingService
from rater_service.service.rating_queue import RatingQueue
from rater_service.service.reads import Reads
from rater_service.service.request_reader import RequestReader
from rater_service.service.rpc_errors import quiet_about_callers_gone
from rater_service.service.scheduled_rating import ScheduledRating
from rater_service.service.standing_watch import StandingWatch
from rater_service.service.version_teller import VersionTeller

if TYPE_CHECKING:
    from rater_service.service.traced_work import TracedWork

logger = logging.getLogger(__name__)

# Batches end in milliseconds. A rating run gets this long, and no client with an idle stream gets more.
STOP_GRACE_S = 10

SERVICES = (
    metering_pb2.DESCRIPTOR.services_by_name["MeteringService"].full_name,
    rating_pb2.DESCRIPTOR.services_by_name["RatingService"].full_name,
)


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What `serve` needs to know.

    listen: HOST:PORT, port 0 for any free one. prices: the price file; None: the ones loaded earlier.
    database_url: None for the embedded PostgreSQL in data_dir. allow_plaintext, allow_anonymous: listen
    beyond loopback without encryption, without asking callers who they are. protection: what there is of
    both. metrics: HOST:PORT for Prometheus; None: nowhere. rating: when to rate without being asked; None:
    never. late_max: how old late usage may be that routine runs take along. allowed_prices: what is meant at
    the start although it looks like a mistake. database_connections: how many sessions it has with the
    database at most. model_names_max: how many models of one customer have sums of their own in an hour,
    those with a price aside. tracing: whether spans are made of calls, batches and runs. read_database_url:
    of a standby to read bills from; None: there is none.
    """

    listen: str
    prices: Path | None
    # It may hold a password.
    database_url: str | None = field(repr=False)
    data_dir: Path
    allow_plaintext: bool
    allow_anonymous: bool = False
    protection: ProtectionFiles = NO_FILES
    metrics: str | None = None
    rating: RatingSchedule | None = None
    late_max: timedelta = LATE_MAX
    allowed_prices: Allowed = NOTHING_ALLOWED
    database_connections: int = POOL_CONNECTIONS_MAX
    model_names_max: int = MODEL_NAMES_MAX
    tracing: Tracing = Tracing.OFF
    read_database_url: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Serving:
    """What else is served in the process can rely on.

    url, read_url: of the database and of a standby (None: there is none), perhaps with passwords.
    """

    url: str = field(repr=False)
    read_url: str | None = field(repr=False)
    protection: Protection
    background: Background


type Face = Callable[[Serving], AbstractAsyncContextManager[object]]
"""Serves something else, beside the calls, as long as its context lasts."""


async def serve(settings: ServerSettings, face: Face | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is running and stop.

    face: what else is served. Raises OperatorError when it can't start. Logs `listening on HOST:PORT` once
    calls are answered.
    """
    refuse_exposure(
        settings.listen,
        Exposure(
            encrypted=settings.protection.encrypts,
            authenticated=settings.protection.authenticates,
            allow_plaintext=settings.allow_plaintext,
            allow_anonymous=settings.allow_anonymous,
        ),
    )
    protection = open_protection(settings.protection)
    stopping = asyncio.Event()
    with _stop_signals(stopping):
        async with (
            _opened_spans(settings.tracing) as spans,
            open_database(settings.database_url, settings.data_dir) as url,
        ):
            if settings.database_url is None:
                await migrate(url)
            async with open_pool(url, connections_max=settings.database_connections) as pool:
                await require_fitting_schema(pool)
                async with pool.acquire() as connection:
                    await refuse_numbers_behind(connection)
                await _introduce(settings, pool)
                await _serve(settings, pool, url, protection, stopping, face, spans)


@asynccontextmanager
async def _opened_spans(tracing: Tracing) -> AsyncIterator[Spans | None]:
    """Make spans, if that is wanted, and send the last ones in the end. Raises OperatorError."""
    describing = {
        "service.name": "phoebe-rater",
        "service.version": installed_version(),
        "service.instance.id": socket.gethostname(),
    }
    try:
        spans = open_spans(tracing, describing, os.environ)
    except TracingError as error:
        raise OperatorError(f"--tracing: {error}") from error
    try:
        yield spans
    finally:
        if spans:
            await asyncio.to_thread(spans.close)


async def _introduce(settings: ServerSettings, pool: Pool) -> None:
    """Say which database it is, and what is odd about it."""
    facts = await read_server_facts(pool)
    if settings.database_url is not None:
        logger.info(
            "the database is %s on %s, PostgreSQL %s, as the role %s",
            *(facts.name, place_of(settings.database_url), facts.version, facts.role),
        )
    facts.warn_of_collation()
    installation = await read_installation(pool)
    logger.info("the database is the installation %s", installation.id)


async def _serve(  # noqa: PLR0913, PLR0917 - one parameter per part
    settings: ServerSettings,
    pool: Pool,
    url: str,
    protection: Protection,
    stopping: asyncio.Event,
    face: Face | None,
    spans: Spans | None,
) -> None:
    metrics = Metrics()
    status = HealthService(SERVICES)
    status.note(CALLS, False, "the service is starting: it takes no calls yet")
    async with Background(metrics.note_task) as background:
        await _load_prices(pool, settings, metrics, background)
        # So that the first quote need not wait until books are parsed that were loaded earlier.
        async with pool.acquire() as connection:
            await load_history(connection, datetime.now(UTC))
        await _make_partitions(pool, background)
        background.start("sums", lambda: keep_cooling(pool), "sums of cold hours are not moved")
        read_url = settings.read_database_url
        note = metrics.follow_standby(place_of(read_url)) if read_url else None
        async with (
            (Reads(pool, note) if note else Reads(pool)).following(read_url, background) as reads,
            metrics_endpoint(settings.metrics, metrics, pool, background, status),
            nullcontext() if face is None else face(Serving(url, read_url, protection, background)),
            running_server(
                pool,
                settings.listen,
                stopping,
                protection,
                metrics,
                settings.rating,
                background,
                settings.late_max,
                settings.model_names_max,
                status,
                spans,
                reads,
            ),
        ):
            # What there is by now stays. To collect garbage need not mean to go through all of it again.
            gc.collect()
            gc.freeze()
            await stopping.wait()
            logger.info("stopping")


@contextmanager
def _stop_signals(stopping: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    stops = (signal.SIGTERM, signal.SIGINT)
    for stop in stops:
        loop.add_signal_handler(stop, stopping.set)
    try:
        yield
    finally:
        for stop in stops:
            loop.remove_signal_handler(stop)


async def _load_prices(
    pool: Pool, settings: ServerSettings, metrics: Metrics, background: Background
) -> None:
    """Load the price file, and follow its changes."""
    file = settings.prices
    if file is None:
        await _tell_of_prices(pool)
        return
    watch = PriceWatch(pool, file, f"serve:{process_owner()}")
    await watch.load(settings.allowed_prices)
    metrics.follow_file("prices", lambda: watch.changes)
    metrics.follow_price_file(lambda: watch.is_latest)
    background.start(PRICE_FILE_TASK, watch.keep_fresh, "changes of the price file are not noticed")


async def _tell_of_prices(pool: Pool) -> None:
    """Say by what usage is rated without a price file of this service's own."""
    async with pool.acquire() as connection:
        timeline = await read_timeline(connection)
        now = (await read_clock(connection)).now
    if not timeline.in_turn:
        return  # which is looked at, and said, for as long as it is so
    for line in timeline.outlook(now):
        logger.info("prices loaded earlier: %s", line)


async def _make_partitions(pool: Pool, background: Background) -> None:
    """Make the partitions that events will need, and go on doing so."""
    await try_to_make_partitions(pool, datetime.now(UTC))
    background.start(
        "partitions", lambda: keep_making_partitions(pool), "no partitions are made for coming weeks"
    )


@asynccontextmanager
async def running_server(  # noqa: PLR0913, PLR0917 - one parameter per part
    pool: Pool,
    listen: str,
    stopping: asyncio.Event,
    protection: Protection = UNPROTECTED,
    metrics: Metrics | None = None,
    rating: RatingSchedule | None = None,
    background: Background | None = None,
    late_max: timedelta = LATE_MAX,
    model_names_max: int = MODEL_NAMES_MAX,
    status: HealthService | None = None,
    spans: Spans | None = None,
    reads: Reads | None = None,
) -> AsyncIterator[int]:
    """Answer calls on HOST:PORT and give the port; when the context ends, stop gracefully.

    Setting `stopping` ends the streams. background: what else runs, of whose tasks health tells too. status:
    what tells of health; None: one of its own. spans: where spans are made; None: nowhere. reads:
    where bills are read; None: in the database. Raises OperatorError when the address can't be had.
    """
    metrics = metrics or Metrics()
    status = status or HealthService(SERVICES)
    quiet_about_callers_gone()
    traced = _traced_work(spans) if spans else None
    methods = Methods(_interceptors(protection, traced))
    metering = MeteringService(pool, stopping, metrics, model_names_max, traced)
    metering_pb2_grpc.add_MeteringServiceServicer_to_server(metering, methods.as_server)
    queue = RatingQueue(pool, metrics, late_max=late_max, traced=traced)
    rating_pb2_grpc.add_RatingServiceServicer_to_server(RatingService(pool, queue, reads), methods.as_server)
    health_pb2_grpc.add_HealthServicer_to_server(status, methods.as_server)
    shown = reflection.aio.ReflectionServicer((*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME))
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(shown, methods.as_server)
    server = grpc.aio.server(options=CHANNEL_OPTIONS, maximum_concurrent_rpcs=CALLS_MAX)
    server.add_generic_rpc_handlers([methods])
    port = _open_port(server, listen, protection)
    try:
        async with Background(metrics.note_task, status.note_task) as own:
            if background:
                background.observe(status.note_task)
            _follow_protection(protection, metrics, own)
            if rating:
                keep_rating = ScheduledRating(pool, queue, rating).keep_rating
                own.start(SCHEDULE_TASK, keep_rating, "nothing is rated without being asked")
            watch = DatabaseWatch(
                pool, partial(_note_database, status, metrics), metrics.note_database_setting
            )
            await watch.look()
            own.start(DATABASE_WATCH_TASK, watch.keep_watching, "nobody notices that the database is down")
            standing = StandingWatch(pool, partial(_note_standing, status, metrics))
            await standing.look()
            own.start(STANDING_TASK, standing.keep_watching, "nobody notices a schema that does not fit")
            own.start("health", status.keep_telling, "health does not tell of tasks that are down")
            status.note(CALLS, True, "the service takes calls")
            await status.tell()
            # Only now, so that the first who ask hear how things stand.
            await server.start()
            logger.info("listening on %s:%d", listen.rpartition(":")[0], port)
            yield port
    finally:
        stopping.set()
        status.note(CALLS, False, "the service is stopping: it takes no calls any more")
        await status.enter_graceful_shutdown()
        await server.stop(STOP_GRACE_S)


def _note_database(status: HealthService, metrics: Metrics, trouble: str | None) -> None:
    words = f"the database can't be used: {trouble}" if trouble else "the database takes writes"
    status.note(DATABASE, trouble is None, words)
    metrics.note_database(trouble is None)


def _note_standing(status: HealthService, metrics: Metrics, name: str, holds: bool, words: str) -> None:
    status.note(name, holds, words)
    metrics.note_standing(name, holds)


def _follow_protection(protection: Protection, metrics: Metrics, background: Background) -> None:
    certificates, access = protection.certificates, protection.access
    if certificates:
        metrics.follow_file("certificates", lambda: certificates.changes)
        for use, path in certificates.paths.items():
            metrics.follow_expiry(use, partial(first_expiry, path))
        background.start(
            CERTIFICATES_TASK, lambda: follow(certificates), "changes of the certificates are not noticed"
        )
    if access:
        metrics.follow_file("tokens", lambda: access.changes)
        background.start(TOKENS_TASK, lambda: follow(access), "changes of the tokens file are not noticed")


def _traced_work(spans: Spans) -> "TracedWork":
    # Only here: the libraries are there only where somebody traces.
    from rater_service.service.traced_work import TracedWork  # noqa: PLC0415

    return TracedWork(spans)


def _interceptors(protection: Protection, traced: "TracedWork | None") -> list[Interceptor]:
    access = protection.access
    guards = [CallGuard(lambda: access.value)] if access else []
    # Who may not call learns nothing about messages, and is in no trace.
    return [VersionTeller(), *guards, *([traced.interceptor()] if traced else []), RequestReader()]


def _open_port(server: grpc.aio.Server, listen: str, protection: Protection) -> int:
    try:
        if protection.certificates:
            return server.add_secure_port(listen, protection.certificates.server_credentials())
        return server.add_insecure_port(listen)
    except RuntimeError as error:
        raise OperatorError(
            f"can't listen on {listen}: the address is in use or not this machine's"
            + (f", or gRPC can't use {protection.certificates}" if protection.certificates else "")
        ) from error
