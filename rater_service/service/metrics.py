"""What the rater counts, for Prometheus."""

import asyncio
import logging
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import product
from typing import NoReturn

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

from phoebe_runtime.file_metrics import Changes, FileMetrics
from phoebe_runtime.log_lines import told
from phoebe_runtime.operator_port import Answer
from rater_service.database.clock import machine_skew
from rater_service.database.database import OPERATOR_ERRORS, Pool
from rater_service.database.freshness import Freshness
from rater_service.database.sessions import reason
from rater_service.distribution import installed_version
from rater_service.errors import OperatorError
from rater_service.events.store import Fate, Result
from rater_service.hours import InvalidWindow
from rater_service.rating.advice import REASONS
from rater_service.rating.outside import find_outside
from rater_service.rating.run import Mode, RateRequest, RateResult
from rater_service.service.health import PRICE_BOOK, SCHEMA
from rater_service.statements import bound

logger = logging.getLogger(__name__)

# As often as most Prometheus servers ask.
REFRESH_S = 15.0
# Late usage is looked for in every hour that was touched and, where times are wrong, in events.
OUTSIDE_REFRESH_S = 300.0
_RUN_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800)
_PRODUCER_GAUGES = {
    "spooled_events": ("phoebe_producers_spooled_events", "Events that wait in spools, by their last word."),
    "lost_rows": ("phoebe_producers_lost_rows", "Events that spools can't read any more."),
    "lag_seconds": (
        "phoebe_producers_lag_seconds",
        "Seconds since the time until which all events of the producer furthest behind are here.",
    ),
    "unsettled_events": ("phoebe_rejected_events", "Events that are kept aside and not settled."),
    "skew_seconds": (
        "phoebe_producers_clock_skew_seconds",
        "The clock of the producer whose clock is furthest from the rater's, less the rater's.",
    ),
}
_OUTSIDE_GAUGES = {
    "late_hours": (
        "phoebe_late_usage_hours",
        "Hours before those of routine runs with usage that their last run did not see, or no run.",
    ),
    "late_events": ("phoebe_late_usage_events", "Events that these runs did not see."),
    "out_of_time_events": (
        "phoebe_out_of_time_events",
        "Events more than an hour ahead of the rater's clock, or older than their producer can be.",
    ),
}
_GAUGES = (
    _PRODUCER_GAUGES
    | _OUTSIDE_GAUGES
    | {
        "rater_skew_seconds": (
            "phoebe_rater_clock_skew_seconds",
            "The clock of the rater's machine less the database's.",
        ),
    }
)
_STANDING_GAUGES = {
    SCHEMA: ("phoebe_migration_current", "Whether the schema of the database fits this version."),
    PRICE_BOOK: ("phoebe_price_book_in_force", "Whether there are prices by which hours are rated."),
}
_NAMED_GAUGES = {
    "last_seen": ("phoebe_producer_last_seen_timestamp_seconds", "When a proxy was heard of last."),
    "spooled_events": ("phoebe_producer_spooled_events", "Events that wait in its spools, by its last word."),
    "lag_seconds": (
        "phoebe_producer_lag_seconds",
        "Seconds since the time until which all of its events are here; 0 once it has stopped.",
    ),
    "skew_seconds": ("phoebe_producer_clock_skew_seconds", "Its clock, less the rater's."),
}
"""Of proxies, by their names: those of several spools with one name are added up, or the worst of them."""
NAMES_MAX = 1000
_RUN_RESULTS = ("clean", "anomalous", "failed")
_STATES = ("running", "stopped", "retired")


class Metrics:
    """Counters and gauges of one service, in a registry of their own. The gauges need `keep_fresh`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call] # of the library
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        Gauge(
            "phoebe_build_info",
            "Which version this is; always 1.",
            ["version", "python", "component"],
            registry=self.registry,
        ).labels(installed_version(), platform.python_version(), "rater").set(1)
        self._standing = {
            name: Gauge(metric, text, registry=self.registry)
            for name, (metric, text) in _STANDING_GAUGES.items()
        }
        self._expiry = Gauge(
            "phoebe_certificate_not_after_timestamp_seconds",
            "When the first certificate of a file ends.",
            ["use"],
            registry=self.registry,
        )
        self._by_name = {
            column: Gauge(metric, text, ["name"], registry=self.registry)
            for column, (metric, text) in _NAMED_GAUGES.items()
        }
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
        self.wrong_installations = Counter(
            "phoebe_wrong_installations",
            "Attempts of addons to deliver what belongs to another installation.",
            registry=self.registry,
        )
        self._streams_waiting = Gauge(
            "phoebe_streams_waiting",
            "Streams that are not read from, because the batches of others take all the room there is.",
            registry=self.registry,
        )
        self.other_model_events = Counter(
            "phoebe_other_model_events",
            "Events of models beyond those that a customer may have sums of in an hour.",
            registry=self.registry,
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
        self._unbilled_output = Gauge(
            "phoebe_rating_unbilled_output_events",
            "Events of the last run's window that have no usage although the client was given output.",
            ["mode"],
            registry=self.registry,
        )
        self._unbilled_output_bytes = Gauge(
            "phoebe_rating_unbilled_output_bytes",
            "Bytes that clients were given of these events' answers.",
            ["mode"],
            registry=self.registry,
        )
        self._last_success = Gauge(
            "phoebe_rating_last_success_timestamp_seconds",
            "When the last run that went through had ended, whoever started it, dry runs aside.",
            ["mode"],
            registry=self.registry,
        )
        self._task_up = Gauge(
            "phoebe_task_up",
            "Whether a background task works; 0: it crashed and is being started again.",
            ["task"],
            registry=self.registry,
        )
        self._files = FileMetrics()
        self.registry.register(self._files)
        self._price_file_latest = Gauge(
            "phoebe_price_file_latest",
            "Whether the price file that this service follows is what was loaded last, and not withdrawn.",
            registry=self.registry,
        )
        self._price_file_latest.set(1)
        self._database_up = Gauge(
            "phoebe_database_up",
            "Whether the database could be reached and written to when it was looked at last.",
            registry=self.registry,
        )
        self._standby_up = Gauge(
            "phoebe_standby_up",
            "Whether the standby could be read from when it was looked at last.",
            ["server"],
            registry=self.registry,
        )
        self._standby_lag = Gauge(
            "phoebe_standby_lag_seconds",
            "How far the standby is behind, at most.",
            ["server"],
            registry=self.registry,
        )
        self._unsafe_setting = Gauge(
            "phoebe_database_setting_unsafe",
            "Whether a setting of the database is off without which a crash can lose what was stored.",
            ["setting"],
            registry=self.registry,
        )
        self._gauges_fresh = Gauge(
            "phoebe_gauges_fresh",
            "Whether the gauges of producers and of events kept aside could be read last time.",
            registry=self.registry,
        )
        self._producers = Gauge("phoebe_producers", "Producers.", ["state"], registry=self.registry)
        self._gauges = {
            column: Gauge(name, text, registry=self.registry) for column, (name, text) in _GAUGES.items()
        }
        self._outside_due_s = time.monotonic()
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """Show all labels that are known from the start, so that the first increase is seen."""
        for anomaly in sorted(REASONS):
            self._anomalies.labels(anomaly)
        for fate in Fate:
            self._events.labels(fate.lower())
        for mode, result in product(Mode, _RUN_RESULTS):
            self._runs.labels(mode.lower(), result)

    def note_standing(self, name: str, holds: bool) -> None:
        """Note whether the schema fits, or a price book is in force: SCHEMA or PRICE_BOOK of health."""
        self._standing[name].set(holds)

    def follow_expiry(self, use: str, ends_at: Callable[[], float]) -> None:
        """Add a gauge of when a certificate ends, in seconds since 1970. use: `server` or `ca`."""
        self._expiry.labels(use).set_function(ends_at)

    def note_task(self, name: str, up: bool) -> None:
        """Note whether a background task is up."""
        self._task_up.labels(name).set(up)

    def note_database(self, up: bool) -> None:
        """Note whether the database can be written to."""
        self._database_up.set(up)

    def note_database_setting(self, name: str, is_on: bool) -> None:
        """Note whether a setting of the database is on that should be."""
        self._unsafe_setting.labels(name).set(not is_on)

    def follow_standby(self, server: str) -> Callable[[Freshness | None], None]:
        """Give what notes how current a standby is. server: where it is."""

        def note(freshness: Freshness | None) -> None:
            self._standby_up.labels(server).set(freshness is not None)
            if freshness is not None:
                self._standby_lag.labels(server).set(freshness.behind.total_seconds())

        return note

    def follow_file(self, name: str, changes: Callable[[], Changes]) -> None:
        """Measure a followed file. changes: asked for how it stands."""
        self._files.follow(name, changes)

    def follow_batch_room(self, waiting: Callable[[], int]) -> None:
        """Have the gauge tell how many streams wait for room for their next batch."""
        self._streams_waiting.set_function(waiting)

    def follow_price_file(self, is_latest: Callable[[], bool]) -> None:
        """Have the gauge tell whether the price file of this service is what was loaded last."""
        self._price_file_latest.set_function(is_latest)

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
        fates = [result.fate for result in results]
        for fate in Fate:
            if count := fates.count(fate):
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
        self._unbilled_output.labels(mode).set(result.unbilled_output_events)
        self._unbilled_output_bytes.labels(mode).set(result.unbilled_output_bytes)

    async def keep_fresh(self, pool: Pool) -> NoReturn:
        """Read the gauges from the database again and again, some less often, until cancelled."""
        while True:
            await self.refresh(pool, outside=time.monotonic() >= self._outside_due_s)
            await asyncio.sleep(REFRESH_S)

    async def refresh(self, pool: Pool, *, outside: bool = True) -> None:
        """Read the gauges from the database. While it can't be asked they stay as they are.

        outside: also those of late usage and of events out of time.
        """
        try:
            await self._read(pool)
            if outside:
                await self._read_outside(pool)
                self._outside_due_s = time.monotonic() + OUTSIDE_REFRESH_S
        except (OperatorError, *OPERATOR_ERRORS) as error:
            self._gauges_fresh.set(0)
            said = told("gauges")
            logger.warning("the gauges can't be read from the database: %s", reason(error), extra=said)
            return
        self._gauges_fresh.set(1)

    async def _read(self, pool: Pool) -> None:
        now = datetime.now(UTC)
        row = await pool.fetchrow(*bound("service/metrics_producers", now=now))
        assert row is not None
        for state in _STATES:
            self._producers.labels(state).set(row[state])
        for run in await pool.fetch(*bound("service/metrics_runs")):
            self._last_success.labels(run["mode"].lower()).set(run["finished_at"].timestamp())
        for column in _PRODUCER_GAUGES:
            self._gauges[column].set(row[column])
        named = await pool.fetch(*bound("service/metrics_names", now=now, limit=NAMES_MAX))
        for column, gauge in self._by_name.items():
            gauge.clear()  # who was retired is shown no more
            for each in named:
                gauge.labels(each["name"]).set(each[column])
        self._gauges["rater_skew_seconds"].set((await machine_skew(pool)).total_seconds())

    async def _read_outside(self, pool: Pool) -> None:
        async with pool.snapshot() as connection:
            outside = await find_outside(connection, datetime.now(UTC))
        found = {
            "late_hours": len(outside.late),
            "late_events": sum(late.events_unseen for late in outside.late),
            "out_of_time_events": sum(stray.events for stray in outside.strays),
        }
        for column in _OUTSIDE_GAUGES:
            self._gauges[column].set(found[column])

    async def page(self, headers: Mapping[str, str]) -> Answer:
        """Write the metrics out, in the format that was asked for."""
        encode, content_type = choose_encoder(headers.get("accept", ""))
        return Answer(encode(self.registry), content_type)
