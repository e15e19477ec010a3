"""Where the rater's metrics can be read: an HTTP address of its own."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rater_service.database.database import Pool
from rater_service.errors import OperatorError
from rater_service.service.metrics import Metrics

logger = logging.getLogger(__name__)


@asynccontextmanager
async def metrics_endpoint(listen: str | None, pool: Pool) -> AsyncIterator[Metrics]:
    """Give the metrics to count with and, if HOST:PORT is given, let them be read there.

    Raises OperatorError when the address can't be had.
    """
    metrics = Metrics()
    if listen is None:
        yield metrics
        return
    host, port = _address(listen)
    try:
        found, stop = metrics.serve(host, port)
    except OSError as error:
        raise OperatorError(f"can't serve metrics on {listen}: {error}") from error
    refreshing = asyncio.create_task(metrics.keep_fresh(pool), name="phoebe metrics")
    refreshing.add_done_callback(_report_crash)
    logger.info("metrics on http://%s:%d/metrics", host, found)
    try:
        yield metrics
    finally:
        refreshing.cancel()
        await asyncio.to_thread(stop)


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise OperatorError(
            f"can't serve metrics on {listen!r}: expected HOST:PORT, for example 127.0.0.1:9464"
        )
    return host.removeprefix("[").removesuffix("]"), int(port)


def _report_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.critical("the gauges are no longer read from the database: restart", exc_info=error)
