"""What the rater counts, for Prometheus."""

import asyncio
import logging
import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import NoReturn

import asyncpg
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from rater_service.database.database import UNAVAILABLE_ERRORS, Pool
from rater_service.events.store import Result
from rater_service.hours import InvalidWindow
from rater_service.operator_port import Answer, Question
from rater_service.rating.run import Mode, RateRequest, RateResult
from rater_service.statements import bound

logger = logging.getLogger(__name__)

# As often as most Prometheus servers ask.
REFRESH_S = 15.0
_RUN_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800)
_GAUGES = {
    "spooled_events": ("phoebe_producers_spooled_events", "Events that wait in spools, by their last word."),
    "lost_rows": ("phoebe_producers_lost_rows", "Events that spools can't read any more."),
    "lag_seconds": (
        "phoebe_producers_lag_seconds",
        "Seconds since the time until which all events of the producer furthest behind are here.",
    ),
    "unsettled_events": ("phoebe_rejected_events", "Events that are kept aside and not settled."),
}
_STATES = ("running", "stopped", "retired")


class Metrics:
    """Counters and gauges of one service, in a registry of their own. The gauges need `keep_fresh`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._events = Counter(
            "phoebe_events_received", "Events that were answered for.", ["outcome"], registry=self.registry
        )
        self._batch_seconds = Histogram(
            "phoebe_batch_seconds",
            "From receiving a batch to its commit, of batches that were committed.",
            registry=self.registry,
        )
        self._batches_failed = Counter(
            "phoebe_batches_failed", "Batches that will have to be sent again.", registry=self.registry
        )
        self.statuses_refused = Counter(
            "phoebe_statuses_refused", "Producer statuses that broke a rule.", registry=self.registry
        )
        self._runs = Counter("phoebe_rating_runs", "Rating runs.", ["mode", "result"], registry=self.registry)
        self._run_seconds = Histogram(
            "phoebe_rating_run_seconds",
            "Duration of rating runs, including the wait for their turn.",
            buckets=_RUN_SECONDS,
            registry=self.registry,
        )
        self._anomalies = Counter(
            "phoebe_rating_anomalies", "Runs with an anomaly.", ["reason"], registry=self.registry
        )
        self._last_success = Gauge(
            "phoebe_rating_last_success_timestamp_seconds",
            "When the last run that went through had ended, dry runs aside; 0: none since the start.",
            ["mode"],
            registry=self.registry,
        )
        for mode in Mode:
            self._last_success.labels(mode.lower())
        self._task_up = Gauge(
            "phoebe_task_up",
            "Whether a background task works; 0: it crashed and is being started again.",
            ["task"],
            registry=self.registry,
        )
        self._file_refused = Gauge(
            "phoebe_file_refused",
            "Whether a file can't be used as it is now, so that what it said before holds.",
            ["file"],
            registry=self.registry,
        )
        self._database_up = Gauge(
            "phoebe_database_up", "Whether the database could be asked last time.", registry=self.registry
        )
        self._producers = Gauge("phoebe_producers", "Producers.", ["state"], registry=self.registry)
        self._gauges = {
            column: Gauge(name, text, registry=self.registry) for column, (name, text) in _GAUGES.items()
        }

    def note_task(self, name: str, up: bool) -> None:
        """Note whether a background task is up."""
        self._task_up.labels(name).set(up)

    def follow_file(self, name: str, fault: Callable[[], str]) -> None:
        """Add a gauge of whether a followed file can't be used as it is now.

        fault: why; empty when it can.
        """
        self._file_refused.labels(name).set_function(lambda: bool(fault()))

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Time the storing of a batch."""
        started = time.perf_counter()
        try:
            yield
        except Exception:
            self._batches_failed.inc()
            raise
        self._batch_seconds.observe(time.perf_counter() - started)

    def count_events(self, results: Sequence[Result]) -> None:
        """Count what became of a batch's events."""
        for fate, count in Tally(result.fate for result in results).items():
            self._events.labels(fate.lower()).inc(count)

    @contextmanager
    def run(self, mode: Mode) -> Iterator[None]:
        """Time a rating run, and count it if it fails."""
        started = time.perf_counter()
        try:
            yield
        except InvalidWindow:
            raise  # nothing ran
        except Exception:
            self._runs.labels(mode.lower(), "failed").inc()
            raise
        self._run_seconds.observe(time.perf_counter() - started)

    def count_run(self, request: RateRequest, result: RateResult) -> None:
        """Count a run that went through, and its anomalies."""
        mode = request.mode.lower()
        for run in result.all_runs():
            self._runs.labels(mode, "anomalous" if run.anomalies else "clean").inc()
            for anomaly in run.anomalies:
                self._anomalies.labels(anomaly.reason).inc()
        if not request.dry_run:
            self._last_success.labels(mode).set(result.finished_at.timestamp())

    async def keep_fresh(self, pool: Pool) -> NoReturn:
        """Read the gauges from the database again and again, until cancelled."""
        while True:
            await self.refresh(pool)
            await asyncio.sleep(REFRESH_S)

    async def refresh(self, pool: Pool) -> None:
        """Read the gauges from the database. While it can't be asked they stay, and database_up is 0."""
        try:
            row = await pool.fetchrow(*bound("service/metrics_producers", now=datetime.now(UTC)))
        except (asyncpg.PostgresError, *UNAVAILABLE_ERRORS) as error:
            self._database_up.set(0)
            logger.warning("the gauges can't be read from the database: %r", error)
            return
        assert row is not None
        self._database_up.set(1)
        for state in _STATES:
            self._producers.labels(state).set(row[state])
        for column, gauge in self._gauges.items():
            gauge.set(row[column])

    async def page(self, question: Question) -> Answer:
        """Write the metrics out, in the format that was asked for."""
        encode, content_type = choose_encoder(question.headers.get("accept", ""))
        return Answer(encode(self.registry), content_type)
