"""The addon itself: mitmproxy's hooks on one side, the gate and the meter on the other.

How an exchange runs through the hooks:

    requestheaders   the gate checks the head
    request          the gate checks the body; the admission is made durable; only then the guard lets it pass
    responseheaders  the answer is opened; a stream is watched chunk by chunk
    response         the event is made durable; only then mitmproxy sends the end of the answer
    error            the client or the engine went away: the event is made durable

A refused exchange gets its response in one of the first two and never reaches an engine.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime

import uuid_utils
from mitmproxy import addonmanager, connection, ctx, exceptions, http

from phoebe_addon.exchange.admission import admission_of
from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.exchange import Exchange, Stage
from phoebe_addon.exchange.metering import Metering
from phoebe_addon.followed_files import Followed
from phoebe_addon.gate import gate
from phoebe_addon.gate.declared import Declared
from phoebe_addon.gate.preflight import Preflight
from phoebe_addon.gate.refusal import INTERNAL_ERROR, NOT_DURABLE, STARTING, STOPPING, TOO_BUSY, Refusal
from phoebe_addon.gate.request_body import RequestBody
from phoebe_addon.gate.upstreams import Upstreams, declare, single
from phoebe_addon.meter import Meter
from phoebe_addon.proxy import flows, guard, lean, modes, startup_errors, stopping
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.open_files import ClientLimits, allow_open_files
from phoebe_addon.proxy.unasked import Unasked
from phoebe_addon.proxy.watched_answer import read_buffered, watcher
from phoebe_addon.settings.options import OPTIONS, add_options
from phoebe_addon.settings.settings import Settings, SettingsError, read_settings
from phoebe_addon.spool.spool import SpoolError

logger = logging.getLogger(__name__)

# Documents up to here are kept whole and sent on, Content-Length and all, after their event is durable.
# Longer ones and those of unknown length are passed on as they come, framed so that the end can be held back.
_BUFFERED_ANSWER_BYTES_MAX = 8 * 1024 * 1024
_NEEDS_RESTART = {
    "phoebe_rater": "rater",
    "phoebe_rater_tls and what goes with it": "rater_files",
    "phoebe_spool": "spool",
    "phoebe_spool_limit": "spool_bytes_max",
    "phoebe_metrics": "metrics",
    "phoebe_lean": "lean",
}
"""Options the meter is made with, and what they are called in the settings."""


class PhoebeAddon:
    """Meters what passes through a mitmproxy and refuses what can't be metered."""

    def __init__(self) -> None:
        self._settings: Settings | None = None
        self._upstreams = Followed.fixed(Upstreams({}))
        self._meter: Meter | None = None
        self._stopping: stopping.Stopping | None = None
        self._client_limits = ClientLimits(1, 1)

    def load(self, loader: addonmanager.Loader) -> None:
        """Declare the options and put the guard in place, before anything can be served."""
        guard.install()
        add_options(loader)

    def configure(self, updated: set[str]) -> None:
        """Read the options, at the start and whenever one changes."""
        if not updated.intersection({option.name for option in OPTIONS} | {"mode"}):
            return
        try:
            modes.check_modes(ctx.options.mode)
            settings = read_settings(ctx.options, self._settings)
            upstreams = settings.upstreams or _upstreams_of_mode(settings.declared)
            self._refuse_late_change(settings)
        except (SettingsError, modes.ModeError) as error:
            if self._meter:
                raise exceptions.OptionsError(f"phoebe: {error}") from None
            logger.error("phoebe: %s", error)  # mitmproxy exits when an error was logged at startup
            return
        self._settings = settings
        _warn_of_upstreams(self._upstreams, upstreams)
        self._upstreams = upstreams
        _use_rules(settings)
        self._client_limits = _client_limits(settings)

    def running(self) -> None:
        """Open the spool and begin to deliver; become a reverse proxy if mitmproxy is not one."""
        if self._settings is None:
            return
        # Lazy: no engine is asked before the gate has decided. The others would open ways past the gate.
        ctx.options.update(connection_strategy="lazy", websocket=False, rawtcp=False)
        startup_errors.tolerate(ctx.master.addons)
        try:
            self._meter = Meter(self._settings)
        except (SpoolError, OSError) as error:
            logger.error("phoebe: %s", error)
            return
        if self._settings.lean:
            lean.install(ctx.master.addons)
            logger.info(
                "phoebe: lean: addons are asked only for the hooks they have (phoebe_lean=false: for all)"
            )
        ctx.options.update(mode=modes.reversed_modes(ctx.options.mode))
        self._follow_files(self._meter)
        self._stopping = stopping.Stopping(ctx.master, self._drain)
        logger.info("phoebe: metering; spool %s, rater %s", self._settings.spool, self._settings.rater)

    def done(self) -> None:
        """End what is open and close the spool. What is not delivered stays in it for the next start."""
        if self._stopping:
            self._stopping.undo()
            self._stopping = None
        if self._meter:
            self._meter.close()
            self._meter = None

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Check the head of a request."""
        exchange = guard.exchange_of(flow)
        if exchange is None:
            return
        try:
            decision = self._check_head(flow)
        except Exception:
            logger.exception("phoebe: the gate failed; the request is refused")
            decision = INTERNAL_ERROR
        if isinstance(decision, Refusal):
            self._refuse(flow, exchange, decision)
        elif isinstance(decision, Preflight):
            self._answer(flow, decision)
        else:
            exchange.pass_head(decision)

    async def request(self, flow: http.HTTPFlow) -> None:
        """Check the body and admit, or refuse."""
        exchange = guard.exchange_of(flow)
        if exchange is None or flow.response is not None:
            return
        try:
            refusal = await self._admit(flow, exchange)
        except Exception:
            logger.exception("phoebe: the admission failed; the request is refused")
            refusal = INTERNAL_ERROR
        if refusal:
            self._refuse(flow, exchange, refusal)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Open the answer of an engine; let a stream pass through the metering."""
        exchange = guard.exchange_of(flow)
        if exchange is None or flow.response is None or exchange.stage is not Stage.ASKED:
            return
        exchange.answer_began()
        if exchange.metering:
            self._watch(flow, flow.response, exchange.metering)

    async def response(self, flow: http.HTTPFlow) -> None:
        """Make the event of a complete answer durable before its end is sent."""
        exchange = guard.exchange_of(flow)
        if exchange is None or flow.response is None:
            return
        if exchange.metering and exchange.stage is Stage.ANSWERING and not flow.response.stream:
            read_buffered(exchange.metering, flow.response)
        await self._end(flow, exchange, Ending.ANSWER_COMPLETE)

    async def error(self, flow: http.HTTPFlow) -> None:
        """End an exchange whose client or engine went away."""
        exchange = guard.exchange_of(flow)
        if exchange is None:
            return
        ending = Ending.ENGINE_FAILED if exchange.engine_failure else Ending.CLIENT_GONE
        await self._end(flow, exchange, ending)

    def client_connected(self, client: connection.Client) -> None:
        """Close a connection beyond the limit at once."""
        if len(ctx.master.addons.get("proxyserver").connections) > self._client_limits.connections_max:
            client.error = "too many connections"
            logger.warning(
                "phoebe: a connection was closed: %d are open", self._client_limits.connections_max
            )
            if self._meter:
                self._meter.metrics.connections_refused.inc()

    def engine_spoke_unasked(self, unasked: Unasked) -> None:
        """Count what an engine sent that nobody asked for. The proxy has closed its connection."""
        looks = f" (they look like an answer with the status {unasked.status})" if unasked.status else ""
        logger.error(
            "phoebe: the engine %s sent %d bytes that nobody asked for%s: they were given to no client, and "
            "its connection was closed. Such an engine takes one request for two, or is broken",
            *(unasked.engine, unasked.byte_count, looks),
        )
        if self._meter:
            self._meter.metrics.unasked_bytes.inc(unasked.byte_count)

    async def client_disconnected(self, client: connection.Client) -> None:
        """End what is still open on a connection that is gone."""
        if self._meter:
            await self._meter.end_connection(client.id)

    def _follow_files(self, meter: Meter) -> None:
        settings = self._settings
        assert settings
        meter.follow("resource map", lambda: self._upstreams)
        meter.follow("edge secrets", lambda: (self._settings or settings).edge_secrets)
        meter.follow("routes", lambda: (self._settings or settings).routes, self._use_routes)

    def _use_routes(self) -> None:
        assert self._settings
        rules = replace(self._settings.rules, routes=self._settings.routes.value)
        self._settings = replace(self._settings, rules=rules)
        _use_rules(self._settings)

    def _check_head(self, flow: http.HTTPFlow) -> gate.Pass | Preflight | Refusal:
        head = flows.request_head(flow)
        if self._settings:
            flows.hide_secret(flow, self._settings.forwarding)
        if self._settings is None or self._meter is None or not flows.is_reverse_proxied(flow):
            return STARTING
        if self._stopping and self._stopping.begun:
            return STOPPING
        return gate.check_head(
            head, self._settings.rules, self._upstreams.value, self._settings.edge_secrets.value
        )

    async def _admit(self, flow: http.HTTPFlow, exchange: Exchange) -> Refusal | None:
        passed = exchange.passed
        assert passed
        assert self._settings
        assert self._meter
        if self._stopping and self._stopping.begun:
            return STOPPING  # since its head came
        content = flow.request.raw_content or b""
        if passed.is_free():
            free_body = gate.check_free_body(content, passed, self._settings.rules)
            if isinstance(free_body, Refusal):
                return free_body
            flows.direct_to(flow, passed.upstream, self._settings.forwarding, free_body)
            self._meter.let_free(exchange)
            return None
        body = gate.check_body(content, passed, self._settings.rules)
        if isinstance(body, Refusal):
            return body
        if self._meter.under_way >= self._client_limits.exchanges_max:
            return TOO_BUSY
        return await self._admit_metered(flow, exchange, passed, body)

    async def _admit_metered(
        self, flow: http.HTTPFlow, exchange: Exchange, passed: gate.Pass, body: RequestBody
    ) -> Refusal | None:
        assert self._settings
        assert self._meter
        admission = admission_of(
            passed,
            body,
            request_id=str(uuid_utils.uuid7()),
            client_request_id=flow.request.headers.get(flows.REQUEST_ID_HEADER),
            start_time=datetime.fromtimestamp(flow.request.timestamp_start, UTC),
        )
        flow.request.headers[flows.REQUEST_ID_HEADER] = admission.request_id
        # Usage must be readable on the way.
        flow.request.headers["Accept-Encoding"] = "identity"
        flows.direct_to(flow, passed.upstream, self._settings.forwarding, body.content)
        try:
            # Last, because the guard lets pass what is admitted.
            await self._meter.admit(exchange, admission)
        except SpoolError as error:
            logger.error("phoebe: not admitted: %s", error)
            return NOT_DURABLE
        return None

    def _watch(self, flow: http.HTTPFlow, response: http.Response, metering: Metering) -> None:
        if metering.answer_began(response.status_code, flows.joined_headers(response.headers)):
            response.headers.pop("content-encoding", None)
        response.headers[flows.REQUEST_ID_HEADER] = metering.request_id
        length = response.headers.get("content-length", "")
        if metering.streams or not length.isdecimal() or int(length[:20]) > _BUFFERED_ANSWER_BYTES_MAX:
            flows.hold_back_end(flow)
            response.stream = watcher(metering)

    async def _end(self, flow: http.HTTPFlow, exchange: Exchange, ending: Ending) -> None:
        if exchange.refusal and exchange.stage is not Stage.ENDED:
            self._count_refusal(exchange.refusal)
        if self._meter and not await self._meter.end(exchange, ending) and flow.killable:
            flow.kill()

    def _answer(self, flow: http.HTTPFlow, preflight: Preflight) -> None:
        flow.response = flows.preflight_response(preflight)
        if self._meter:
            self._meter.metrics.preflights.inc()

    def _refuse(self, flow: http.HTTPFlow, exchange: Exchange, refusal: Refusal) -> None:
        exchange.refuse(refusal)
        flow.response = guard.response_of(refusal, GuardRules.in_force.routes.error_shape(exchange.path))
        if refusal is STOPPING and not flow.request.is_http2:
            flow.response.headers["Connection"] = "close"

    def _count_refusal(self, refusal: Refusal) -> None:
        logger.info("phoebe: refused %d %s: %s", refusal.status, refusal.reason.value, refusal.message)
        if self._meter:
            self._meter.metrics.refused.labels(refusal.reason.value).inc()

    def _refuse_late_change(self, settings: Settings) -> None:
        changed = [
            option
            for option, name in _NEEDS_RESTART.items()
            if self._meter and getattr(settings, name) != getattr(self._settings, name)
        ]
        if changed:
            raise SettingsError(f"{', '.join(changed)} can't be changed while running: restart mitmdump")

    async def _drain(self) -> None:
        """Let what is under way come to its end, and its events to the rater, within the time there is."""
        assert self._settings
        assert self._meter
        timeout_s = self._settings.drain_timeout_s
        if not timeout_s:
            return
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        logger.info("phoebe: stopping: what is under way has %g seconds", timeout_s)
        servers = ctx.master.addons.get("proxyserver")
        if not await stopping.until_quiet(servers, deadline_s):
            logger.warning("phoebe: what is still under way is cut off")
            self._meter.end_all()
            stopping.cut_off(servers)
        await self._meter.finish(deadline_s)


def _warn_of_upstreams(before: Followed[Upstreams], now: Followed[Upstreams]) -> None:
    """Say what the operator should know of what options declare; what files say warns of itself."""
    if now.paths or now.value == before.value:  # mitmproxy configures more than once
        return
    for warning in now.value.warnings:
        logger.warning("phoebe: %s", warning)


def _use_rules(settings: Settings) -> None:
    GuardRules.in_force = GuardRules(
        body_bytes_max=settings.rules.body_bytes_max,
        routes=settings.rules.routes,
        engine_timeout_s=settings.engine_timeout_s,
        request_timeout_s=settings.request_timeout_s,
    )


def _client_limits(settings: Settings) -> ClientLimits:
    wanted = ClientLimits(settings.connections_max, settings.exchanges_max)
    crowd = wanted.within(allow_open_files(wanted.files()))
    if crowd != wanted:
        logger.warning(
            "phoebe: the limit on open files leaves room for %d connections and %d exchanges at a time",
            crowd.connections_max,
            crowd.exchanges_max,
        )
    return crowd


def _upstreams_of_mode(declared: Declared) -> Followed[Upstreams]:
    upstream = modes.upstream_of(ctx.options.mode)
    if upstream is None:
        raise SettingsError(
            "no model server: give --mode reverse:http://HOST:PORT or --set phoebe_upstream=URL"
        )
    return Followed.fixed(single(declare(upstream, declared), declared))
