"""Spans with the real libraries, in both halves: how the variables OTEL_* are read."""

import importlib
import logging
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

NOBODY = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
QUIET = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal")


@pytest.fixture(params=["phoebe_addon", "rater_service"])
def half(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)
    loggers = [logging.getLogger(name) for name in QUIET]
    as_before = [(logger, logger.level, logger.propagate, logger.handlers) for logger in loggers]
    yield importlib.import_module(f"{request.param}.spans")
    for logger, level, propagates, handlers in as_before:
        logger.setLevel(level)
        logger.propagate = propagates
        logger.handlers = handlers


def test_what_the_libraries_can_not_read_is_told(half: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(half.TracingError, match=r"OTEL_\* can't be used: max_queue_size must be a positive"):
        half.open_spans(half.Tracing.ON, {}, {})


def test_the_variables_name_the_service_or_else_phoebe_does(
    half: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=ours,deployment.environment.name=lab")
    describing = {"service.name": "phoebe-addon", "service.instance.id": "gateway-0", "service.version": ""}
    spans = half.open_spans(half.Tracing.IDENTIFIED, describing, {})
    try:
        span = spans.tracer.start_span("x")
        said = span.resource.attributes
        assert (said["service.name"], said["service.instance.id"]) == ("ours", "gateway-0")
        assert said["deployment.environment.name"] == "lab"
        assert "service.version" not in said
        assert spans.identified
    finally:
        spans.close()
