"""Spans of what the service does: of calls, of batches and of runs. Imported only where tracing is turned on.

A call of the RatingService is a part of the trace that its metadata name (`traceparent`), if they do. A run
is a part of its call, or a trace of its own where the service runs it by schedule. A batch is a trace of its
own, with a link to what its stream's metadata name: streams last for days.

No span has a name of a customer, an amount or a text; with `identified` it says who calls.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, get_current_span, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from phoebe_proto.v1.metering_pb2 import StreamEventsRequest
from phoebe_runtime.spans import Spans
from rater_service.events.store import Result
from rater_service.hours import utc_text
from rater_service.rating.run import RateRequest, RateResult
from rater_service.service.call_guard import caller_name
from rater_service.service.methods import Handler, Interceptor

type Metadata = Iterable[tuple[str, str | bytes]]

_W3C = TraceContextTextMapPropagator()


class TracedWork:
    """Makes the spans of one service."""

    def __init__(self, spans: Spans) -> None:
        self._tracer = spans.tracer
        self._identified = spans.identified

    async def batch(
        self, request: StreamEventsRequest, metadata: Metadata, storing: Awaitable[list[Result]]
    ) -> list[Result]:
        """Store a batch. metadata: of its stream."""
        caller = get_current_span(_context_of(metadata)).get_span_context()
        span = self._tracer.start_span(
            "ingest",
            Context(),
            SpanKind.CONSUMER,
            {
                "phoebe.batch.events": len(request.events),
                "phoebe.producer_id": request.status.producer_id,
                **self._caller(),
            },
            [Link(caller)] if caller.is_valid else [],
        )
        with _ended(span):
            results = await storing
            span.set_attributes(_fates(results))
        return results

    async def run(self, request: RateRequest, rating: Awaitable[RateResult]) -> RateResult:
        """Rate a window."""
        span = self._tracer.start_span(
            "rate_window",
            attributes={
                "phoebe.run.mode": request.mode,
                "phoebe.run.window_start": utc_text(request.window_start),
                "phoebe.run.window_end": utc_text(request.window_end),
                "phoebe.run.dry_run": request.dry_run,
                "phoebe.run.reprice": request.reprice,
            },
        )
        with _ended(span):
            result = await rating
            span.set_attributes(
                {
                    "phoebe.run.id": result.run_id,
                    "phoebe.run.events": result.events_in_window,
                    "phoebe.run.rollups_written": result.rollups_written,
                    "phoebe.run.anomalies": tuple(anomaly.reason for anomaly in result.anomalies),
                }
            )
        return result

    def interceptor(self) -> Interceptor:
        """Give what puts spans around calls."""
        return _TracedCalls(self)

    @contextmanager
    def call(self, method: str, metadata: Metadata) -> Iterator[Span]:
        """Answer a call. method: /package.Service/Method."""
        service, _, name = method.removeprefix("/").partition("/")
        span = self._tracer.start_span(
            f"{service}/{name}",
            _context_of(metadata),
            SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name, **self._caller()},
        )
        with _ended(span):
            yield span

    def _caller(self) -> dict[str, str]:
        return {"phoebe.caller": caller_name()} if self._identified else {}


class _TracedCalls:
    """Puts a span around each call that one message answers."""

    def __init__(self, work: TracedWork) -> None:
        self._work = work

    def intercept(self, method: str, handler: Handler) -> Handler:
        """Give the method with the span around it; health and reflection are left alone."""
        if handler.unary_unary is None or not method.startswith("/phoebe."):
            return handler
        behaviour: Callable[[Any, Any], Awaitable[Any]] = handler.unary_unary

        async def answer(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            with self._work.call(method, context.invocation_metadata() or ()) as span:
                try:
                    return await behaviour(request, context)
                finally:
                    span.set_attribute("rpc.grpc.status_code", _number_of(context.code()))

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )


def _context_of(metadata: Metadata) -> Context:
    return _W3C.extract({name: value for name, value in metadata if isinstance(value, str)})


def _fates(results: Sequence[Result]) -> dict[str, int]:
    fates = Counter(result.fate for result in results)
    return {f"phoebe.batch.{fate.lower()}": count for fate, count in fates.items()}


def _number_of(code: Any) -> int:
    """Give the number of a status, which gRPC has as a number, or with its name; it is 0 unless set."""
    return int(code.value[0] if isinstance(code, grpc.StatusCode) else code or 0)


@contextmanager
def _ended(span: Span) -> Iterator[None]:
    """Be within a span, and end it. Of an error only its type is said: its words may have names in them."""
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except BaseException as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR))
            raise
