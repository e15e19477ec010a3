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
from datetime import UTC, datetime
from weakref import WeakKeyDictionary

import uuid_utils
from mitmproxy import addonmanager, connection, ctx, exceptions, http

from phoebe_addon.answer.body import Removal
from phoebe_addon.answer.reader import RequestFacts
from phoebe_addon.apis.family import ErrorShape
from phoebe_addon.exchange import Admission, Ending, Exchange
from phoebe_addon.gate import gate
from phoebe_addon.gate.refusal import INTERNAL_ERROR, Refusal, RefusalReason
from phoebe_addon.gate.request_body import RequestBody
from phoebe_addon.gate.upstreams import Upstream, Upstreams
from phoebe_addon.meter import Meter
from phoebe_addon.proxy import flows, guard, lean, modes, startup_errors, stopping
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.open_files import ClientLimits, allow_open_files
from phoebe_addon.proxy.unasked import Unasked
from phoebe_addon.proxy.watched_answer import read_buffered, watcher
from phoebe_addon.settings.followed_files import FollowedFiles
from phoebe_addon.settings.options import OPTIONS, add_options
from phoebe_addon.settings.settings import Settings, SettingsError, read_settings
from phoebe_addon.spool.spool import SpoolError

logger = logging.getLogger(__name__)

# Documents up to here are kept whole and sent on, Content-Length and all, after their event is durable.
# Longer ones and those of unknown length are passed on as they come, framed so that the end can be held back.
_BUFFERED_ANSWER_BYTES_MAX = 8 * 1024 * 1024
_RETRY_AFTER = (("Retry-After", "5"),)
_STOPPING = Refusal(503, RefusalReason.NOT_READY, "The proxy is stopping.", _RETRY_AFTER)
_NEEDS_RESTART = {
    "phoebe_rater": "rater",
    "phoebe_rater_tls and what goes with it": "rater_credentials",
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
        self._files = FollowedFiles()
        self._meter: Meter | None = None
        # Not in the flows' metadata, which mitmproxy writes to files and shows.
        self._passes: WeakKeyDictionary[http.HTTPFlow, gate.Pass] = WeakKeyDictionary()
        self._exchanges: WeakKeyDictionary[http.HTTPFlow, Exchange] = WeakKeyDictionary()
        self._refreshing: asyncio.Task[None] | None = None
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
            settings = read_settings(ctx.options)
            upstreams = settings.upstreams or _upstreams_of_mode()
            self._refuse_late_change(settings)
        except (SettingsError, modes.ModeError) as error:
            if self._meter:
                raise exceptions.OptionsError(f"phoebe: {error}") from None
            logger.error("phoebe: %s", error)  # mitmproxy exits when an error was logged at startup
            return
        self._settings = settings
        self._files.use(upstreams, settings.edge_secrets)
        GuardRules.in_force = GuardRules(
            body_bytes_max=settings.rules.body_bytes_max,
            routes=settings.rules.routes,
            engine_timeout_s=settings.engine_timeout_s,
            request_timeout_s=settings.request_timeout_s,
        )
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
        self._refreshing = asyncio.create_task(self._files.keep_fresh(), name="phoebe files")
        self._stopping = stopping.Stopping(ctx.master, self._drain)
        logger.info("phoebe: metering; spool %s, rater %s", self._settings.spool, self._settings.rater)

    def done(self) -> None:
        """End what is open and close the spool. What is not delivered stays in it for the next start."""
        if self._stopping:
            self._stopping.undo()
            self._stopping = None
        if self._refreshing:
            self._refreshing.cancel()
        if self._meter:
            self._meter.close()
            self._meter = None

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Check the head of a request."""
        try:
            decision = self._check_head(flow)
        except Exception:
            logger.exception("phoebe: the gate failed; the request is refused")
            decision = INTERNAL_ERROR
        if isinstance(decision, Refusal):
            self._refuse(flow, decision)
        else:
            self._passes[flow] = decision

    async def request(self, flow: http.HTTPFlow) -> None:
        """Check the body and admit, or refuse."""
        if flow.response is not None:
            return
        try:
            refusal = await self._admit(flow)
        except Exception:
            logger.exception("phoebe: the admission failed; the request is refused")
            refusal = INTERNAL_ERROR
        if refusal:
            self._refuse(flow, refusal)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Open the answer; let a stream pass through the exchange."""
        exchange = self._exchanges.get(flow)
        if exchange is None or flow.response is None:
            return
        response = flow.response
        if exchange.answer_began(response.status_code, flows.joined_headers(response.headers)):
            response.headers.pop("content-encoding", None)
        response.headers[flows.REQUEST_ID_HEADER] = exchange.request_id
        length = response.headers.get("content-length", "")
        if exchange.streams or not length.isdecimal() or int(length[:20]) > _BUFFERED_ANSWER_BYTES_MAX:
            flows.hold_back_end(flow)
            response.stream = watcher(exchange)

    async def response(self, flow: http.HTTPFlow) -> None:
        """Make the event of a complete answer durable before its end is sent."""
        exchange = self._exchanges.get(flow)
        if exchange is None:
            self._count_guards_refusal(flow)
            return
        assert flow.response
        if not flow.response.stream:
            read_buffered(exchange, flow.response)
        await self._end(flow, exchange, Ending.ANSWER_COMPLETE)

    async def error(self, flow: http.HTTPFlow) -> None:
        """End an exchange whose client or engine went away."""
        exchange = self._exchanges.get(flow)
        if exchange is None:
            self._count_guards_refusal(flow)
            return
        ending = Ending.ENGINE_FAILED if guard.engine_failed(flow) else Ending.CLIENT_GONE
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

    def _check_head(self, flow: http.HTTPFlow) -> gate.Pass | Refusal:
        head = flows.request_head(flow)
        if self._settings:
            flows.hide_secret(flow, self._settings.forwarding)
        if self._settings is None or self._meter is None or not flows.is_reverse_proxied(flow):
            return Refusal(503, RefusalReason.NOT_READY, "The proxy is starting.", _RETRY_AFTER)
        if self._stopping and self._stopping.begun:
            return _STOPPING
        return gate.check_head(head, self._settings.rules, self._files.upstreams, self._files.edge_secrets)

    async def _admit(self, flow: http.HTTPFlow) -> Refusal | None:
        passed = self._passes.pop(flow)
        assert self._settings
        assert self._meter
        if self._stopping and self._stopping.begun:
            return _STOPPING  # since its head came
        if passed.is_free():
            return self._let_pass_free(flow, passed)
        body = gate.check_body(flow.request.raw_content or b"", passed, self._settings.rules)
        if isinstance(body, Refusal):
            return body
        if self._meter.under_way >= self._client_limits.exchanges_max:
            return gate.too_busy()
        admission = self._admission(flow, passed, body)
        try:
            exchange = await self._meter.admit(admission, flow.client_conn.id)
        except SpoolError as error:
            logger.error("phoebe: not admitted: %s", error)
            return Refusal(
                503, RefusalReason.NOT_DURABLE, "The request can't be recorded for billing now.", _RETRY_AFTER
            )
        self._exchanges[flow] = exchange
        flow.request.headers[flows.REQUEST_ID_HEADER] = exchange.request_id
        # Usage must be readable on the way.
        flow.request.headers["Accept-Encoding"] = "identity"
        flows.set_body(flow, body.content)
        self._let_pass(flow, passed.upstream)
        return None

    def _let_pass_free(self, flow: http.HTTPFlow, passed: gate.Pass) -> Refusal | None:
        assert self._settings
        assert self._meter
        body = gate.check_free_body(flow.request.raw_content or b"", passed, self._settings.rules)
        if isinstance(body, Refusal):
            return body
        self._meter.metrics.free.inc()
        flows.set_body(flow, body)
        self._let_pass(flow, passed.upstream)
        return None

    def _admission(self, flow: http.HTTPFlow, passed: gate.Pass, body: RequestBody) -> Admission:
        others = tuple(family for family in passed.match.route.families if family is not body.family)
        return Admission(
            request_id=str(uuid_utils.uuid7()),
            client_request_id=flow.request.headers.get(flows.REQUEST_ID_HEADER),
            identity=passed.identity,
            families=(body.family, *others),
            requested_model=body.models[-1] if body.models else None,
            request_facts=RequestFacts(body.prompts, body.samples, passed.upstream.engine),
            removal=Removal(body.added_switches),
            served_models=passed.upstream.models,
            start_time=datetime.fromtimestamp(flow.request.timestamp_start, UTC),
        )

    def _let_pass(self, flow: http.HTTPFlow, upstream: Upstream) -> None:
        assert self._settings
        flows.direct_to(flow, upstream, self._settings.forwarding)
        guard.admit(flow)

    async def _end(self, flow: http.HTTPFlow, exchange: Exchange, ending: Ending) -> None:
        if self._meter and not await self._meter.end(exchange, ending) and flow.killable:
            flow.kill()

    def _refuse(self, flow: http.HTTPFlow, refusal: Refusal) -> None:
        shape = (
            self._settings.rules.routes.error_shape(flows.path(flow)) if self._settings else ErrorShape.OPENAI
        )
        flow.response = guard.response_of(refusal, shape)
        if refusal is _STOPPING and not flow.request.is_http2:
            flow.response.headers["Connection"] = "close"
        self._count_refusal(refusal)

    def _count_guards_refusal(self, flow: http.HTTPFlow) -> None:
        refusal = guard.refusal_of(flow)
        if refusal:
            self._count_refusal(refusal)

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


def _upstreams_of_mode() -> Upstreams:
    upstream = modes.upstream_of(ctx.options.mode)
    if upstream is None:
        raise SettingsError(
            "no model server: give --mode reverse:http://HOST:PORT or --set phoebe_upstream=URL"
        )
    return Upstreams({}, upstream)
