"""What the addon counts, for Prometheus."""

import platform
from collections.abc import Callable, Mapping

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

from phoebe_addon.answer.resource_watch import Suspicion
from phoebe_addon.delivery.delivery import FAILURES, OUTCOMES
from phoebe_addon.exchange.event import Outcome
from phoebe_addon.exchange_metrics import ExchangeMetrics
from phoebe_addon.gate.refusal import RefusalReason
from phoebe_runtime.file_metrics import Changes, FileMetrics
from phoebe_runtime.operator_port import Answer

# What Phoebe adds to an exchange by itself: far below a second, unless a disk or a large body takes long.
_OWN_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15)


class Metrics:
    """Counters and gauges of one addon, in a registry of their own.

    under_way, spool_bytes, spool_events, spool_lost, spool_damaged: asked when the metrics are read.
    """

    def __init__(
        self,
        under_way: Callable[[], float],
        spool_bytes: Callable[[], float],
        spool_events: Callable[[], float],
        spool_lost: Callable[[], float],
        spool_damaged: Callable[[], float],
    ) -> None:
        self.registry = CollectorRegistry()
        disable_created_metrics()  # type: ignore[no-untyped-call] # of the library
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.exchanges = ExchangeMetrics(self.registry)
        self.admitted = Counter(
            "phoebe_exchanges_admitted", "Exchanges that were admitted.", ["api"], registry=self.registry
        )
        self.free = Counter(
            "phoebe_exchanges_free", "Exchanges that passed free, without an event.", registry=self.registry
        )
        self.refused = Counter(
            "phoebe_exchanges_refused", "Exchanges that were refused.", ["reason"], registry=self.registry
        )
        self.preflights = Counter(
            "phoebe_preflights",
            "OPTIONS requests, which the proxy answered itself.",
            registry=self.registry,
        )
        self.suspect_resources = Counter(
            "phoebe_resources_suspect",
            "Resources whose answers show that they are declared wrongly or not at all, each once.",
            ["suspicion"],
            registry=self.registry,
        )
        self.connections_refused = Counter(
            "phoebe_connections_refused",
            "Connections of clients that were closed because too many were open.",
            registry=self.registry,
        )
        self.unasked_bytes = Counter(
            "phoebe_engine_bytes_unasked",
            "Bytes that engines sent on connections on which nothing was asked.",
            registry=self.registry,
        )
        self.ended = Counter(
            "phoebe_exchanges_ended", "Admitted exchanges that ended.", ["outcome"], registry=self.registry
        )
        self.read_on = Counter(
            "phoebe_answers_read_on",
            "Answers that were read on without their client, by whether the end came.",
            ["end"],
            registry=self.registry,
        )
        self.unbilled_output = Counter(
            "phoebe_unbilled_output",
            "Exchanges that did not complete and have no usage, although a part of the answer was passed on.",
            registry=self.registry,
        )
        self.unbilled_output_bytes = Counter(
            "phoebe_unbilled_output_bytes",
            "Bytes that were passed on of these answers.",
            registry=self.registry,
        )
        self.malformed = Counter(
            "phoebe_usage_malformed",
            "Answers whose usage had a count that is no whole number, or details that are no object.",
            registry=self.registry,
        )
        self.unreadable = Counter(
            "phoebe_answers_unreadable",
            "Answers that can't be read: their content coding, or their JSON.",
            registry=self.registry,
        )
        self.delivered = Counter(
            "phoebe_events_delivered", "Events the rater answered for.", ["outcome"], registry=self.registry
        )
        self._task_up = Gauge(
            "phoebe_task_up",
            "Whether a background task works; 0: it crashed and is being started again.",
            ["task"],
            registry=self.registry,
        )
        self._files = FileMetrics()
        self.registry.register(self._files)
        self.gate_seconds = Histogram(
            "phoebe_gate_duration_seconds",
            "How long the checks of a request took that was let through: of its head and of its body.",
            buckets=_OWN_BUCKETS_S,
            registry=self.registry,
        )
        self.spool_commit_seconds = Histogram(
            "phoebe_spool_commit_duration_seconds",
            "How long the spool took to bring a transaction to disk, which often serves many exchanges.",
            buckets=_OWN_BUCKETS_S,
            registry=self.registry,
        )
        self._expiry = Gauge(
            "phoebe_certificate_not_after_timestamp_seconds",
            "When the first certificate of a file ends.",
            ["use"],
            registry=self.registry,
        )
        self.deliveries_failed = Counter(
            "phoebe_deliveries_failed",
            "Attempts to deliver that failed, by gRPC's status, or `other`.",
            ["reason"],
            registry=self.registry,
        )
        self._begin_at_zero()
        for name, text, read in (
            ("phoebe_exchanges_under_way", "Exchanges that were begun and have not ended.", under_way),
            ("phoebe_spool_bytes", "Bytes the spool holds.", spool_bytes),
            ("phoebe_spool_events", "Events waiting in the spool.", spool_events),
            ("phoebe_spool_events_lost", "Events whose record in the spool was damaged.", spool_lost),
            ("phoebe_spool_files_damaged", "Spool files found damaged and set aside.", spool_damaged),
        ):
            Gauge(name, text, registry=self.registry).set_function(read)

    def _begin_at_zero(self) -> None:
        """Show all labels that are known from the start, so that the first increase is seen."""
        for counter, labels in (
            (self.refused, tuple(RefusalReason)),
            (self.ended, tuple(Outcome)),
            (self.suspect_resources, tuple(Suspicion)),
            (self.read_on, ("whole", "cut")),
            (self.delivered, OUTCOMES),
            (self.deliveries_failed, FAILURES),
        ):
            for label in labels:
                counter.labels(str(label))

    def describe_build(self, version: str) -> None:
        """Say which version this is. version: empty if nothing is installed."""
        Gauge(
            "phoebe_build_info",
            "Which version this is; always 1.",
            ["version", "python", "component"],
            registry=self.registry,
        ).labels(version, platform.python_version(), "addon").set(1)

    def follow(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]) -> None:
        """Add gauges: by name, what they say, and what is asked when the metrics are read."""
        for name, (text, read) in gauges.items():
            Gauge(name, text, registry=self.registry).set_function(read)

    def follow_expiry(self, use: str, ends_at: Callable[[], float]) -> None:
        """Add a gauge of when a certificate ends, in seconds since 1970. use: `client`, `ca`,
        `listener` or `listener_ca`.
        """
        self._expiry.labels(use).set_function(ends_at)

    def note_task(self, name: str, up: bool) -> None:
        """Note whether a background task is up."""
        self._task_up.labels(name).set(up)

    def follow_misdirected(self, spools: Callable[[], float]) -> None:
        """Add a gauge of how many spools belong to another installation than the rater."""
        Gauge(
            "phoebe_spools_misdirected",
            "Spools that belong to another installation than the rater, and wait.",
            registry=self.registry,
        ).set_function(spools)

    def follow_file(self, name: str, changes: Callable[[], Changes]) -> None:
        """Measure a followed file. changes: asked for how it stands."""
        self._files.follow(name, changes)

    async def page(self, headers: Mapping[str, str]) -> Answer:
        """Write the metrics out, in the format that was asked for."""
        encode, content_type = choose_encoder(headers.get("accept", ""))
        return Answer(encode(self.registry), content_type)
