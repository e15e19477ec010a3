"""Where the rater's metrics can be read and probes ask: an HTTP address of its own."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from phoebe_runtime.background import Background
from phoebe_runtime.operator_port import Answer, OperatorPort, Page
from phoebe_runtime.probes import probe_pages, ready_answer
from rater_service.database.database import Pool
from rater_service.distribution import installed_version
from rater_service.errors import OperatorError
from rater_service.service.health import PAGES, HealthService
from rater_service.service.metrics import Metrics

logger = logging.getLogger(__name__)


@asynccontextmanager
async def metrics_endpoint(
    listen: str | None, metrics: Metrics, pool: Pool, background: Background, status: HealthService
) -> AsyncIterator[None]:
    """Answer Prometheus and probes at HOST:PORT, and keep the metrics fresh meanwhile; None: nowhere.

    status: knows how things stand that readiness needs. Raises OperatorError when the address can't be had.
    """
    if listen is None:
        yield
        return
    host, port = _address(listen)
    pages = {"/metrics": metrics.page, **_probes(status)}
    try:
        endpoint = OperatorPort(host, port, pages, installed_version())
    except OSError as error:
        raise OperatorError(f"can't serve metrics on {listen}: {error}") from error
    background.start("gauges", lambda: metrics.keep_fresh(pool), "gauges are not read from the database")
    background.start("metrics endpoint", endpoint.run, "metrics can't be read")
    logger.info("metrics on http://%s:%d/metrics", host, endpoint.port)
    try:
        yield
    finally:
        endpoint.close()


def _probes(status: HealthService) -> dict[str, Page]:
    """Make the pages that probes ask: whether the process lives, and whether it, or one service, is ready."""

    def readiness(service: str) -> Page:
        async def page(_: Mapping[str, str]) -> Answer:
            return ready_answer(status.conditions(service))

        return page

    return probe_pages(status.conditions) | {path: readiness(service) for path, service in PAGES.items()}


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise OperatorError(
            f"can't serve metrics on {listen!r}: expected HOST:PORT, for example 127.0.0.1:9464"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)
