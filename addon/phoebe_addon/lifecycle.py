"""The life of the addon in a mitmproxy, whatever is going on with exchanges.

load        the options are declared, the guard is put in place
configure   the options are read, at the start and whenever one changes
running     the spool is opened, events are delivered, mitmproxy becomes a reverse proxy
done        the spool is closed
"""

import asyncio
import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from math import inf
from typing import TYPE_CHECKING

from mitmproxy import addonmanager, ctx, exceptions

from phoebe_addon.addon_version import addon_version
from phoebe_addon.gate.upstreams import Upstreams
from phoebe_addon.meter import Meter
from phoebe_addon.proxy import flow_lines, guard, lean, log_output, modes, read_size, startup_errors
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.open_files import ClientLimits, possible
from phoebe_addon.proxy.retiring import until_left
from phoebe_addon.proxy.served_certificates import served_certificates
from phoebe_addon.proxy.stopping import Stopping, drain
from phoebe_addon.settings.options import OPTIONS, add_options, left_over, take_given
from phoebe_addon.settings.settings import (
    Settings,
    SettingsError,
    proxy_name,
    read_settings,
    refuse_late_changes,
)
from phoebe_addon.spool.seat import Seat
from phoebe_addon.spool.spool import SpoolError
from phoebe_addon.turns import Turns
from phoebe_runtime.followed_files import Followed
from phoebe_runtime.spans import TracingError, open_spans

if TYPE_CHECKING:
    from phoebe_addon.tracing.exchanges import TracedExchanges

logger = logging.getLogger(__name__)

_METRICS_OF_WORKER = (
    "phoebe_metrics can't be given to workers, which would all take the same address: "
    "give `phoebe proxy --metrics HOST:PORT`, which has the metrics of all of them"
)


class Lifecycle:
    """What the addon works with: its settings, and the meter while it is running.

    seat: of the process, if it is a worker of `phoebe proxy`.
    """

    def __init__(self, seat: Seat | None = None) -> None:
        self._seat = seat
        self._last_answers = False
        self._start_faults: list[str] = []
        self._settings: Settings | None = None
        self._upstreams = Followed.fixed(Upstreams({}))
        self._meter: Meter | None = None
        self._traced: TracedExchanges | None = None
        self._stopping: Stopping | None = None
        self._client_limits = ClientLimits(1, 1)
        self._warnings: list[str] = []
        self._turns = Turns()
        self._log = log_output.LogOutput()

    def load(self, loader: addonmanager.Loader) -> None:
        """Declare the options and put the guard in place, before anything can be served."""
        guard.install()
        self._start_faults = add_options(loader, os.environ, in_worker=self._seat is not None)

    def configure(self, updated: set[str]) -> None:
        """Read the options, at the start and whenever one changes."""
        self._log.use(ctx.master.addons, ctx.options, proxy_name(ctx.options.phoebe_name))
        faults = [*self._start_faults, *take_given(ctx.options.deferred)]
        if not faults and not updated.intersection({option.name for option in OPTIONS} | {"mode"}):
            return
        try:
            modes.check_modes(ctx.options.mode)
            if modes.without_http3(ctx.options.mode):
                logger.info("phoebe: HTTP/3 is turned off: no UDP is listened on")
            settings = read_settings(ctx.options, self._settings, faults)
            if self._seat and settings.metrics:
                raise SettingsError(_METRICS_OF_WORKER)
            upstreams = settings.upstreams or Followed.fixed(
                modes.upstreams_of(ctx.options.mode, settings.declared)
            )
            if self._meter and self._settings:
                refuse_late_changes(self._settings, settings)
        except (SettingsError, modes.ModeError) as error:
            if self._meter:
                raise exceptions.OptionsError(f"phoebe: {error}") from None
            logger.error("phoebe: %s", error)  # mitmproxy exits when an error was logged at startup
            return
        self._upstreams = upstreams
        self._client_limits = possible(ClientLimits(settings.connections_max, settings.exchanges_max))
        self._warn(_warnings_of(settings, self._client_limits, upstreams))
        self._use(settings)

    def running(self) -> None:
        """Open the spool and begin to deliver; become a reverse proxy if mitmproxy is not one."""
        if self._settings is None or not _knows_all_options():
            return
        # Lazy: no engine is asked before the gate has decided. The others would open ways past the gate.
        ctx.options.update(connection_strategy="lazy", websocket=False, rawtcp=False)
        startup_errors.tolerate(ctx.master.addons)
        flow_lines.without_queries(ctx.master.addons)
        try:
            self._meter = self._make_meter(self._settings)
        except (SpoolError, OSError, TracingError) as error:
            logger.error("phoebe: %s", error)
            return
        if self._settings.lean:
            lean.install(ctx.master.addons)
            read_size.install()
            lean.spare_collections()
            logger.info(
                "phoebe: lean: addons are asked only for the hooks they have (phoebe_lean=false: for all)"
            )
        ctx.options.update(mode=modes.reversed_modes(ctx.options.mode))
        self._follow_files(self._meter)
        self._watch_certificates(self._meter)
        self._stopping = Stopping(ctx.master, self._announce, self._drain)
        logger.info(
            "phoebe: metering as %s; spool %s, rater %s",
            *(self._settings.name, self._settings.spool, self._settings.rater),
        )

    def done(self) -> None:
        """End what is open and close the spool. What is not delivered stays in it for the next start."""
        if self._stopping:
            self._stopping.undo()
            self._stopping = None
        if self._meter:
            self._meter.close()
            self._meter = None
        self._traced = None
        self._log.end()

    @property
    def meter(self) -> Meter | None:
        """What keeps the books; None: not metering."""
        return self._meter

    async def retire(self, timeout_s: float) -> None:
        """Let all clients go over to another process, within so many seconds, and stop.

        Whoever is still there then is treated as when the process is told to stop.
        """
        if self._settings is None or self._stopping is None:
            ctx.master.shutdown()
            return
        self._last_answers = True
        self._use(self._settings)
        await until_left(ctx.master.addons.get("proxyserver"), timeout_s)
        if not self._stopping.begun:
            ctx.master.shutdown()

    def _make_meter(self, settings: Settings) -> Meter:
        """Make the meter, and what traces exchanges if that is turned on. Raises what these raise."""
        describing = {
            "service.name": "phoebe-addon",
            "service.version": addon_version(),
            "service.instance.id": settings.name,
        }
        spans = open_spans(settings.tracing, describing, os.environ)
        if spans is None:
            return Meter(settings, self._seat)
        # Only here: the libraries are there only where somebody traces.
        from phoebe_addon.tracing.exchanges import TracedExchanges  # noqa: PLC0415
        from phoebe_addon.tracing.traced_meter import TracedMeter  # noqa: PLC0415

        self._traced = TracedExchanges(spans)
        return TracedMeter(settings, self._seat, self._traced)

    def _warn(self, warnings: list[str]) -> None:
        """Log the warnings that did not hold at the last look: options are read often."""
        for warning in warnings:
            if warning not in self._warnings:
                logger.warning("phoebe: %s", warning)
        self._warnings = warnings

    def _use(self, settings: Settings) -> None:
        self._settings = settings
        GuardRules.in_force = GuardRules(
            body_bytes_max=settings.rules.body_bytes_max,
            routes=settings.rules.routes,
            engine_timeout_s=settings.engine_timeout_s,
            request_timeout_s=settings.request_timeout_s,
            abort=settings.abort,
            last_answers=self._last_answers,
        )

    def _follow_files(self, meter: Meter) -> None:
        settings = self._settings
        assert settings
        meter.follow("resource map", lambda: self._upstreams)
        meter.follow("edge secrets", lambda: (self._settings or settings).edge_secrets)
        meter.follow("routes", lambda: (self._settings or settings).routes, self._use_routes)

    def _watch_certificates(self, meter: Meter) -> None:
        """Measure when what clients are shown ends, and warn of what has ended or ends soon."""
        ends: dict[str, float] = {}
        now = datetime.now(UTC)
        for served in served_certificates(ctx.options):
            ends[served.use] = min(ends.get(served.use, inf), served.ends_at)
            if warning := served.warning(now):
                logger.warning("phoebe: what clients are shown: %s", warning)
        for use, ends_at in ends.items():
            meter.metrics.follow_expiry(use, partial(float, ends_at))

    def _use_routes(self) -> None:
        assert self._settings
        rules = replace(self._settings.rules, routes=self._settings.routes.value)
        self._use(replace(self._settings, rules=rules))

    async def _announce(self) -> None:
        """Let load balancers hear that the process stops, and serve on for as long as that may take."""
        assert self._settings
        assert self._meter
        self._meter.note_stopping()
        delay_s = self._settings.drain_delay_s
        if delay_s:
            logger.info("phoebe: stopping: requests are served for %g seconds more", delay_s)
            self._last_answers = True
            self._use(self._settings)
            await asyncio.sleep(delay_s)

    async def _drain(self) -> None:
        assert self._settings
        assert self._meter
        await drain(ctx.master.addons.get("proxyserver"), self._meter, self._settings.drain_timeout_s)


def _knows_all_options() -> bool:
    """Log the options that were given and do nothing. False if one of them was meant to be Phoebe's."""
    faults, others = left_over(ctx.options.deferred)
    for warning in others:
        logger.warning("phoebe: %s: it does nothing", warning)
    if faults:
        logger.error("phoebe: %s", "; ".join(faults))  # which ends the start
    return not faults


def _warnings_of(settings: Settings, limits: ClientLimits, upstreams: Followed[Upstreams]) -> list[str]:
    """List what the operator should know of what options say; what files say warns of itself."""
    warnings = [] if upstreams.paths else list(upstreams.value.warnings)
    if limits != ClientLimits(settings.connections_max, settings.exchanges_max):
        warnings.append(
            f"the limit on open files leaves room for {limits.connections_max} connections and "
            f"{limits.exchanges_max} exchanges at a time"
        )
    if settings.exchanges_per_auth_max >= limits.exchanges_max:
        warnings.append(
            f"one customer may have all {limits.exchanges_max} exchanges: set phoebe_exchanges_per_auth_max "
            "to less"
        )
    return warnings
