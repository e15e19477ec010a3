"""How exchanges end: each in exactly one event, with the right outcome and the last counts known."""

import json
import signal
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from phoebe_proto.v1 import metering_pb2
from rig.ports import reserve_port
from tests.e2e.conftest import IDENTITY
from tests.e2e.test_fair_share import dense
from tests.e2e.test_slow_clients import MIB
from tests.harness import engine as engines
from tests.harness.engine import Engine, EngineRequest, Line, Script
from tests.harness.engine_streams import DONE, ERROR, VLLM, VLLM_USAGE
from tests.harness.events import EventRecorder
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import Proxy
from tests.harness.raw_client import CutOffError, RawClient, post

CHAT = "/v1/chat/completions"
STREAMING = b'{"model":"m","stream":true}'
USAGE = {"prompt_tokens": 1234, "completion_tokens": 5678}
ANSWER = json.dumps({"model": "engine/model", "choices": [], "usage": USAGE}).encode()
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

# What came before a stream ended without `[DONE]`, its outcome and its counts.
LAST_WORDS: dict[str, tuple[bytes, str, tuple[int, int] | None]] = {
    "usage": (VLLM + VLLM_USAGE, "completed", (17, 3)),
    "finish reason": (VLLM, "completed", None),
    "half of the usage": (VLLM + VLLM_USAGE[:-40], "completed", None),
    "content": (VLLM.split(b"\n\n")[0] + b"\n\n", "upstream_error", None),
}
GARBAGE = {
    "another protocol": b"SSH-2.0-OpenSSH\r\n\r\n",
    "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Type: appl",
    "no status": b"HTTP/1.1 two hundred\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 2\r\n\r\n{}",
    "two framings": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "a name with a space": b"HTTP/1.1 200 OK\r\nContent Length: 2\r\nContent-Length: 2\r\n\r\n{}",
}

ENGINE_TIMEOUT_S = 1.5
CLIENT_TIMEOUT_S = 1


def running_usage(completion_tokens: int, padding: str = "") -> bytes:
    """An event of an engine that was asked for usage on every one."""
    choices = [{"index": 0, "delta": {"content": padding}, "finish_reason": None}]
    usage = {"prompt_tokens": 7, "completion_tokens": completion_tokens}
    return b"data: " + json.dumps({"model": "m", "choices": choices, "usage": usage}).encode() + b"\n\n"


def says(data: bytes, *, reset: bool = False) -> Script:
    """Answer with these bytes and close the connection. reset: as a process does that was killed."""

    def script(_request: EngineRequest, line: Line) -> None:
        line.send(data)
        if reset:
            line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.connection.close()
        else:
            line.connection.shutdown(socket.SHUT_RDWR)

    return script


def hangs_after(data: bytes = b"") -> Script:
    """Say this, and then nothing until the proxy gives up."""

    def script(_request: EngineRequest, line: Line) -> None:
        line.send(data)
        line.wait_until_closed()

    return script


def ask(tag: str, body: bytes = STREAMING, resource: str = "resource-1") -> bytes:
    return post(CHAT, {**IDENTITY, "X-Saturn-Resource-Id": resource, "X-Request-Id": tag}, body)


def counts(event: metering_pb2.MeteringEvent) -> tuple[int, int] | None:
    """The prompt and completion tokens of an event; None when it has none, nor any trace of them."""
    if event.usage_found:
        return event.prompt_tokens, event.completion_tokens
    assert not event.HasField("prompt_tokens")
    assert not event.HasField("completion_tokens")
    return None


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


def error_code(body: bytes) -> object:
    return json.loads(body)["error"]["code"]


@pytest.fixture(scope="module")
def hasty(
    shared_engine: Engine, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy that soon gives up a silent engine, and lets clients be idle for as long as mitmproxy does."""
    folder = tmp_path_factory.mktemp("hasty")
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        # A connection that waits to be accepted fills a queue of length 0; the next gets no answer at all.
        socket.create_server(("127.0.0.1", 0), backlog=0) as busy,
        socket.create_connection(busy.getsockname()),
    ):
        upstreams = {
            "mute-tls": f"https://127.0.0.1:{mute.getsockname()[1]}",
            "busy": f"http://127.0.0.1:{busy.getsockname()[1]}",
            "gone": f"http://127.0.0.1:{reserve_port()}/below",
            "default": shared_engine.url,
        }
        path = folder / "upstreams.yaml"
        path.write_text(json.dumps({name: {"url": url} for name, url in upstreams.items()}))
        proxy = Proxy(
            folder,
            options={
                "phoebe_rater": f"127.0.0.1:{rater.port}",
                "phoebe_upstream": str(path),
                "phoebe_usage": "continuous",
                "phoebe_engine_timeout": str(ENGINE_TIMEOUT_S),
            },
        )
        yield proxy
        assert proxy.stop() == 0
        assert "Traceback" not in proxy.log()


@pytest.fixture(scope="module")
def patient(
    shared_engine: Engine, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy that never gives up an engine, and soon an idle client."""
    proxy = Proxy(
        tmp_path_factory.mktemp("patient"),
        *("--mode", f"reverse:{shared_engine.url}"),
        options={
            "phoebe_rater": f"127.0.0.1:{rater.port}",
            "phoebe_usage": "continuous",
            "phoebe_engine_timeout": "0",
            "tcp_timeout": str(CLIENT_TIMEOUT_S),
        },
    )
    yield proxy
    assert proxy.stop() == 0
    assert "Traceback" not in proxy.log()


def test_an_error_after_the_usage_keeps_the_counts(
    client: httpx.Client, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.stream([VLLM, VLLM_USAGE, ERROR, DONE])
    response = client.post(CHAT, content=STREAMING, headers={"X-Request-Id": "error-after-usage"})
    assert response.content == VLLM + ERROR + DONE
    event = rater.tagged("error-after-usage")
    assert (event.outcome, counts(event)) == ("upstream_error", (17, 3))


@pytest.mark.parametrize("framing", [b"Transfer-Encoding: chunked", b"Connection: close"])
@pytest.mark.parametrize("name", LAST_WORDS)
def test_a_stream_without_its_last_word_is_complete_if_the_model_said_why_it_stopped(
    client: httpx.Client, engine: Engine, rater: EventRecorder, framing: bytes, name: str
) -> None:
    said, outcome, tokens = LAST_WORDS[name]
    body = chunked(said, b"") if b"chunked" in framing else said
    engine.script = says(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%s\r\n\r\n%s" % (framing, body)
    )
    response = client.post(CHAT, content=STREAMING)
    request_id = response.headers["x-request-id"]
    event = rater.wait_for(lambda event: event.request_id == request_id)
    assert (event.outcome, counts(event)) == (outcome, tokens)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("cut", [b"20", b"20\r\ndata: {", b"200\r\n" + VLLM_USAGE, b"zz\r\ndata: {}\r\n"])
def test_a_stream_cut_within_its_framing_has_no_usage(
    proxy: Proxy, engine: Engine, rater: EventRecorder, cut: bytes, reset: bool
) -> None:
    seen = threading.Event()

    def script(request: EngineRequest, line: Line) -> None:
        line.send(STREAM_HEAD + chunked(b": hello\n\n"))
        assert seen.wait(10)  # a reset throws away what has not been read
        says(cut.replace(VLLM_USAGE, VLLM_USAGE[:100]), reset=reset)(request, line)

    engine.script = script
    with RawClient(proxy) as client:
        client.send(ask("any"))
        _, headers = client.read_head()
        assert client.read_chunk() == b": hello\n\n"
        seen.set()
        assert b"0\r\n\r\n" not in client.read_to_end()
    event = rater.wait_for(lambda event: event.request_id == headers["x-request-id"])
    assert (event.outcome, event.status_code, counts(event)) == ("upstream_error", 200, None)


def test_no_half_number_is_ever_recorded(proxy: Proxy, engine: Engine, rater: EventRecorder) -> None:
    content_length = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    to_the_end = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    cuts = range(ANSWER.index(b"prompt_tokens"), len(ANSWER))
    for cut in cuts:
        said = ANSWER[:cut]
        for head, body in ((content_length, said), (chunks, chunked(said)), (to_the_end, said)):
            engine.script = says(head + body)
            tag = f"half-{head[17:30]!r}-{cut}"
            with RawClient(proxy) as client:
                client.send(ask(tag, b'{"model":"m"}'))
                client.read_to_end() if head is not content_length else client.read_answer()
            event = rater.tagged(tag)
            assert counts(event) is None, said
            assert event.usage_raw == ""


def test_an_engine_that_breaks_off_keeps_the_last_whole_counts(
    hasty: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    said = running_usage(1) + running_usage(2)
    engine.script = says(STREAM_HEAD + chunked(said) + b"50\r\n" + running_usage(3)[:-30])
    with RawClient(hasty) as client:
        client.send(ask("broke-off-with-counts"))
        client.read_head()
        client.read_chunk()
        client.read_to_end()
    event = rater.tagged("broke-off-with-counts")
    assert (event.outcome, counts(event)) == ("upstream_error", (7, 2))


def test_a_client_gone_within_a_short_document_makes_one_aborted_event_with_its_counts(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    began, went_on = threading.Event(), threading.Event()

    def script(_request: EngineRequest, line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER) + ANSWER[:-1])
        began.set()
        assert went_on.wait(10)
        line.send(ANSWER[-1:])

    engine.script = script
    known = proxy.log().count("phoebe: a client has left")
    with RawClient(proxy) as client:
        client.send(ask("gone-in-document"))
        assert began.wait(10)
    proxy.wait_for_log("phoebe: a client has left", known + 1)
    went_on.set()
    event = rater.tagged("gone-in-document")
    assert (event.outcome, counts(event), event.answer_bytes) == ("aborted", (1234, 5678), 0)


@pytest.mark.parametrize("status", ["404 Not Found", "502 Bad Gateway", "503 Service Unavailable"])
@pytest.mark.parametrize("framing", ["length", "close"])
def test_an_engines_error_page_passes_through_and_is_free(
    client: httpx.Client, engine: Engine, rater: EventRecorder, status: str, framing: str
) -> None:
    page = b"<html><h1>no \xff</h1></html>"
    if framing == "length":
        engine.script = engines.document(page, status, "text/html")
    else:
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n"
        engine.script = says(head.encode() + page)
    response = client.post(CHAT, content=STREAMING)
    assert (response.status_code, response.content) == (int(status[:3]), page)
    assert response.headers["content-type"] == "text/html"
    request_id = response.headers["x-request-id"]
    event = rater.wait_for(lambda event: event.request_id == request_id)
    assert (event.outcome, event.status_code, counts(event)) == ("upstream_error", int(status[:3]), None)


@pytest.mark.parametrize("name", GARBAGE)
def test_an_engine_that_does_not_speak_http_is_a_502_in_json(
    proxy: Proxy, engine: Engine, rater: EventRecorder, name: str
) -> None:
    engine.script = says(GARBAGE[name])
    tag = f"garbage: {name}"
    with RawClient(proxy) as client:
        client.send(ask(tag))
        answer = client.read_answer()
        assert (answer.status, error_code(answer.body)) == (502, "upstream")
        engine.script = engines.document(ANSWER)
        client.send(ask(f"{tag}-again"))
        assert client.read_answer().body == ANSWER, "an engine's fault must not cost the client's connection"
    event = rater.tagged(tag)
    assert event.request_id == answer.headers["x-request-id"]
    assert (event.outcome, event.HasField("status_code"), counts(event)) == ("upstream_error", False, None)


@pytest.mark.parametrize("interim", ["100 Continue", "103 Early Hints\r\nLink: </x>"])
def test_an_engines_interim_answer_is_not_the_answer(
    proxy: Proxy, engine: Engine, rater: EventRecorder, interim: str
) -> None:
    def script(request: EngineRequest, line: Line) -> None:
        line.send(f"HTTP/1.1 {interim}\r\n\r\n".encode() * 2)
        engines.document(ANSWER)(request, line)

    engine.script = script
    with RawClient(proxy) as client:
        client.send(ask(interim[:3]))
        answer = client.read_answer()
    assert (answer.status, answer.body) == (200, ANSWER)
    event = rater.tagged(interim[:3])
    assert (event.outcome, event.status_code, counts(event)) == ("completed", 200, (1234, 5678))


def test_an_engines_trailers_are_dropped_and_the_answer_ends(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    body = chunked(VLLM + VLLM_USAGE + DONE) + b"0\r\nX-Checksum: 1\r\n\r\n"
    engine.script = lambda _request, line: line.send(STREAM_HEAD + body)
    with RawClient(proxy) as client:
        client.send(ask("trailers"))
        assert client.read_answer().body == VLLM + DONE
    event = rater.tagged("trailers")
    assert (event.outcome, counts(event)) == ("completed", (17, 3))


def test_an_engine_whose_head_does_not_end_is_given_up(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    given_up = threading.Event()

    def script(_request: EngineRequest, line: Line) -> None:
        line.send(b"HTTP/1.1 200 OK\r\nX-Endless: " + b"x" * 200_000)
        if line.wait_until_closed():
            given_up.set()

    engine.script = script
    with RawClient(proxy) as client:
        client.send(ask("endless head"))
        answer = client.read_answer()
    assert (answer.status, error_code(answer.body)) == (502, "upstream")
    assert given_up.wait(5)
    assert rater.tagged("endless head").outcome == "upstream_error"


def test_an_engine_silent_before_its_answer_is_a_504_wherever_it_stopped(
    hasty: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    length = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
    said = {"nothing": b"", "half a head": length[:30], "half a document": length + ANSWER[:-1]}
    engine.script = lambda request, line: hangs_after(said[json.loads(request.body)["model"]])(request, line)
    asked_at = time.monotonic()
    clients = {name: RawClient(hasty) for name in said}
    for name, client in clients.items():
        client.send(ask(f"silent-{name}", json.dumps({"model": name}).encode()))
    for name, client in clients.items():
        answer = client.read_answer()
        assert (answer.status, error_code(answer.body)) == (504, "upstream")
        assert time.monotonic() - asked_at >= ENGINE_TIMEOUT_S
        event = rater.tagged(f"silent-{name}")
        assert (event.outcome, event.HasField("status_code")) == ("upstream_error", name == "half a document")
        assert counts(event) is None
    engine.script = engines.document(ANSWER)
    for client in clients.values():
        client.send(ask("silent-no-more"))
        assert client.read_answer().body == ANSWER
        client.close()


def test_an_engine_silent_within_a_stream_is_cut_off_and_its_last_counts_are_kept(
    hasty: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = hangs_after(STREAM_HEAD + chunked(running_usage(1), running_usage(2)))
    with RawClient(hasty) as client:
        client.send(ask("silent-in-stream"))
        client.read_head()
        client.read_chunk()
        client.read_chunk()
        with pytest.raises(CutOffError):
            client.read_chunk()
    event = rater.tagged("silent-in-stream")
    assert (event.outcome, event.status_code, counts(event)) == ("upstream_error", 200, (7, 2))


def test_an_engine_that_is_slow_but_not_silent_is_waited_for(
    hasty: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.send(STREAM_HEAD)
        began_at = time.monotonic()
        while time.monotonic() - began_at < ENGINE_TIMEOUT_S * 1.5:
            line.released.wait(ENGINE_TIMEOUT_S / 4)  # the pace of the engine
            line.send_chunk(b": thinking\n\n")
        line.send(chunked(VLLM + VLLM_USAGE + DONE, b""))

    engine.script = script
    with RawClient(hasty) as client:
        client.send(ask("slow"))
        assert client.read_answer().body.endswith(DONE)
    assert rater.tagged("slow").outcome == "completed"


@pytest.mark.parametrize(("resource", "status"), [("mute-tls", 504), ("busy", 504), ("gone", 502)])
def test_an_engine_that_cannot_be_connected_to_is_an_upstream_error(
    hasty: Proxy, rater: EventRecorder, resource: str, status: int
) -> None:
    with RawClient(hasty) as client:
        for attempt in range(2 if status == 502 else 1):
            tag = f"{resource}-{attempt}"
            client.send(ask(tag, resource=resource))
            answer = client.read_answer()
            assert (answer.status, error_code(answer.body)) == (status, "upstream")
            assert rater.tagged(tag).outcome == "upstream_error"


def test_a_failure_is_told_in_the_shape_of_the_api_that_was_asked(hasty: Proxy) -> None:
    with RawClient(hasty) as client:
        client.send(post("/v1/messages", {**IDENTITY, "X-Saturn-Resource-Id": "gone"}))
        answer = client.read_answer()
    assert (answer.status, json.loads(answer.body)["type"]) == (502, "error")


def test_a_client_that_takes_nothing_is_an_aborted_exchange(
    patient: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    sent = 0

    def script(_request: EngineRequest, line: Line) -> None:
        nonlocal sent
        line.send(STREAM_HEAD)
        while True:
            line.send_chunk(running_usage(sent + 1, "x" * 60_000))
            sent += 1

    engine.script = script
    with RawClient(patient, receive_buffer_bytes=4096) as client:
        client.send(ask("stuck"))
        event = rater.tagged("stuck")
    assert event.outcome == "aborted"
    assert event.prompt_tokens == 7
    assert 0 < event.completion_tokens <= sent


def test_an_idle_connection_is_closed_as_before(patient: Proxy, engine: Engine) -> None:
    engine.script = engines.document(ANSWER)
    with RawClient(patient) as client:
        client.send(ask("idle"))
        assert client.read_answer().status == 200
        assert client.read_to_end() == b""


def test_a_silent_engine_costs_an_http_2_connection_only_its_own_stream(
    hasty: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    given_up = threading.Event()

    def script(request: EngineRequest, line: Line) -> None:
        model = json.loads(request.body)["model"]
        if model == "busy":
            line.send(STREAM_HEAD)
            while not given_up.wait(0.1):  # the pace of the engine
                line.send_chunk(b": busy\n\n")
            line.send(chunked(VLLM + VLLM_USAGE + DONE, b""))
        else:
            hangs_after(b"" if model == "mute" else STREAM_HEAD + chunked(running_usage(3)))(request, line)

    engine.script = script
    with Http2Client(hasty) as client:
        streams = {
            model: client.post(
                CHAT,
                {**IDENTITY, "X-Request-Id": f"h2-{model}"},
                json.dumps({"model": model, "stream": True}).encode(),
            )
            for model in ("busy", "mute", "half")
        }
        client.read_until(lambda: streams["mute"].ended and streams["half"].reset)
        given_up.set()
        client.read_until(lambda: streams["busy"].ended)
    assert streams["mute"].status == 504
    assert error_code(streams["mute"].body) == "upstream"
    assert streams["busy"].body.endswith(DONE)
    events = {model: rater.tagged(f"h2-{model}") for model in streams}
    outcomes = {model: (event.outcome, counts(event)) for model, event in events.items()}
    assert outcomes == {
        "busy": ("completed", (17, 3)),
        "mute": ("upstream_error", None),
        "half": ("upstream_error", (7, 3)),
    }


@pytest.mark.parametrize("at_once", [True, False], ids=["with its end", "after its end"])
def test_a_request_of_http_2_that_is_reset_while_it_is_looked_through_reaches_no_engine(
    patient: Proxy, engine: Engine, rater: EventRecorder, at_once: bool
) -> None:
    engine.script = engines.document(ANSWER)
    tag = f"h2-reset-{at_once}"
    with Http2Client(patient) as client:
        left = client.post(CHAT, {**IDENTITY, "X-Request-Id": tag}, dense(4 * MIB), resets=at_once)
        if not at_once:
            client.reset(left)
        stays = client.post(CHAT, IDENTITY, STREAMING)
        client.read_until(lambda: stays.ended)
        event = rater.tagged(tag)

    assert (event.outcome, event.HasField("status_code"), counts(event)) == ("aborted", False, None)
    (asked,) = engine.requests
    assert len(asked.body) < MIB


def test_without_a_limit_an_engine_may_be_silent_for_as_long_as_it_likes(
    patient: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        for piece in (STREAM_HEAD + chunked(VLLM), chunked(VLLM_USAGE, DONE, b"")):
            line.released.wait(CLIENT_TIMEOUT_S * 1.5)  # longer than anything else may be silent
            line.send(piece)

    engine.script = script
    with RawClient(patient) as client:
        client.send(ask("patient"))
        assert client.read_answer().body.endswith(DONE)
    event = rater.tagged("patient")
    assert (event.outcome, counts(event)) == ("completed", (17, 3))


def test_a_proxy_stopped_within_a_stream_leaves_one_event_with_the_last_counts(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = hangs_after(STREAM_HEAD + chunked(running_usage(1), running_usage(2)))
    options = {"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_usage": "continuous"}
    proxy = Proxy(tmp_path, "--mode", f"reverse:{engine.url}", options=options)
    with RawClient(proxy) as client:
        client.send(ask("stopped-in-stream"))
        client.read_head()
        client.read_chunk()
        client.read_chunk()
        assert proxy.stop(signal.SIGTERM) == 0
        with pytest.raises(CutOffError):
            client.read_chunk()
    proxy = Proxy(tmp_path, "--mode", f"reverse:{engine.url}", options=options)
    try:
        event = rater.tagged("stopped-in-stream")
        assert (event.outcome, counts(event)) == ("proxy_error", (7, 2))
    finally:
        proxy.stop()
