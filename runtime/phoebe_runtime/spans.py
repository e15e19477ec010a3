"""Spans of OpenTelemetry, and their way to a collector: set up by the standard variables OTEL_*.

The libraries come with the extra `otel`. They are imported only where tracing is turned on.

Spans wait in memory, OTEL_BSP_MAX_QUEUE_SIZE of them at most, and a thread sends them. Nobody waits for it,
but at the end, and then for CLOSE_MAX_S: a collector that is away costs spans, and nothing else.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from phoebe_runtime.troubles import Trouble

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

logger = logging.getLogger(__name__)

CLOSE_MAX_S = 2.0
# As the specification has them; the library would take another word for the default.
_SAMPLERS = frozenset(
    f"{prefix}{name}"
    for prefix in ("", "parentbased_")
    for name in ("always_on", "always_off", "traceidratio")
)
_SENDING = "opentelemetry.exporter.otlp"
_QUEUE = "opentelemetry.sdk._shared_internal"


class Tracing(StrEnum):
    """Whether spans are made, and what they say."""

    OFF = "off"
    ON = "on"
    """They name nobody who pays or asks."""
    IDENTIFIED = "identified"


class TracingError(ValueError):
    """Tracing can't be turned on. The message says what to do."""


class Spans:
    """Where spans are made and sent from.

    tracer: makes them. identified: whether they may name who pays and who asks.
    """

    def __init__(self, provider: Any, *, identified: bool) -> None:
        self._provider = provider
        self.tracer: Tracer = provider.get_tracer("phoebe")
        self.identified = identified

    def close(self) -> None:
        """Send what waits, as far as that goes within CLOSE_MAX_S."""
        closing = threading.Thread(target=self._provider.shutdown, name="the last spans", daemon=True)
        closing.start()
        closing.join(CLOSE_MAX_S)


def open_spans(
    tracing: Tracing, describing: Mapping[str, str], environment: Mapping[str, str]
) -> Spans | None:
    """Begin to make spans; None: they are not asked for, or the environment turns them off.

    describing: what the variables need not say of the service, by OpenTelemetry's names; empty values count
    as none. environment: the process's. Raises TracingError.
    """
    if tracing is Tracing.OFF or not _is_wanted(environment):
        return None
    _refuse_unusable(environment)
    try:
        provider = _make_provider({name: value for name, value in describing.items() if value})
    except ModuleNotFoundError as error:
        raise TracingError(f"tracing needs the extra `otel`: {error.name} is not installed") from None
    except (ValueError, OSError) as error:
        raise TracingError(f"the variables OTEL_* can't be used: {error}") from error
    return Spans(provider, identified=tracing is Tracing.IDENTIFIED)


def _is_wanted(environment: Mapping[str, str]) -> bool:
    disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return not disabled and environment.get("OTEL_TRACES_EXPORTER", "") != "none"


def _refuse_unusable(environment: Mapping[str, str]) -> None:
    """Refuse what the library would only warn of, or not look at.

    What is misspelt must not count as not given.
    """
    exporter = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter != "otlp":
        raise TracingError(f"OTEL_TRACES_EXPORTER is {exporter!r}: there is otlp, and none")
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environment.get(name) or "grpc"
        if protocol != "grpc":
            raise TracingError(f"{name} is {protocol!r}: spans are sent by grpc only, usually to port 4317")
    sampler = (environment.get("OTEL_TRACES_SAMPLER") or "always_on").lower()
    if sampler not in _SAMPLERS:
        known = ", ".join(sorted(_SAMPLERS))
        raise TracingError(f"OTEL_TRACES_SAMPLER is {sampler!r}, which is none of {known}")
    if sampler.endswith("traceidratio"):
        _check_ratio(environment.get("OTEL_TRACES_SAMPLER_ARG") or "1")


def _check_ratio(given: str) -> None:
    try:
        fits = 0 <= float(given) <= 1
    except ValueError:
        fits = False
    if not fits:
        raise TracingError(f"OTEL_TRACES_SAMPLER_ARG is {given!r}, which is no number from 0 to 1")


def _make_provider(describing: Mapping[str, str]) -> Any:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    given = OTELResourceDetector().detect().attributes
    provider = TracerProvider(resource=Resource.create({**describing, **given}), shutdown_on_exit=False)
    exporter: Any = _ToldExporter(OTLPSpanExporter())
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


class _ToldExporter:
    """An exporter whose trouble is told in Phoebe's log, and not by the library's lines for every batch."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self._trouble = Trouble(logger, "spans are sent again")
        logging.getLogger(_SENDING).setLevel(logging.CRITICAL)
        of_queue = logging.getLogger(_QUEUE)
        of_queue.propagate = False
        of_queue.handlers = [_Told(self._trouble)]

    def export(self, spans: Sequence[Any]) -> Any:
        """Send spans. Returns how that went."""
        result = self._exporter.export(spans)
        if result.name == "SUCCESS":
            self._trouble.is_over()
        else:
            self._trouble.met("spans can't be sent to the collector, and are lost; metering goes on")
        return result

    def shutdown(self) -> None:
        """Send no more."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 0) -> bool:
        """Wait for what is on its way."""
        return bool(self._exporter.force_flush(timeout_millis))


class _Told(logging.Handler):
    """What the library says of spans that wait."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(logging.WARNING)
        self._trouble = trouble

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, unless it was just said."""
        cause = record.exc_info[1] if record.exc_info else None
        self._trouble.met(f"of the spans: {record.getMessage()}{f' {cause!r}' if cause else ''}")
