"""What connections carry: many requests on one, HTTP/1.0 to HTTP/2, and a thousand of them at once."""

import asyncio
import contextlib
import json
import re
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.ports import reserve_port
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.engine import Engine, EngineRequest, Line
from tests.harness.engine_streams import DONE, ERROR, VLLM, VLLM_USAGE
from tests.harness.events import EventRecorder
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import Proxy
from tests.harness.raw_client import RawClient, post

CHAT = "/v1/chat/completions"
BODY = b'{"model":"m"}'
STREAMING = b'{"model":"m","stream":true}'
ANSWER = b'{"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
WHOLE_STREAM = [VLLM, VLLM_USAGE, DONE]
CROWD = 1000
KIB_PER_STREAM_MAX = 120


def ask(tag: str, body: bytes = BODY, version: str = "HTTP/1.1", **more: str) -> bytes:
    return post(CHAT, {**IDENTITY, "X-Request-Id": tag, **more}, body, version)


def echo(request: EngineRequest, line: Line) -> None:
    """Answer with the id of the request, as a stream if it asks for one."""
    name = request.headers["x-request-id"].encode()
    if b'"stream":true' in request.body:
        engines.stream([b": %s\n\n" % name, *WHOLE_STREAM])(request, line)
    else:
        engines.document(ANSWER[:-1] + b',"id":"%s"}' % name)(request, line)


def test_a_connection_goes_on_after_whatever_was_asked_of_it(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    boom = engines.document({"error": {}}, "500 Internal Server Error")
    steps = [
        ("document", engines.document(ANSWER), BODY, 200, "completed"),
        ("refused", engines.document(ANSWER), b"[]", 400, None),
        ("engine's error", boom, BODY, 500, "upstream_error"),
        ("stream", engines.stream(WHOLE_STREAM), STREAMING, 200, "completed"),
        ("broken off", lambda _request, line: line.connection.shutdown(2), BODY, 502, "upstream_error"),
        ("error in stream", engines.stream([ERROR, DONE]), STREAMING, 200, "upstream_error"),
        ("too large", engines.document(ANSWER), b"x" * 150_000, 413, None),
        ("document again", engines.document(ANSWER), BODY, 200, "completed"),
    ]
    with RawClient(proxy) as client:
        for name, script, body, status, _ in steps:
            engine.script = script
            client.send(ask(f"kept: {name}", body))
            assert client.read_answer().status == status, name
    for name, _, _, _, outcome in steps:
        if outcome:
            assert rater.tagged(f"kept: {name}").outcome == outcome, name
    admitted = {f"kept: {name}" for name, _, _, _, outcome in steps if outcome}
    assert {event.client_request_id for event in rater.events} & {
        f"kept: {step[0]}" for step in steps
    } == admitted


def test_requests_sent_in_one_go_are_answered_in_order(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = echo
    bodies = [BODY, STREAMING, b"no JSON", BODY, STREAMING, STREAMING, BODY]
    with RawClient(proxy) as client:
        client.send(b"".join(ask(f"in one go {number}", body) for number, body in enumerate(bodies)))
        answers = [client.read_answer() for _ in bodies]
    assert [answer.status for answer in answers] == [200, 200, 400, 200, 200, 200, 200]
    for number, (body, answer) in enumerate(zip(bodies, answers, strict=True)):
        if answer.status == 200:
            event = rater.tagged(f"in one go {number}")
            assert event.request_id in answer.body.decode()
            assert event.outcome == "completed"
            assert event.prompt_tokens == (17 if body is STREAMING else 3)
    assert len(engine.requests) == 6


def test_what_a_client_sends_before_its_answer_is_bounded(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.wait_until_closed()

    engine.script = script
    with RawClient(proxy) as client:
        client.send(ask("flood"))
        with pytest.raises(ConnectionError):
            client.send(b"x" * 50_000_000)
    assert rater.tagged("flood").outcome == "aborted"


def test_a_head_without_end_is_refused(proxy: Proxy, engine: Engine) -> None:
    with RawClient(proxy) as client:
        client.send(f"POST {CHAT} HTTP/1.1\r\nX-Endless: ".encode() + b"x" * 70_000)
        answer = client.read_answer()
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (431, "bad_http")
        assert client.read_to_end() == b""
    assert engine.requests == []


def test_http_2_streams_of_one_connection_end_each_in_its_own_way(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    released, left = threading.Event(), threading.Event()
    first_word = VLLM.partition(b"\n\n")[0] + b"\n\n"

    def script(request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        if json.loads(request.body)["model"] == "leaves":
            line.send_chunk(first_word)
            if line.wait_until_closed():
                left.set()
            return
        line.send_chunk(VLLM)
        assert released.wait(20)
        line.send_chunk(VLLM_USAGE + DONE)
        line.send(engines.LAST_CHUNK)

    engine.script = script
    models = ["leaves" if number == 4 else "stays" for number in range(12)]
    with Http2Client(proxy) as client:
        streams = []
        for number, model in enumerate(models):
            headers = {**IDENTITY, "X-Request-Id": f"h2 {number}"}
            body = json.dumps({"model": model, "stream": True}).encode()
            streams.append(client.post(CHAT, headers, body))
        client.read_until(
            lambda: [stream.body for stream in streams].count(VLLM) == 11 and streams[4].body == first_word
        )
        client.reset(streams[4])
        event = rater.tagged("h2 4")
        assert (event.outcome, event.status_code, event.usage_found) == ("aborted", 200, False)
        assert left.wait(5), "the engine goes on working for nobody"
        released.set()
        staying = [stream for stream, model in zip(streams, models, strict=True) if model == "stays"]
        client.read_until(lambda: all(stream.ended for stream in staying))
    assert {stream.body for stream in staying} == {VLLM + DONE}
    for number, model in enumerate(models):
        if model == "stays":
            event = rater.tagged(f"h2 {number}")
            assert (event.outcome, event.prompt_tokens, event.completion_tokens) == ("completed", 17, 3)


def test_an_http_2_connection_is_not_lost_to_an_engine_that_was_away(
    tmp_path: Path, rater: EventRecorder
) -> None:
    port = reserve_port()
    proxy = Proxy(
        tmp_path,
        *("--mode", f"reverse:http://127.0.0.1:{port}"),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}"},
    )
    with contextlib.ExitStack() as stack:
        stack.callback(proxy.stop)
        client = stack.enter_context(Http2Client(proxy))
        away = client.post(CHAT, {**IDENTITY, "X-Request-Id": "h2 away"}, BODY)
        client.read_until(lambda: away.ended)
        assert (away.status, away.headers["content-type"]) == (502, "application/json")
        assert json.loads(away.body)["error"]["code"] == "upstream"
        engine = Engine(port=port)
        stack.callback(engine.close)
        engine.script = engines.document(ANSWER)
        back = client.post(CHAT, {**IDENTITY, "X-Request-Id": "h2 back"}, BODY)
        client.read_until(lambda: back.ended)
        assert (back.status, back.body) == (200, ANSWER)
        assert rater.tagged("h2 away").outcome == "upstream_error"
        assert rater.tagged("h2 back").outcome == "completed"


@pytest.mark.parametrize("fate", ["answered", "refused", "broken off"])
def test_a_client_that_expects_100_continue_gets_it_and_then_its_answer(
    proxy: Proxy, engine: Engine, rater: EventRecorder, fate: str
) -> None:
    engine.script = (
        engines.document(ANSWER) if fate == "answered" else lambda _request, line: line.connection.shutdown(2)
    )
    body = b"[]" if fate == "refused" else BODY
    head, _, _ = ask(f"100: {fate}", body, Expect="100-continue").partition(body)
    with RawClient(proxy) as client:
        client.send(head)
        assert client.read_head() == (100, {})
        client.send(body)
        assert client.read_answer().status == {"answered": 200, "refused": 400, "broken off": 502}[fate]
    if fate == "refused":
        assert engine.requests == []
    else:
        assert "expect" not in engine.requests[0].headers
        assert (rater.tagged(f"100: {fate}").outcome == "completed") == (fate == "answered")


@pytest.mark.parametrize(
    "body",
    [
        b"d\r\n%s\r\n0\r\n\r\n" % BODY,
        b"".join(b"1;why=not\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n",
        b"000d\r\n%s\r\n0\r\nX-Checksum: 1\r\nX-More: 2\r\n\r\n" % BODY,
    ],
    ids=["one chunk", "single bytes", "trailers"],
)
def test_a_chunked_request_is_read_to_its_end(
    proxy: Proxy, engine: Engine, rater: EventRecorder, body: bytes
) -> None:
    engine.script = engines.document(ANSWER)
    tag = f"chunked {len(body)}"
    with RawClient(proxy) as client:
        for byte in ask(tag, body, **{"Transfer-Encoding": "chunked"}):
            client.send(bytes([byte]))
        assert client.read_answer().body == ANSWER
    assert BODY in engine.requests[0].body
    assert rater.tagged(tag).requested_model == "m"


def test_an_http_1_0_client_gets_its_document_and_the_end_of_the_connection(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document(ANSWER)
    with RawClient(proxy) as client:
        client.send(ask("http 1.0", version="HTTP/1.0"))
        assert client.read_answer().body == ANSWER
        assert client.read_to_end() == b""
    assert rater.tagged("http 1.0").outcome == "completed"


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process, and those it starts, have as many open files as a crowd needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CROWD
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this machine allows a process only {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def crowd_usage(number: int) -> bytes:
    usage = {"prompt_tokens": number, "completion_tokens": 2 * number}
    return b"data: " + json.dumps({"model": "m", "choices": [], "usage": usage}).encode() + b"\n\n"


class CrowdedEngine:
    """An engine that answers nobody before everybody has asked."""

    def __init__(self) -> None:
        self._asked = 0
        self._all_asked = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length
        number = json.loads(await reader.readexactly(int(length[1])))["number"]
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        self._asked += 1
        if self._asked == CROWD:
            self._all_asked.set()
        await self._all_asked.wait()
        for piece in (VLLM[:100], VLLM[100:], crowd_usage(number), DONE):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await asyncio.sleep(0)  # the others' turn
        writer.write(b"0\r\n\r\n")
        await reader.read()
        writer.close()


async def one_of_the_crowd(port: int, number: int, entrance: asyncio.Semaphore) -> bytes:
    """Ask for a stream; return its body, framed as it came."""
    async with entrance:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"model": "m", "stream": True, "number": number}).encode()
        writer.write(ask(f"crowd {number}", body))
        await reader.readuntil(b"\r\n\r\n")
    content = await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
    return content


def resident_kib(proxy: Proxy, what: str) -> int:
    """Read a process's memory from the kernel: VmRSS, now; VmHWM, at its highest."""
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    found = re.search(rf"{what}:\s+(\d+) kB", status)
    assert found
    return int(found[1])


async def test_a_thousand_streams_at_once_all_complete_with_exact_counts(
    tmp_path: Path, rater: EventRecorder, many_files: None
) -> None:
    engine = CrowdedEngine()
    server = await asyncio.start_server(engine.serve, "127.0.0.1", 0, backlog=CROWD)
    url = "http://{}:{}".format(*server.sockets[0].getsockname())
    options = {"phoebe_rater": f"127.0.0.1:{rater.port}"}
    proxy = await asyncio.to_thread(Proxy, tmp_path, "--mode", f"reverse:{url}", options=options)
    try:
        empty_kib = resident_kib(proxy, "VmRSS")
        entrance = asyncio.Semaphore(50)  # a connection more than the kernel queues would wait a second
        async with asyncio.timeout(60):
            contents = await asyncio.gather(
                *(one_of_the_crowd(proxy.port, number, entrance) for number in range(CROWD))
            )
        assert {re.sub(rb"[0-9a-f]+\r\n|\r\n", b"", content) for content in contents} == {VLLM + DONE}
        for number in range(CROWD):
            event = await asyncio.to_thread(rater.tagged, f"crowd {number}")
            assert (event.outcome, event.prompt_tokens, event.completion_tokens) == (
                "completed",
                number,
                2 * number,
            )
        assert (resident_kib(proxy, "VmHWM") - empty_kib) / CROWD < KIB_PER_STREAM_MAX
    finally:
        await asyncio.to_thread(proxy.stop)
        server.close()
        await server.wait_closed()
