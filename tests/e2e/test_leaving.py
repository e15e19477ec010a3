"""Clients that hang up within an answer: what they had is billed as far as an engine can still be heard."""

import json
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rig.programs import ADDON, PROJECT
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.certificates import Authority
from tests.harness.engine import LAST_CHUNK, Engine, EngineRequest, Line
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.events import EventRecorder
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import Proxy
from tests.harness.raw_client import RawClient, post

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
STREAMING = b'{"model":"m","stream":true}'
FIRST_WORD, OTHER_WORDS = VLLM.split(b"\n\n")[0] + b"\n\n", VLLM.partition(b"\n\n")[2]
MIB = 2**20
LENGTH_MIB = 9  # longer than what is held back until it is whole
READS_ON = "phoebe: a client has left"


class SlowEngine:
    """A real engine at the pace of a test.

    says: what it says at once. go_on: it says the rest when this is set. gone: the proxy has closed the
    connection before that.
    """

    def __init__(self, engine: Engine, says: bytes = VLLM) -> None:
        self.says = says
        self.go_on = threading.Event()
        self.gone = threading.Event()
        engine.script = self._answer

    def _answer(self, _request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(self.says)
        while not self.go_on.is_set():
            if line.wait_until_closed(0.02):
                self.gone.set()
                return
        line.connection.settimeout(20)
        for piece in (VLLM.removeprefix(self.says), VLLM_USAGE, DONE):
            if piece:
                line.send_chunk(piece)
        line.send(LAST_CHUNK)


def start(folder: Path, upstream: Engine, rater: EventRecorder, **options: str) -> Proxy:
    given = {f"phoebe_{name}": value for name, value in options.items()}
    rater_option = {"phoebe_rater": f"127.0.0.1:{rater.port}"}
    return Proxy(folder, "--mode", f"reverse:{upstream.url}", options={**rater_option, **given})


type Start = Callable[..., Proxy]


@pytest.fixture(scope="module")
def started(
    shared_engine: Engine, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Start proxies, each with its options, once."""
    proxies: dict[str, Proxy] = {}

    def one(**options: str) -> Proxy:
        name = str(options)
        if name not in proxies:
            proxies[name] = start(tmp_path_factory.mktemp("leaving"), shared_engine, rater, **options)
        return proxies[name]

    yield one
    for proxy in proxies.values():
        assert proxy.stop() == 0
        assert "Traceback" not in proxy.log()


def ask(tag: str, path: str = CHAT, body: bytes = STREAMING) -> bytes:
    return post(path, {**IDENTITY, "X-Request-Id": tag}, body)


def billed(event: MeteringEvent) -> tuple[str, int | None]:
    """The outcome, and the generated tokens if there is usage."""
    return event.outcome, event.completion_tokens if event.usage_found else None


def leave(
    proxy: Proxy, tag: str, how: Callable[[RawClient], None] = RawClient.close, *, reads_on: bool = True
) -> None:
    """Ask for a stream, read its first chunk and leave; return once the proxy knows."""
    known = proxy.log().count(READS_ON)
    client = RawClient(proxy)
    client.send(ask(tag))
    assert client.read_head()[0] == 200
    client.read_chunk()
    how(client)
    if how is RawClient.half_close:
        assert client.read_to_end() == b""
        client.close()
    if reads_on:
        proxy.wait_for_log(READS_ON, known + 1)


@pytest.mark.parametrize("how", [RawClient.close, RawClient.reset, RawClient.half_close])
def test_a_client_that_leaves_with_all_the_words_pays_for_them(
    proxy: Proxy, engine: Engine, rater: EventRecorder, how: Callable[[RawClient], None]
) -> None:
    slow = SlowEngine(engine)
    tag = f"leaves by {how.__name__}"
    before = proxy.metric("phoebe_answers_read_on_total", end="whole")

    leave(proxy, tag, how)
    slow.go_on.set()

    event = rater.tagged(tag)
    assert (*billed(event), event.finish_reason) == ("aborted", 3, "stop")
    assert event.answer_bytes == len(VLLM)
    assert proxy.metric("phoebe_answers_read_on_total", end="whole") == before + 1


def test_an_engine_that_still_works_is_told_at_once_that_its_client_has_left(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    slow = SlowEngine(engine, FIRST_WORD)
    before = proxy.metric("phoebe_unbilled_output_bytes_total")

    leave(proxy, "leaves early", reads_on=False)

    assert slow.gone.wait(5)
    event = rater.tagged("leaves early")
    assert (*billed(event), event.answer_bytes) == ("aborted", None, len(FIRST_WORD))
    assert proxy.metric("phoebe_unbilled_output_bytes_total") == before + len(FIRST_WORD)


@pytest.mark.parametrize("framing", ["Content-Length", "chunked", "close"])
def test_a_client_that_leaves_a_large_document_before_its_end_pays_for_it(
    proxy: Proxy, engine: Engine, rater: EventRecorder, framing: str
) -> None:
    vectors = b'{"model":"e","data":[' + b"0.125," * (LENGTH_MIB * MIB // 6) + b"0]"
    document = vectors + b',"usage":{"prompt_tokens":17,"total_tokens":17}}'
    head = {
        "Content-Length": b"Content-Length: %d" % len(document),
        "chunked": b"Transfer-Encoding: chunked",
        "close": b"Connection: close",
    }
    went_on = threading.Event()

    def script(_request: EngineRequest, line: Line) -> None:
        send = line.send_chunk if framing == "chunked" else line.send
        line.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%s\r\n\r\n" % head[framing])
        send(document[:-MIB])
        assert went_on.wait(20)
        send(document[-MIB:])
        if framing == "chunked":
            line.send(LAST_CHUNK)
        elif framing == "close":
            line.connection.shutdown(socket.SHUT_RDWR)

    engine.script = script
    tag = f"leaves a document: {framing}"
    known = proxy.log().count(READS_ON)
    with RawClient(proxy) as client:
        client.send(ask(tag, EMBEDDINGS, b'{"model":"e","input":"x"}'))
        client.read_head()
        client.read_bytes(len(document) - MIB)
    proxy.wait_for_log(READS_ON, known + 1)
    went_on.set()

    event = rater.tagged(tag)
    assert (event.outcome, event.prompt_tokens) == ("aborted", 17)
    assert event.answer_bytes == len(document) - MIB


def test_a_client_that_stops_reading_and_leaves_half_way_pays_for_all(
    started: Start, engine: Engine, rater: EventRecorder
) -> None:
    taken = threading.Event()

    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(VLLM)
        for _ in range(200):
            line.send_chunk(b": " + b"x" * 60_000 + b"\n\n")
            taken.set()
        line.send_chunk(VLLM_USAGE + DONE)
        line.send(LAST_CHUNK)

    engine.script = script
    with RawClient(started(), receive_buffer_bytes=4096) as client:
        client.send(ask("stuck and gone"))
        client.read_head()
        client.read_chunk()
        assert taken.wait(10)
        client.half_close()

        event = rater.tagged("stuck and gone")
    assert billed(event) == ("aborted", 3)


def test_a_client_that_reads_slowly_has_all_of_a_last_answer(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    """The proxy closes the connection behind it, with most of the answer unread."""
    document = b'{"model":"e","data":["%s"],"usage":{"prompt_tokens":17}}' % (b"x" * 7 * MIB)
    engine.script = engines.document(document)
    with RawClient(proxy, receive_buffer_bytes=4096) as client:
        headers = {**IDENTITY, "X-Request-Id": "last and slow", "Connection": "close"}
        client.send(post(EMBEDDINGS, headers, b'{"model":"e","input":"x"}'))
        assert rater.tagged("last and slow").outcome == "completed"
        assert client.read_answer().body == document


def test_drain_reads_what_has_begun_and_cut_nothing(
    started: Start, engine: Engine, rater: EventRecorder
) -> None:
    slow = SlowEngine(engine, FIRST_WORD)
    leave(started(abort="drain"), "drained to the end")
    slow.go_on.set()
    assert billed(rater.tagged("drained to the end")) == ("aborted", 3)

    slow = SlowEngine(engine)
    leave(started(abort="cut"), "cut at the end", reads_on=False)
    assert slow.gone.wait(5)
    assert billed(rater.tagged("cut at the end")) == ("aborted", None)


@pytest.mark.parametrize("endless", [False, True], ids=["time", "bytes"])
def test_what_is_read_without_a_client_is_bounded(
    started: Start, engine: Engine, rater: EventRecorder, endless: bool
) -> None:
    proxy = started(abort_timeout="1" if not endless else "600", abort_limit="1m")
    ended = threading.Event()

    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(VLLM)
        if not endless:
            line.wait_until_closed(20)
        try:
            while endless:
                line.send_chunk(b": " + b"x" * 60_000 + b"\n\n")
        finally:
            ended.set()

    engine.script = script
    leave(proxy, f"bounded: {endless}")

    event = rater.tagged(f"bounded: {endless}")
    assert billed(event) == ("aborted", None)
    assert ended.wait(10)
    assert proxy.metric("phoebe_answers_read_on_total", end="cut") == 1


def test_a_stream_of_http_2_that_is_reset_is_billed_and_the_others_go_on(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    slow = SlowEngine(engine)
    with Http2Client(proxy) as client:
        left, stays = (
            client.post(CHAT, {**IDENTITY, "X-Request-Id": f"h2 {name}"}, STREAMING)
            for name in ("left", "stays")
        )
        client.read_until(lambda: left.body == stays.body == VLLM)
        known = proxy.log().count(READS_ON)
        client.reset(left)
        proxy.wait_for_log(READS_ON, known + 1)
        slow.go_on.set()
        client.read_until(lambda: stays.ended)
    assert billed(rater.tagged("h2 left")) == ("aborted", 3)
    assert billed(rater.tagged("h2 stays")) == ("completed", 3)


def test_a_connection_of_http_2_that_ends_without_a_word_leaves_its_streams_to_be_billed(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    slow = SlowEngine(engine)
    with Http2Client(proxy) as client:
        streams = [
            client.post(CHAT, {**IDENTITY, "X-Request-Id": f"h2 gone {number}"}, STREAMING)
            for number in range(3)
        ]
        client.read_until(lambda: all(stream.body == VLLM for stream in streams))
        known = proxy.log().count(READS_ON)
    proxy.wait_for_log(READS_ON, known + 3)
    slow.go_on.set()

    for number in range(3):
        assert billed(rater.tagged(f"h2 gone {number}")) == ("aborted", 3)


def test_an_engine_behind_tls_is_read_on_too(tmp_path: Path, rater: EventRecorder) -> None:
    authority = Authority()
    certificate, key = authority.issue_for_loopback().write(tmp_path, "engine")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    engine = Engine(context)
    slow = SlowEngine(engine)
    proxy = Proxy(
        tmp_path / "proxy",
        options={
            "phoebe_rater": f"127.0.0.1:{rater.port}",
            "phoebe_upstream": f"https://127.0.0.1:{engine.port}",
            "ssl_verify_upstream_trusted_ca": str(tmp_path / "ca.pem"),
        },
    )
    try:
        leave(proxy, "leaves tls")
        slow.go_on.set()
        assert billed(rater.tagged("leaves tls")) == ("aborted", 3)
    finally:
        assert proxy.stop() == 0
        engine.close()


def test_a_proxy_that_is_told_to_stop_reads_on_and_delivers(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    slow = SlowEngine(engine)
    proxy = start(tmp_path, engine, rater, drain_timeout="20")
    leave(proxy, "left before the stop")
    proxy.process.send_signal(signal.SIGTERM)
    proxy.wait_for_log("phoebe: stopping")

    slow.go_on.set()

    assert proxy.ended() == 0
    assert billed(rater.tagged("left before the stop")) == ("aborted", 3)


def test_a_proxy_that_can_wait_no_longer_records_that_the_client_had_left(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    SlowEngine(engine)
    proxy = start(tmp_path, engine, rater, drain_timeout="0.5")
    leave(proxy, "left and stopped")
    proxy.process.send_signal(signal.SIGTERM)

    assert proxy.ended() == 0
    # A slow machine may not deliver it in the time that is left.
    proxy = start(tmp_path, engine, rater)
    assert billed(rater.tagged("left and stopped")) == ("aborted", None)
    assert proxy.stop() == 0


def test_an_exchange_without_its_client_is_still_one_of_those_under_way(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    slow = SlowEngine(engine)
    proxy = start(tmp_path, engine, rater, exchanges_max="1")
    try:
        leave(proxy, "counts")
        with RawClient(proxy) as client:
            client.send(ask("one more"))
            answer = client.read_answer()
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (503, "busy")
            slow.go_on.set()
            rater.tagged("counts")
            client.send(ask("then"))
            assert client.read_answer().status == 200
    finally:
        assert proxy.stop() == 0


def test_a_connection_ends_where_another_addon_keeps_the_error_to_itself(
    tmp_path: Path, rater: EventRecorder, engine: Engine
) -> None:
    slow = SlowEngine(engine)
    proxy = Proxy(
        tmp_path / "proxy",
        "-s",
        str(ADDON),
        script=PROJECT / "tests/harness/halting_script.py",
        options={
            "phoebe_upstream": engine.url,
            "phoebe_rater": f"127.0.0.1:{rater.port}",
            "phoebe_log_level": "debug",
        },
    )
    try:
        leave(proxy, "halted")
        slow.go_on.set()
        proxy.wait_for_log("client disconnect")
        event = rater.wait_for(lambda event: event.client_request_id == "halted")
        assert event.outcome == "aborted"
    finally:
        proxy.stop()
