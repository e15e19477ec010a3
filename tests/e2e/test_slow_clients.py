"""Clients that are slow, stop reading or are too many: bounded in time, in memory and in number."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from phoebe_addon.proxy.open_files import ClientLimits
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness import hostile_http2
from tests.harness.engine import Engine, EngineRequest, Line
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.events import EventRecorder
from tests.harness.hostile_http2 import PREFACE, frame
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import Proxy
from tests.harness.raw_client import RawClient, post
from tests.harness.tls_client import open_http2

CHAT = "/v1/chat/completions"
STREAMING = b'{"model":"m","stream":true}'
ANSWER = b'{"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}'
MIB = 2**20
HELD_MIB_MAX = 24


def started(folder: Path, engine: Engine, rater: EventRecorder, **options: str) -> Proxy:
    given = {f"phoebe_{name}": value for name, value in options.items()}
    rater_option = {"phoebe_rater": f"127.0.0.1:{rater.port}"}
    return Proxy(folder, "--mode", f"reverse:{engine.url}", options={**rater_option, **given})


@pytest.fixture(scope="module")
def impatient(
    shared_engine: Engine, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy on which a request must be there within a second."""
    proxy = started(tmp_path_factory.mktemp("impatient"), shared_engine, rater, request_timeout="1")
    yield proxy
    assert proxy.stop() == 0
    assert "Traceback" not in proxy.log()


HEAD = post(CHAT, IDENTITY, b"")[:-4].replace(b"Content-Length: 0", b"Content-Length: 13")


@pytest.mark.parametrize("sent", [b"", b"P", HEAD, b"\x16\x03\x01", b"\r\n"])
def test_a_connection_without_a_whole_head_is_closed(impatient: Proxy, engine: Engine, sent: bytes) -> None:
    with RawClient(impatient) as client:
        client.send(sent)
        assert client.read_to_end() == b""
    assert engine.requests == []


def test_a_head_that_comes_in_drops_is_late_all_the_same(impatient: Proxy, engine: Engine) -> None:
    gone = threading.Event()
    with RawClient(impatient) as client:

        def drip() -> None:
            while not gone.wait(0.1):
                try:
                    client.send(b"x")
                except OSError:
                    return

        client.send(HEAD)
        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert client.read_to_end() == b""
        finally:
            gone.set()
            dripping.join()
    assert engine.requests == []


def test_a_body_that_does_not_come_is_answered_and_the_connection_closed(
    impatient: Proxy, engine: Engine
) -> None:
    before = impatient.metric("phoebe_exchanges_refused_total", reason="too_slow")
    with RawClient(impatient) as client:
        client.send(HEAD + b"\r\n\r\n" + b'{"model"')
        answer = client.read_answer()
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (408, "too_slow")
        assert client.read_to_end() == b""
    assert impatient.metric("phoebe_exchanges_refused_total", reason="too_slow") == before + 1
    assert engine.requests == []


def test_a_client_between_two_requests_is_not_late(impatient: Proxy, engine: Engine) -> None:
    engine.script = engines.document(ANSWER)
    with RawClient(impatient) as client, RawClient(impatient) as other:
        client.send(post(CHAT, IDENTITY))
        assert client.read_answer().status == 200
        assert other.read_to_end() == b""  # the time of a request has passed
        client.send(post(CHAT, IDENTITY))
        assert client.read_answer().status == 200


def test_an_engine_may_take_longer_than_a_request(impatient: Proxy, engine: Engine) -> None:
    passed = threading.Event()

    def script(request: EngineRequest, line: Line) -> None:
        assert passed.wait(20)
        engines.document(ANSWER)(request, line)

    engine.script = script
    with RawClient(impatient) as client, RawClient(impatient) as other:
        client.send(post(CHAT, IDENTITY))
        assert other.read_to_end() == b""
        passed.set()
        assert client.read_answer().status == 200


def test_a_late_request_of_http_2_costs_its_stream_and_not_the_others(
    impatient: Proxy, engine: Engine
) -> None:
    engine.script = engines.document(ANSWER)
    with Http2Client(impatient) as client:
        late = client.post(CHAT, IDENTITY, b'{"model"', complete=False)
        client.read_until(lambda: late.ended or late.reset)
        assert late.status == 408
        stream = client.post(CHAT, IDENTITY, b'{"model":"m"}')
        client.read_until(lambda: stream.ended)
        assert (stream.status, stream.body) == (200, ANSWER)


class Torrent:
    """An engine's endless stream, and how much of it the proxy took."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.taken = threading.Event()
        self.ended = threading.Event()
        self.stuck = threading.Event()

    def __call__(self, _request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.connection.settimeout(1)
        chunk = b"data: " + b"x" * 65_000 + b"\n\n"
        try:
            while self.sent_bytes < 200 * MIB:
                line.send_chunk(chunk)
                self.sent_bytes += len(chunk)
        except TimeoutError:
            self.stuck.set()
            if line.wait_until_closed():
                self.ended.set()
        except OSError:
            self.ended.set()


def memory_mib(proxy: Proxy) -> float:
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def test_an_http_1_client_that_stops_reading_stops_its_engine(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = torrent = Torrent()
    before = memory_mib(proxy)
    with RawClient(proxy, receive_buffer_bytes=4096) as client:
        client.send(post(CHAT, {**IDENTITY, "X-Request-Id": "reads nothing"}, STREAMING))
        assert torrent.stuck.wait(30)
        assert memory_mib(proxy) - before < HELD_MIB_MAX
    assert torrent.ended.wait(10)
    assert rater.tagged("reads nothing").outcome == "aborted"


def test_an_http_2_client_that_gives_no_window_stops_its_engine_until_it_does(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = torrent = Torrent()
    before = memory_mib(proxy)
    with Http2Client(proxy) as client:
        client.holds_windows = True
        held = client.post(CHAT, {**IDENTITY, "X-Request-Id": "gives no window"}, STREAMING)
        client.read_until(lambda: len(held.body) == 65_535)
        assert torrent.stuck.wait(30)
        assert memory_mib(proxy) - before < HELD_MIB_MAX
        client.holds_windows = False
        client.give_windows(held, 200 * MIB)
        client.read_until(lambda: len(held.body) >= torrent.sent_bytes)
    assert torrent.ended.wait(10)
    assert rater.tagged("gives no window").outcome == "aborted"


def test_an_http_2_stream_that_is_read_slowly_is_complete_and_exact(
    proxy: Proxy, engine: Engine, rater: EventRecorder
) -> None:
    filler = [b": " + b"x" * 9_000 + b"\n\n"] * 500
    engine.script = engines.stream([*filler, VLLM, VLLM_USAGE, DONE])
    with Http2Client(proxy) as client:
        stream = client.post(CHAT, {**IDENTITY, "X-Request-Id": "slowly"}, STREAMING)
        client.read_until(lambda: stream.ended)
    assert stream.body == b"".join(filler) + VLLM + DONE
    event = rater.tagged("slowly")
    assert (event.outcome, event.prompt_tokens, event.completion_tokens) == ("completed", 17, 3)


def keep_pinging(connection: ssl.SSLSocket, over: threading.Event) -> None:
    while not over.wait(0.2):
        connection.sendall(frame(6, 0, 0, bytes(8)))


def test_a_stream_that_is_never_taken_ends_as_the_clients_doing(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    torrent = Torrent()
    engine.script = torrent
    proxy = Proxy(
        tmp_path,
        *("--mode", f"reverse:{engine.url}", "--set", "tcp_timeout=2"),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_engine_timeout": "1"},
    )
    try:
        with open_http2(proxy) as connection:
            head = hostile_http2.block(
                (*hostile_http2.REQUEST, *hostile_http2.IDENTITY, (b"x-request-id", b"never taken"))
            )
            request = frame(1, 4, 1, head) + frame(0, 1, 1, STREAMING)
            connection.sendall(PREFACE + frame(4, 0, 0, b"") + request)
            # The connection is busy; only this stream is not taken.
            over = threading.Event()
            pinging = threading.Thread(target=keep_pinging, args=(connection, over))
            pinging.start()
            try:
                event = rater.tagged("never taken")
            finally:
                over.set()
                pinging.join()
        assert event.outcome == "aborted"
        assert torrent.ended.wait(10)
    finally:
        assert proxy.stop() == 0
        assert "Traceback" not in proxy.log()


def until_alone(proxy: Proxy) -> None:
    """Wait until the connection is gone by which the harness saw that the proxy serves."""
    proxy.wait_for_log("client connect")
    proxy.wait_for_log("client disconnect", proxy.log().count("client connect"))


def test_more_connections_than_allowed_are_closed_at_once(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document(ANSWER)
    proxy = started(tmp_path, engine, rater, connections_max="3", log_level="debug")
    with ExitStack() as ending:
        ending.callback(proxy.stop)
        until_alone(proxy)
        clients = [ending.enter_context(RawClient(proxy)) for _ in range(3)]
        for client in clients:
            client.send(post(CHAT, IDENTITY))
            assert client.read_answer().status == 200
        with RawClient(proxy) as one_more:
            assert one_more.read_to_end() == b""
        assert proxy.metric("phoebe_connections_refused_total") == 1
        came = proxy.log().count("client connect")
        clients.pop().close()
        proxy.wait_for_log("client disconnect", came - len(clients))
        next_one = ending.enter_context(RawClient(proxy))
        next_one.send(post(CHAT, IDENTITY))
        assert next_one.read_answer().status == 200


def test_more_exchanges_than_allowed_are_refused_until_one_has_ended(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    asked, released = threading.Semaphore(0), threading.Event()

    def script(request: EngineRequest, line: Line) -> None:
        asked.release()
        assert released.wait(20)
        engines.document(ANSWER)(request, line)

    engine.script = script
    proxy = started(tmp_path, engine, rater, exchanges_max="2")
    try:
        clients = [RawClient(proxy) for _ in range(2)]
        for client in clients:
            client.send(post(CHAT, IDENTITY))
            assert asked.acquire(timeout=10)
        busy = httpx.post(proxy.url + CHAT, content=b'{"model":"m"}', headers=IDENTITY)
        assert (busy.status_code, busy.json()["error"]["code"]) == (503, "busy")
        assert busy.headers["retry-after"] == "5"
        released.set()
        assert [client.read_answer().status for client in clients] == [200, 200]
        again = httpx.post(proxy.url + CHAT, content=b'{"model":"m"}', headers=IDENTITY)
        assert again.status_code == 200
        for client in clients:
            client.close()
    finally:
        proxy.stop()


def test_the_process_lets_itself_open_the_files_that_its_clients_need(proxy: Proxy) -> None:
    limits = Path(f"/proc/{proxy.process.pid}/limits").read_text()
    soft, hard = (
        10**9 if word == "unlimited" else int(word)
        for word in limits.partition("Max open files")[2].split()[:2]
    )
    assert soft >= min(hard, ClientLimits(10_000, 10_000).files())
