"""Where spans are made and sent from: what turns it on, and what it refuses."""

import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from phoebe_runtime import spans as spans_module

QUIET = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal")


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    as_before = [
        (logger, logger.level, logger.propagate, logger.handlers) for logger in map(logging.getLogger, QUIET)
    ]
    yield
    for logger, level, propagates, handlers in as_before:
        logger.setLevel(level)
        logger.propagate = propagates
        logger.handlers = handlers


@pytest.mark.parametrize(
    ("tracing", "environment"),
    [
        ("off", {}),
        ("on", {"OTEL_SDK_DISABLED": "True"}),
        ("identified", {"OTEL_TRACES_EXPORTER": "none"}),
    ],
    ids=["not asked for", "disabled", "not exported"],
)
def test_nothing_is_made_unless_it_is_wanted(tracing: str, environment: dict[str, str]) -> None:
    assert spans_module.open_spans(spans_module.Tracing(tracing), {}, environment) is None


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("OTEL_TRACES_EXPORTER", "jaeger", "there is otlp, and none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf", "by grpc only"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "by grpc only"),
        ("OTEL_TRACES_SAMPLER", "allways_on", "none of always_off, always_on, parentbased_always_off"),
        ("OTEL_TRACES_SAMPLER_ARG", "half", "no number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5", "no number from 0 to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "no number from 0 to 1"),
    ],
)
def test_a_variable_that_can_not_be_used_is_named(name: str, value: str, words: str) -> None:
    environment = {"OTEL_TRACES_SAMPLER": "traceidratio", name: value}
    with pytest.raises(spans_module.TracingError, match=words) as refused:
        spans_module.open_spans(spans_module.Tracing.ON, {}, environment)
    assert str(refused.value).startswith(f"{name} is {value!r}")


def test_without_the_extra_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(spans_module.TracingError, match=r"needs the extra `otel`: opentelemetry\.sdk\.trace"):
        spans_module.open_spans(spans_module.Tracing.ON, {}, {})


def test_what_is_lost_is_said_once_whatever_the_library_says(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exporter:
        succeeds = False

        def export(self, _: object) -> Any:
            from opentelemetry.sdk.trace.export import SpanExportResult

            return SpanExportResult.SUCCESS if self.succeeds else SpanExportResult.FAILURE

    exporter = Exporter()
    told = spans_module._ToldExporter(exporter)
    queue = logging.getLogger(QUIET[1])
    monkeypatch.setattr(queue, "filters", [])  # the library's own, which remembers for some seconds
    for _ in range(5):
        queue.warning("Queue full, dropping %s.", "Span")
        told.export([])
    exporter.succeeds = True
    told.export([])
    told.export([])
    lines = [record.getMessage().removeprefix("phoebe: ") for record in caplog.records]
    assert lines[:2] == [
        "of the spans: Queue full, dropping Span.",
        "spans can't be sent to the collector, and are lost; metering goes on",
    ]
    assert [line.partition(",")[0] for line in lines[2:]] == ["spans are sent again"]
