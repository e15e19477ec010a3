"""A collector of OpenTelemetry: it takes spans by OTLP over gRPC, and keeps them."""

import threading
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.harness.waiting import wait_until

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


class Collector:
    """Takes spans on a free port of 127.0.0.1.

    names: of the services that sent any.
    """

    def __init__(self, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self.names: set[str] = set()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        export = grpc.unary_unary_rpc_method_handler(
            self._export, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
        )
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {"Export": export}),)
        )
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process sends its spans here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def spans(self, trace_id: str | None = None) -> list[Span]:
        """List the spans of a trace, or all, by their beginning."""
        with self._lock:
            found = [span for span in self._spans if trace_id in (None, span.trace_id.hex())]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def wait_for(self, count: int, trace_id: str | None = None) -> list[Span]:
        """Wait until there are so many spans."""
        wait_until(lambda: len(self.spans(trace_id)) >= count)
        return self.spans(trace_id)

    def close(self) -> None:
        self._server.stop(None).wait()

    def _export(
        self, request: ExportTraceServiceRequest, _: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        with self._lock:
            for resource in request.resource_spans:
                self.names |= {
                    each.value.string_value
                    for each in resource.resource.attributes
                    if each.key == "service.name"
                }
                for scope in resource.scope_spans:
                    self._spans.extend(scope.spans)
        return ExportTraceServiceResponse()


def attributes_of(span: Span) -> dict[str, object]:
    """What a span says."""
    return {each.key: _plain(each.value) for each in span.attributes}


def _plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_plain(each) for each in value.array_value.values)
    return None if kind is None else getattr(value, kind)
