"""The traces that exchanges are a part of: taken from clients, and passed on to engines."""

import time
from weakref import WeakKeyDictionary

from mitmproxy import http
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from phoebe_addon.exchange.exchange import Exchange, Stage
from phoebe_addon.tracing.attributes import name_of_call, name_of_request, of_call, of_identity, of_request
from phoebe_addon.tracing.exchange_spans import ExchangeSpans
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from phoebe_runtime.spans import Spans

_W3C = TraceContextTextMapPropagator()
_NS_PER_S = 1_000_000_000


class TracedExchanges:
    """The spans of the exchanges that have not ended. An exchange that began before has none."""

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._of: WeakKeyDictionary[Exchange, ExchangeSpans] = WeakKeyDictionary()

    def of(self, exchange: Exchange) -> ExchangeSpans | None:
        """Give the spans of an exchange, unless its end is under way."""
        spans = self._of.get(exchange)
        return None if spans is None or spans.ending else spans

    def begin(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        """Begin the span of an exchange whose head the gate has looked at.

        From here on the request's headers say the exchange's own context, so that its event has the trace.
        """
        request, passed = flow.request, exchange.passed
        server = self._spans.tracer.start_span(
            name_of_request(request, passed),
            _W3C.extract(request.headers),
            SpanKind.SERVER,
            of_request(request, passed, encrypted=flow.client_conn.tls_established),
            start_time=_nanoseconds(request.timestamp_start),
        )
        spans = self._of[exchange] = ExchangeSpans(self._spans.tracer, server)
        if passed and self._spans.identified:
            spans.describe(of_identity(passed.identity))
        _put_context(request, spans)

    def checked(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        """Take note that the gate has decided on the body: the engine is asked, or the client is refused."""
        spans = self.of(exchange)
        if spans is None:
            return
        now_ns = time.time_ns()
        begin_ns = _nanoseconds(flow.request.timestamp_end or flow.request.timestamp_start)
        refusal = exchange.refusal
        spans.part(
            "gate", begin_ns, spans.gate_passed_ns or now_ns, refusal.reason.value if refusal else None
        )
        if exchange.passed is None or exchange.stage not in (Stage.ADMITTED, Stage.FREE):
            return
        admission = exchange.metering.admission if exchange.metering else None
        described = of_call(flow.request, exchange.passed.upstream, admission)
        spans.ask(name_of_call(flow.request, admission), described, now_ns)
        _put_context(flow.request, spans)

    def answered(self, flow: http.HTTPFlow, exchange: Exchange) -> None:
        """Take note of how an exchange comes to its end."""
        spans = self.of(exchange)
        if spans is None:
            return
        if flow.response:
            spans.answered(flow.response.status_code)
        if exchange.refusal:
            spans.describe({"phoebe.refusal": exchange.refusal.reason.value})
        elif exchange.engine_failure:
            spans.failed(exchange.engine_failure.name.lower())

    def metered(self, exchange: Exchange, event: MeteringEvent) -> None:
        """Take note of the event of an exchange that ends."""
        if spans := self._of.get(exchange):
            spans.metered(event)

    def close(self) -> None:
        """Send the last spans, as far as that goes at once."""
        self._spans.close()


def _put_context(request: http.Request, spans: ExchangeSpans) -> None:
    for name in _W3C.fields:
        request.headers.pop(name, None)
    _W3C.inject(request.headers, spans.context)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * _NS_PER_S)
