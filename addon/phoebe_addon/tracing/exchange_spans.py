"""The spans of one exchange.

    POST /v1/chat/completions     SERVER    from the request's first byte until its event is on disk
        gate                      INTERNAL  the check of the body, once it was there
        spool.admit               INTERNAL  until the admission was on disk
        chat                      CLIENT    from the engine's being asked to the end of its answer
        spool.write               INTERNAL  until the event was on disk

Times are nanoseconds since 1970. A trace that is not sampled has spans too, which cost little and are not
sent: its context is passed on.
"""

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context

from phoebe_addon.tracing.attributes import Attributes, of_event
from phoebe_proto.v1.metering_pb2 import MeteringEvent


class ExchangeSpans:
    """Spans of an exchange that has not ended.

    gate_passed_ns: when the gate had nothing against it; None: not so far. ending: whether its end is under
    way, of which there is one.
    """

    __slots__ = ("_context", "_engine", "_server", "_tracer", "ending", "gate_passed_ns")

    def __init__(self, tracer: Tracer, server: Span) -> None:
        self._tracer = tracer
        self._server = server
        self._context = set_span_in_context(server, Context())
        self._engine: Span | None = None
        self.gate_passed_ns: int | None = None
        self.ending = False

    @property
    def context(self) -> Context:
        """What whoever comes next belongs to: the engine's span, or else the exchange's own."""
        return set_span_in_context(self._engine, Context()) if self._engine else self._context

    def describe(self, attributes: Attributes) -> None:
        """Say something of the exchange."""
        self._server.set_attributes(attributes)

    def part(self, name: str, begin_ns: int, end_ns: int, error: str | None = None) -> None:
        """Put a part of Phoebe's own between two times. error: what went wrong, in one word."""
        if not self._server.is_recording():
            return
        span = self._tracer.start_span(name, self._context, start_time=begin_ns)
        _fail(span, error)
        span.end(max(begin_ns, end_ns))

    def ask(self, name: str, attributes: Attributes, now_ns: int) -> None:
        """Take note that the engine is asked."""
        self._engine = self._tracer.start_span(
            name, self._context, SpanKind.CLIENT, attributes, start_time=now_ns
        )

    def answered(self, status_code: int) -> None:
        """Take note of what the client is answered, whoever answers."""
        self._server.set_attribute("http.response.status_code", status_code)
        if status_code >= 500:
            _fail(self._server, str(status_code))
        if self._engine:
            _note_status(self._engine, status_code)

    def failed(self, error: str) -> None:
        """Take note of why the exchange failed, in one word."""
        _fail(self._server, error)
        _fail(self._engine, error)

    def metered(self, event: MeteringEvent) -> None:
        """Take note of what its event says."""
        self._server.set_attribute("phoebe.request_id", event.request_id)
        self._server.set_attribute("phoebe.outcome", event.outcome)
        if self._engine is None:
            return
        self._engine.set_attributes(of_event(event))
        if event.HasField("first_byte_time"):
            self._engine.add_event("first byte", timestamp=event.first_byte_time.ToNanoseconds())
        if event.outcome == "upstream_error":
            _fail(self._engine, event.outcome)
        if event.HasField("status_code"):
            _note_status(self._engine, event.status_code)

    def end(self, now_ns: int, answer_end_ns: int) -> None:
        """End the exchange, and the answer of its engine if that was asked."""
        self.ending = True
        if self._engine:
            self._engine.end(answer_end_ns)
        self._server.end(now_ns)


def _note_status(span: Span, status_code: int) -> None:
    span.set_attribute("http.response.status_code", status_code)
    if status_code >= 400:
        _fail(span, str(status_code))


def _fail(span: Span | None, error: str | None) -> None:
    if span and error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
