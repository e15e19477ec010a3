"""The meter: keeps the books of the exchanges that are under way, and gets their events to the rater."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from phoebe_addon.addon_version import addon_version
from phoebe_addon.answer.resource_watch import ResourceWatch
from phoebe_addon.delivery.adoption import Adoption
from phoebe_addon.delivery.delivery import Delivery
from phoebe_addon.exchange.admission import Admission
from phoebe_addon.exchange.event import (
    Ending,
    admission_event,
    is_unbilled_output,
    is_without_usage,
    put_time,
)
from phoebe_addon.exchange.exchange import Exchange, Stage
from phoebe_addon.exchange.metering import Metering
from phoebe_addon.exchange.under_way import UnderWay
from phoebe_addon.metrics import Metrics
from phoebe_addon.readiness import Readiness
from phoebe_addon.settings.settings import Settings
from phoebe_addon.spool.disk_watch import DiskWatch
from phoebe_addon.spool.seat import Seat
from phoebe_addon.spool.spool import Spool, SpoolError
from phoebe_addon.spool.spools import open_own
from phoebe_addon.spool.wakes import Doing
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from phoebe_runtime.background import Background
from phoebe_runtime.counts import counted
from phoebe_runtime.expiry import first_expiry
from phoebe_runtime.followed_files import Followed, follow_current
from phoebe_runtime.log_lines import told
from phoebe_runtime.operator_port import OperatorPort
from phoebe_runtime.probes import Condition, probe_pages

logger = logging.getLogger(__name__)

# How long the end of an answer waits for a failing disk before the client is cut off.
DURABLE_TIMEOUT_S = 15.0
# How long the last events have at least to come to the rater.
FINISH_MIN_S = 1.0


class Meter:
    """Opens the spool and delivers from it. Needs a running event loop.

    under_way: the exchanges that were begun and have not ended. background: the tasks that go on as long as
    it is open. seat: of the process, if it is a worker of `phoebe proxy`.

    Raises SpoolError when the spool can't be opened, OSError when the metrics can't be served.
    """

    def __init__(self, settings: Settings, seat: Seat | None = None) -> None:
        self._spool = open_own(
            *(settings.spool, settings.spool_bytes_max, settings.belonging),
            trust_group=settings.spool_trusts_group,
            seat=seat,
        )
        self._settings = settings
        self._adoption = Adoption(
            *(settings.spool, settings.spool_bytes_max, self._delivery_of, settings.belonging),
            trust_group=settings.spool_trusts_group,
            seat=seat,
        )
        self.under_way = UnderWay()
        self.metrics = Metrics(
            under_way=lambda: len(self.under_way),
            spool_bytes=lambda: self._spool.bytes_used,
            spool_events=lambda: self._spool.depth() + self._adoption.depth(),
            spool_lost=lambda: self._spool.lost_rows,
            spool_damaged=lambda: self._spool.damaged_files,
        )
        self._resources = ResourceWatch()
        self._delivery = self._delivery_of(self._spool, settings.name)
        self.background = Background(self.metrics.note_task)
        disk = DiskWatch(self._spool)
        self._readiness = Readiness(self._spool, disk, self._delivery, lambda: self.background.down)
        self._operator_port = self._open_operator_port()
        if self._spool.recovered:
            logger.warning("phoebe: cut off by the last stop: %s", counted(self._spool.recovered, "exchange"))
        self._measure(disk)
        self._spool.measure(self.metrics.spool_commit_seconds.observe)
        self.metrics.follow_misdirected(lambda: self._delivery.misdirected + self._adoption.misdirected)
        self._delivering = self.background.start("delivery", self._delivery.run, "events stay in the spool")
        self.background.start("adoption", self._adoption.run, "spools of other processes are not delivered")
        self.background.start("disk watch", disk.keep_watching, "a disk that fails is noticed late")
        if self._operator_port:
            self.background.start("metrics endpoint", self._operator_port.run, "metrics can't be read")
        self.follow("rater credentials", lambda: settings.rater_credentials)

    @property
    def conditions(self) -> Sequence[Condition]:
        """How everything stands that decides whether the proxy can take work and record it."""
        return self._readiness.conditions()

    def note_stopping(self) -> None:
        """Let probes hear that the proxy takes no requests any more."""
        self._readiness.stopping = True

    def follow[T](
        self, name: str, files: Callable[[], Followed[T]], on_change: Callable[[], None] = lambda: None
    ) -> None:
        """Follow files in the background. files: tells which ones, at every look."""
        self.metrics.follow_file(name, lambda: files().changes)
        self.background.start(
            name, lambda: follow_current(files, on_change), f"changes of {name} are not noticed"
        )

    def begin(self, exchange: Exchange) -> None:
        """Take note of an exchange whose head is in order. It is under way until `end`."""
        self.under_way.add(exchange)

    async def admit(self, exchange: Exchange, admission: Admission) -> None:
        """Admit an exchange: when this returns, its admission is on disk. Raises SpoolError.

        One that ends meanwhile, because its client is gone, has its event and is not let through.
        """
        event = admission_event(admission)
        now = datetime.now(UTC)
        # If it never ends, it ended now: the rater may have been told that it has all of an earlier time.
        put_time(event.event_time, now)
        await self._spool.admit(admission.request_id, event.SerializeToString(), now)
        self.metrics.admitted.labels(admission.api).inc()
        self.metrics.exchanges.expect(admission.api, admission.identity.resource_id)
        if exchange.stage is Stage.ENDED:
            self._write_ended(Metering(admission, event), Ending.CLIENT_GONE)
        else:
            exchange.admit(admission, event)

    def let_free(self, exchange: Exchange) -> None:
        """Let an exchange through without an event."""
        exchange.let_free()
        self.metrics.free.inc()

    async def end(self, exchange: Exchange, ending: Ending) -> bool:
        """End an exchange, if it has not ended. Returns whether its event is on disk, if it makes one."""
        metering = exchange.metering
        written = self._write_event(exchange, ending)
        if metering is None or written is None:
            return True
        try:
            await self._spool.until_durable(written, DURABLE_TIMEOUT_S)
        except (TimeoutError, SpoolError):
            request_id = metering.admission.request_id
            said = told("not in the spool", request_id=request_id)
            logger.error("phoebe: event %s is not in the spool", request_id, extra=said)
            return False
        self._delivery.wake()
        return True

    async def end_connection(self, connection_id: str) -> None:
        """End what is still open on a client's connection that is gone: nothing more will be heard of it."""
        for exchange in self.under_way.on_connection(connection_id):
            if not exchange.answer_is_here:
                await self.end(exchange, Ending.CLIENT_GONE)

    def end_all(self) -> None:
        """End what is open, because the proxy stops."""
        for exchange in self.under_way.all():
            self._write_event(exchange, Ending.PROXY_STOPPED)

    async def finish(self, deadline_s: float) -> None:
        """Bring what is in the spool to the rater, and say that it was the last.

        Until that time of the event loop, or a second, whichever is later; but no longer than a second if the
        rater does not answer anyway.
        """
        self._delivery.finish()
        patience_s = asyncio.get_running_loop().time() + FINISH_MIN_S
        while not self._delivering.done():
            now_s = asyncio.get_running_loop().time()
            hopeless = self._delivery.troubled or "delivery" in self.background.down
            if now_s >= max(deadline_s, patience_s) or (hopeless and now_s >= patience_s):
                left = counted(self._spool.depth(), "event")
                logger.warning("phoebe: left in the spool for the next start: %s", left)
                return
            await asyncio.wait([self._delivering], timeout=0.05)

    def close(self) -> None:
        """End what is open and close the spool. What is not delivered stays in it for the next start."""
        self.end_all()
        self.background.cancel()
        self._adoption.close()
        self._spool.close()
        if self._operator_port:
            self._operator_port.close()

    def _measure(self, disk: DiskWatch) -> None:
        """Add what is measured besides exchanges: the disk, the rater, certificates, the build."""
        spool, delivery, files = self._spool, self._delivery, self._settings.rater_files
        gauges: dict[str, tuple[str, Callable[[], float]]] = {
            "phoebe_spool_limit_bytes": (
                "Beyond how many bytes nothing is admitted.",
                lambda: spool.bytes_max,
            ),
            "phoebe_spool_oldest_event_timestamp_seconds": (
                "When the oldest event that waits had ended; 0: none waits.",
                lambda: disk.oldest_s,
            ),
            "phoebe_spool_free_disk_bytes": ("What is free of the spool's disk.", lambda: disk.free_bytes),
            "phoebe_spool_writable": ("Whether the spool can be written.", lambda: disk.trouble is None),
            "phoebe_rater_up": ("Whether the rater answers.", lambda: delivery.silent_for is None),
            "phoebe_rater_last_success_timestamp_seconds": (
                "When the rater answered last; 0: never.",
                lambda: delivery.heard_at,
            ),
        }
        self.metrics.follow(gauges)
        self.metrics.describe_build(addon_version())
        for use, path in (("client", files.certificate), ("ca", files.ca)):
            if path:
                self.metrics.follow_expiry(use, partial(first_expiry, path))

    def _open_operator_port(self) -> OperatorPort | None:
        if self._settings.metrics is None:
            return None
        pages = {"/metrics": self.metrics.page, **probe_pages(self._readiness.conditions)}
        try:
            return OperatorPort(*self._settings.metrics, pages, addon_version())
        except OSError:
            self._spool.close()
            raise

    def _delivery_of(self, spool: Spool, name: str = "") -> Delivery:
        settings = self._settings
        return Delivery(
            spool,
            settings.rater,
            self._count_delivered,
            settings.rater_credentials,
            name,
            self._count_failure,
        )

    def _write_event(self, exchange: Exchange, ending: Ending) -> Doing | None:
        now = datetime.now(UTC)
        self.under_way.remove(exchange)
        events = exchange.end(ending, now)
        if not events or exchange.metering is None:
            return None
        self._note_end(exchange, events[0])
        return self._write(events, exchange.metering, now)

    def _write_ended(self, metering: Metering, ending: Ending) -> None:
        now = datetime.now(UTC)
        self._write(metering.events(ending, now), metering, now)

    def _write(self, events: Sequence[MeteringEvent], metering: Metering, now: datetime) -> Doing:
        """Write the events of an exchange, its own first."""
        event = events[0]
        self.metrics.ended.labels(event.outcome).inc()
        self.metrics.exchanges.count(event)
        self._count_unread(metering)
        if is_without_usage(event):
            # The same text for all of a resource, so that it is written once a minute.
            logger.warning(
                "phoebe: the resource %a answers without usage, which is on no bill; "
                "`phoebe conformance URL` says what its engine lacks",
                event.resource_id,
            )
        for suspicion, what_to_do in self._resources.notice(event.resource_id, metering.clues):
            self.metrics.suspect_resources.labels(suspicion.value).inc()
            logger.error("phoebe: the resource %a: %s", event.resource_id, what_to_do)
        return self._spool.finish(event.request_id, [each.SerializeToString() for each in events], now)

    def _note_end(self, exchange: Exchange, event: MeteringEvent) -> None:
        """Take note of how an exchange ended, before its event is written."""
        if exchange.read_on and exchange.metering:
            self.metrics.read_on.labels("whole" if exchange.metering.is_complete else "cut").inc()
        if is_unbilled_output(event):
            self.metrics.unbilled_output.inc()
            self.metrics.unbilled_output_bytes.inc(event.answer_bytes)
            logger.info(
                "phoebe: event %s: %s, and its engine has said nothing of usage; not billed: %s",
                *(event.request_id, event.outcome, counted(event.answer_bytes, "byte")),
            )

    def _count_unread(self, metering: Metering) -> None:
        if metering.usage_malformed:
            self.metrics.malformed.inc()
            logger.warning(
                "phoebe: event %s: the engine's usage has a bad count", metering.admission.request_id
            )
        elif metering.bad_details:
            self.metrics.malformed.inc()
            logger.warning(
                "phoebe: event %s: details of the engine's usage can't be read: %s",
                *(metering.admission.request_id, ", ".join(sorted(metering.bad_details))),
            )
        if metering.unnamed_or_unread:
            self.metrics.malformed.inc()
            logger.error(
                "phoebe: event %s: of %s the engine's usage has no name or a bad count; it is "
                "recorded and not billed",
                *(metering.admission.request_id, counted(metering.unnamed_or_unread, "further model")),
            )
        if metering.answer_unreadable:
            self.metrics.unreadable.inc()
            logger.warning(
                "phoebe: event %s: the engine's answer can't be read", metering.admission.request_id
            )

    def _count_failure(self, reason: str) -> None:
        self.metrics.deliveries_failed.labels(reason).inc()

    def _count_delivered(self, outcomes: Counter[str]) -> None:
        for outcome, count in outcomes.items():
            self.metrics.delivered.labels(outcome).inc(count)
