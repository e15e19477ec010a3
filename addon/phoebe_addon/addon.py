"""The story of an exchange: mitmproxy's hooks on one side, the gate and the meter on the other.

    requestheaders   the gate checks the head
    request          the gate checks the body; the admission is made durable; only then the guard lets it pass
    responseheaders  the answer is opened; a stream is watched chunk by chunk
    response         the event is made durable; only then mitmproxy sends the end of the answer
    error            the client or the engine went away: the event is made durable

A refused exchange gets its response in one of the first two and never reaches an engine. A flow without an
exchange was read from a file; the addon leaves it alone.
"""

import logging
import time
from datetime import UTC, datetime

import uuid_utils
from mitmproxy import connection, ctx, http

from phoebe_addon.exchange.admission import admission_of
from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.exchange import Exchange, Stage
from phoebe_addon.formats.traceparent import trace_id_of
from phoebe_addon.gate import gate
from phoebe_addon.gate.identity import HeaderNames
from phoebe_addon.gate.preflight import Preflight
from phoebe_addon.gate.refusal import (
    AUTH_BUSY,
    INTERNAL_ERROR,
    NOT_DURABLE,
    STARTING,
    STOPPING,
    TOO_BUSY,
    Refusal,
)
from phoebe_addon.gate.request_body import RequestBody
from phoebe_addon.lifecycle import Lifecycle
from phoebe_addon.meter import Meter
from phoebe_addon.proxy import flows, log_output
from phoebe_addon.proxy.driving import driven
from phoebe_addon.proxy.guard import exchange_of, response_of
from phoebe_addon.proxy.guard_rules import GuardRules
from phoebe_addon.proxy.unasked import Unasked
from phoebe_addon.proxy.unfolding import LongReading
from phoebe_addon.proxy.watched_answer import open_answer, read_buffered
from phoebe_addon.settings.settings import Settings
from phoebe_addon.spool.spool import SpoolError

logger = logging.getLogger(__name__)


class PhoebeAddon(Lifecycle):
    """Meters what passes through a mitmproxy and refuses what can't be metered."""

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Check the head of a request."""
        exchange = exchange_of(flow)
        if exchange is None:
            return
        began_s = time.perf_counter()
        try:
            decision = self._check_head(flow, exchange)
        except Exception:
            logger.exception("phoebe: the gate failed; the request is refused")
            decision = INTERNAL_ERROR
        exchange.gate_s = time.perf_counter() - began_s
        if isinstance(decision, Refusal):
            self._refuse(flow, exchange, decision)
        elif isinstance(decision, Preflight):
            self._answer(flow, decision)
        if self._traced:
            self._traced.begin(flow, exchange)

    @driven
    async def request(self, flow: http.HTTPFlow) -> None:
        """Check the body and admit, or refuse."""
        exchange = exchange_of(flow)
        if exchange is None or flow.response is not None:
            return
        try:
            refusal = await self._admit(flow, exchange)
        except Exception:
            logger.exception("phoebe: the admission failed; the request is refused")
            refusal = INTERNAL_ERROR
        if refusal:
            self._refuse(flow, exchange, refusal)
        if self._traced:
            self._traced.checked(flow, exchange)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Open the answer of an engine; let a stream pass through the metering."""
        exchange = exchange_of(flow)
        if exchange is None or flow.response is None or exchange.stage is not Stage.ASKED:
            return
        exchange.answer_began()
        if exchange.metering:
            open_answer(flow, flow.response, exchange.metering)

    @driven
    async def response(self, flow: http.HTTPFlow) -> None:
        """Make the event of a complete answer durable before its end is sent."""
        exchange = exchange_of(flow)
        if exchange is None or flow.response is None:
            return
        if exchange.metering and exchange.stage is Stage.ANSWERING and not flow.response.stream:
            exchange.answer_came()
            await self._turns.take(read_buffered(exchange.metering, flow.response))
        await self._end(flow, exchange, Ending.ANSWER_COMPLETE)

    @driven
    async def error(self, flow: http.HTTPFlow) -> None:
        """End an exchange whose client or engine went away."""
        exchange = exchange_of(flow)
        if exchange is None:
            return
        ending = Ending.ENGINE_FAILED if exchange.engine_failure else Ending.CLIENT_GONE
        await self._end(flow, exchange, ending)

    async def long_reading(self, reading: LongReading[object]) -> None:
        """Read what is long of an answer in turns: the other exchanges go on meanwhile."""
        await self._turns.take(reading.steps)

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
        logger.error("phoebe: %s", unasked)
        if self._meter:
            self._meter.metrics.unasked_bytes.inc(unasked.byte_count)

    async def client_disconnected(self, client: connection.Client) -> None:
        """End what is still open on a connection that is gone."""
        if self._meter:
            await self._meter.end_connection(client.id)

    def _check_head(self, flow: http.HTTPFlow, exchange: Exchange) -> gate.Pass | Preflight | Refusal:
        head = flows.request_head(flow)
        if self._settings:
            flows.hide_secret(flow, self._settings.forwarding)
        if self._settings is None or self._meter is None or not flows.is_reverse_proxied(flow):
            return STARTING
        if self._stopping and self._stopping.refuses:
            return STOPPING
        checked = gate.check_head(
            head, self._settings.rules, self._upstreams.value, self._settings.edge_secrets.value
        )
        if isinstance(checked, gate.Pass):
            return self._begin(exchange, checked, self._settings, self._meter)
        return checked

    def _begin(
        self, exchange: Exchange, passed: gate.Pass, settings: Settings, meter: Meter
    ) -> gate.Pass | Refusal:
        """Count an exchange as under way, unless too many are."""
        if meter.under_way.of_auth_id(passed.identity.auth_id) >= settings.exchanges_per_auth_max:
            return AUTH_BUSY
        if len(meter.under_way) >= self._client_limits.exchanges_max:
            return TOO_BUSY
        exchange.pass_head(passed)
        meter.begin(exchange)
        return passed

    async def _admit(self, flow: http.HTTPFlow, exchange: Exchange) -> Refusal | None:
        passed = exchange.passed
        assert passed
        assert self._settings
        if self._stopping and self._stopping.refuses:
            return STOPPING  # since its head came
        began_s = time.perf_counter()
        content = flow.request.raw_content or b""
        check = gate.check_free_body if passed.is_free() else gate.check_body
        checked = await self._turns.take(check(content, passed, self._settings.rules))
        # What was so before the body was looked through need not be so any more.
        if isinstance(checked, Refusal):
            return checked
        if self._meter is None or (self._stopping and self._stopping.refuses):
            return STOPPING
        if exchange.stage is Stage.ENDED:
            return None  # its client is gone; the guard lets nothing pass that has ended
        self._meter.metrics.gate_seconds.observe(exchange.gate_s + time.perf_counter() - began_s)
        if isinstance(checked, RequestBody):
            return await self._admit_metered(flow, exchange, passed, checked)
        flows.direct_to(flow, passed.upstream, self._settings.forwarding, checked)
        self._meter.let_free(exchange)
        return None

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
            trace_id=trace_id_of(flow.request.headers.get("traceparent", "")),
        )
        flow.request.headers[flows.REQUEST_ID_HEADER] = admission.request_id
        # Usage must be readable on the way.
        flow.request.headers["Accept-Encoding"] = "identity"
        flows.direct_to(flow, passed.upstream, self._settings.forwarding, body.content)
        try:
            # Last, because the guard lets pass what is admitted.
            await self._meter.admit(exchange, admission)
        except SpoolError:
            return NOT_DURABLE  # the spool says why, when that begins and when it ends
        return None

    async def _end(self, flow: http.HTTPFlow, exchange: Exchange, ending: Ending) -> None:
        if self._traced:
            self._traced.answered(flow, exchange)
        if exchange.refusal and exchange.stage is not Stage.ENDED:
            self._count_refusal(flow, exchange, exchange.refusal)
        if self._meter and not await self._meter.end(exchange, ending) and flow.killable:
            flow.kill()

    def _answer(self, flow: http.HTTPFlow, preflight: Preflight) -> None:
        flow.response = flows.preflight_response(preflight)
        if self._meter:
            self._meter.metrics.preflights.inc()

    def _refuse(self, flow: http.HTTPFlow, exchange: Exchange, refusal: Refusal) -> None:
        exchange.refuse(refusal)
        flow.response = response_of(refusal, GuardRules.in_force.routes.error_shape(exchange.path))
        if refusal is STOPPING and not flow.request.is_http2:
            flow.response.headers["Connection"] = "close"

    def _count_refusal(self, flow: http.HTTPFlow, exchange: Exchange, refusal: Refusal) -> None:
        names = self._settings.rules.header_names if self._settings else HeaderNames()
        identity = exchange.passed.identity if exchange.passed else None
        log_output.log_refusal(flow, refusal, names, identity)
        if self._meter:
            self._meter.metrics.refused.labels(refusal.reason.value).inc()
