"""Spans of exchanges: a real mitmdump, a real collector's protocol, engines that hear of the trace."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from rig.ports import reserve_port
from tests.e2e.conftest import IDENTITY
from tests.e2e.test_exchanges import CHAT, CHUNKS, COMPLETION, DONE, USAGE_CHUNK
from tests.harness import engine as engines
from tests.harness.collector import Collector, attributes_of
from tests.harness.engine import Engine
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET, PROMPT = "a-secret-of-the-client", "words-of-a-prompt"
SERVER, CLIENT, INTERNAL = 2, 3, 1
ERROR = 2


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    opened = Collector()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def traced(
    collector: Collector,
    shared_engine: Engine,
    rater: EventRecorder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    started = Proxy(
        tmp_path_factory.mktemp("traced"),
        *("--mode", f"reverse:{shared_engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_tracing": "on"},
        environment=collector.environment,
    )
    yield started
    assert started.stop() == 0
    assert "Traceback" not in started.log()
    assert " ERROR " not in started.log()


def ask(proxy: Proxy, trace_id: str, path: str = CHAT, flags: str = "01", **headers: str) -> httpx.Response:
    sent = {**IDENTITY, "traceparent": f"00-{trace_id}-{PARENT}-{flags}", "Authorization": SECRET, **headers}
    body = {"model": "m", "stream": "/stream" in path, "messages": [{"role": "user", "content": PROMPT}]}
    return httpx.post(
        f"{proxy.url}{path.removesuffix('/stream')}?key={SECRET}", json=body, headers=sent, timeout=20
    )


@pytest.mark.parametrize("lane", ["", "/stream"], ids=["plain", "stream"])
def test_an_exchange_is_a_span_in_the_clients_trace_with_its_parts(
    traced: Proxy, engine: Engine, rater: EventRecorder, collector: Collector, lane: str
) -> None:
    trace_id = ("2" if lane else "1") * 32
    engine.script = engines.stream([*CHUNKS, USAGE_CHUNK, DONE]) if lane else engines.document(COMPLETION)
    answer = ask(traced, trace_id, CHAT + lane, tracestate="vendor=1")
    assert answer.status_code == 200
    server, *parts = collector.wait_for(5, trace_id)

    assert (server.name, server.kind, server.parent_span_id.hex()) == (f"POST {CHAT}", SERVER, PARENT)
    assert {(part.name, part.kind) for part in parts} == {
        ("gate", INTERNAL), ("spool.admit", INTERNAL), ("chat", CLIENT), ("spool.write", INTERNAL),
    }  # fmt: skip
    for part in parts:
        assert part.parent_span_id == server.span_id
        assert server.start_time_unix_nano <= part.start_time_unix_nano <= part.end_time_unix_nano
        assert part.end_time_unix_nano <= server.end_time_unix_nano
    (asked,) = engine.requests
    call = next(part for part in parts if part.kind == CLIENT)
    assert asked.headers["traceparent"] == f"00-{trace_id}-{call.span_id.hex()}-01"
    assert asked.headers["tracestate"] == "vendor=1"

    event = rater.wait_for(lambda event: event.trace_id == trace_id)
    said = attributes_of(server)
    assert said["phoebe.request_id"] == event.request_id == answer.headers["x-request-id"]
    assert (said["http.route"], said["url.path"], said["http.response.status_code"]) == (CHAT, CHAT, 200)
    of_call = attributes_of(call)
    assert of_call["gen_ai.usage.input_tokens"] == event.prompt_tokens == 11
    assert of_call["gen_ai.response.model"] == "engine/model"
    assert [each.name for each in call.events] == ["first byte"]
    everything = "\n".join(map(str, [server, *parts]))
    assert not [text for text in (SECRET, PROMPT, IDENTITY["X-Saturn-Auth-Id"]) if text in everything]


def test_an_exchange_without_a_trace_begins_one_and_its_event_has_it(
    traced: Proxy, engine: Engine, rater: EventRecorder, collector: Collector
) -> None:
    engine.script = engines.document(COMPLETION)
    answer = ask(traced, "0" * 32, tracestate="nobody=1")
    event = rater.wait_for(lambda event: event.request_id == answer.headers["x-request-id"])
    assert re.fullmatch("[0-9a-f]{32}", event.trace_id)
    server = collector.wait_for(5, event.trace_id)[0]
    assert not server.parent_span_id
    assert engine.requests[0].headers["traceparent"].startswith(f"00-{event.trace_id}-")
    assert "tracestate" not in engine.requests[0].headers


def test_what_the_client_does_not_sample_is_not_sent_and_still_passed_on(
    traced: Proxy, engine: Engine, rater: EventRecorder, collector: Collector
) -> None:
    engine.script = engines.document(COMPLETION)
    ask(traced, "3" * 32, flags="00")
    ask(traced, "4" * 32)
    collector.wait_for(5, "4" * 32)
    assert collector.spans("3" * 32) == []
    found = re.fullmatch(f"00-{'3' * 32}-([0-9a-f]{{16}})-00", engine.requests[0].headers["traceparent"])
    assert found
    assert found[1] != PARENT
    assert rater.wait_for(lambda event: event.trace_id == "3" * 32).outcome == "completed"


def test_refusals_failures_and_free_requests_are_spans_too(
    traced: Proxy, engine: Engine, collector: Collector
) -> None:
    engine.script = engines.document({}, status="503 Service Unavailable")
    assert ask(traced, "5" * 32).status_code == 503
    server, *parts = collector.wait_for(5, "5" * 32)
    (call,) = [part for part in parts if part.kind == CLIENT]
    assert (server.status.code, call.status.code) == (ERROR, ERROR)
    assert attributes_of(call)["error.type"] == "503"

    assert ask(traced, "6" * 32, path="/v1/nothing").status_code == 404
    (refused,) = collector.wait_for(1, "6" * 32)
    assert (refused.name, attributes_of(refused)["http.response.status_code"]) == ("POST", 404)
    assert attributes_of(refused)["phoebe.refusal"]

    engine.script = engines.document({"data": []})
    headers = {**IDENTITY, "traceparent": f"00-{'7' * 32}-{PARENT}-01"}
    assert httpx.get(f"{traced.url}/v1/models", headers=headers).status_code == 200
    spans = collector.wait_for(3, "7" * 32)
    assert [span.name for span in spans] == ["GET /v1/models", "gate", "GET"]


def test_a_collector_that_is_away_costs_spans_and_one_line_and_holds_up_nothing(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document(COMPLETION)
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{reserve_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    options = {"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_tracing": "identified"}
    proxy = Proxy(tmp_path, "--mode", f"reverse:{engine.url}", options=options, environment=environment)
    try:
        for digit in "89ab":
            assert ask(proxy, digit * 32).status_code == 200
        proxy.wait_for_log("spans can't be sent to the collector, and are lost; metering goes on")
        for digit in "89ab":
            assert rater.wait_for(lambda event: event.trace_id == digit * 32).outcome == "completed"  # noqa: B023
    finally:
        assert proxy.stop() == 0
    lines = [line for line in proxy.log().splitlines() if "span" in line.lower() or "opentelemetry" in line]
    assert all("spans can't be sent" in line for line in lines), lines
    assert "Traceback" not in proxy.log()
