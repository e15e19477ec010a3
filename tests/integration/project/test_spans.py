"""Spans with the real libraries: how the variables OTEL_* are read."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from phoebe_runtime import spans as spans_module

NOBODY = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
QUIET = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal")


@pytest.fixture(autouse=True)
def loggers_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)
    loggers = [logging.getLogger(name) for name in QUIET]
    as_before = [(logger, logger.level, logger.propagate, logger.handlers) for logger in loggers]
    yield
    for logger, level, propagates, handlers in as_before:
        logger.setLevel(level)
        logger.propagate = propagates
        logger.handlers = handlers


def test_what_the_libraries_can_not_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(
        spans_module.TracingError, match=r"OTEL_\* can't be used: max_queue_size must be a positive"
    ):
        spans_module.open_spans(spans_module.Tracing.ON, {}, {})


def test_the_variables_name_the_service_or_else_phoebe_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ours,deployment.environment.name=lab")
    describing = {"service.name": "phoebe-addon", "service.instance.id": "gateway-0", "service.version": ""}
    spans = spans_module.open_spans(spans_module.Tracing.IDENTIFIED, describing, {})
    assert spans
    try:
        span: Any = spans.tracer.start_span("x")
        said = span.resource.attributes
        assert (said["service.name"], said["service.instance.id"]) == ("ours", "gateway-0")
        assert said["deployment.environment.name"] == "lab"
        assert "service.version" not in said
        assert spans.identified
    finally:
        spans.close()
