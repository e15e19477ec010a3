"""One request, or one customer, does not stop the others."""

import contextlib
import gzip
import queue
import random
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.e2e.conftest import IDENTITY
from tests.e2e.test_slow_clients import ANSWER, CHAT, MIB, STREAMING, started
from tests.harness import engine as engines
from tests.harness.engine import LAST_CHUNK, Engine, EngineRequest, Line
from tests.harness.engine_streams import DONE, VLLM, VLLM_USAGE
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy
from tests.harness.raw_client import CutOffError, RawClient, post
from tests.harness.waiting import wait_until

OTHER = {**IDENTITY, "X-Saturn-Auth-Id": "auth-2"}
CODED_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
CHUNK = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
EXCHANGES_OF_ONE = 3


@pytest.fixture(scope="module")
def shared(
    shared_engine: Engine, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy on which a customer may have few exchanges."""
    maximum = str(EXCHANGES_OF_ONE)
    proxy = started(tmp_path_factory.mktemp("shared"), shared_engine, rater, exchanges_per_auth_max=maximum)
    yield proxy
    assert proxy.stop() == 0
    assert "Traceback" not in proxy.log()


class Echoes:
    """An engine's stream that goes on by one chunk each time it is told to."""

    def __init__(self) -> None:
        self.asked: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def answer(self, request: EngineRequest, line: Line) -> None:
        if b'"stream":true' not in request.body:
            engines.document(ANSWER)(request, line)
            return
        line.send_stream_head()
        while chunk := self.asked.get(timeout=20):
            line.send_chunk(chunk)
        line.send(LAST_CHUNK)


def dense(size: int) -> bytes:
    """Make a body that takes long to look through for its size: strings that are all escapes, and numbers."""
    return b'{"model":"m","x":[%s0],"y":"%s"}' % (b"1," * (size // 4), b'\\"' * (size // 4))


def hardly_compressed(content: bytes) -> bytes:
    """Compress a body to more than a hundredth of its size."""
    noise = random.Random(1).randbytes(len(content) // 90).hex().encode()
    return gzip.compress(b'{"y":"' + noise + b'",' + content[1:])


@pytest.mark.parametrize("compressed", [False, True])
def test_the_others_chunks_go_on_while_a_large_body_is_looked_through(
    shared: Proxy, engine: Engine, compressed: bool
) -> None:
    echoes = Echoes()
    engine.script = echoes.answer
    # It is wrong at its end, so that it is refused: on its way to an engine others would pass as well.
    body = dense(4 * MIB)[:-1] + b"!"
    content = hardly_compressed(body) if compressed else body
    coding = {"Content-Encoding": "gzip"} if compressed else {}

    with RawClient(shared) as client, RawClient(shared) as other:
        client.send(post(CHAT, IDENTITY, STREAMING))
        client.read_head()

        def there_and_back() -> None:
            echoes.asked.put(CHUNK)
            assert client.read_chunk() == CHUNK

        # All but the last byte is there, and read, before anything is counted.
        other.send(post(CHAT, {**OTHER, **coding}, content)[:-1])
        for _ in range(200):
            there_and_back()
        other.send(content[-1:])
        count = 0
        while not other.has_received():
            there_and_back()
            count += 1
        assert other.read_answer().status == 400
        echoes.asked.put(b"")
        assert client.read_chunk() == b""

    # Looked through in one go, at most three chunks pass: what is on its way when that begins or ends. Of the
    # turns of TURN_S there are many, and one chunk passes every few: some twenty.
    assert count > 2 * 3


def unfolding(size: int) -> bytes:
    """Make a compressed stream that unfolds to so many bytes of events, each of which is read."""
    event = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"usage":null}]}\n\n'
    return gzip.compress(event * (size // len(event)) + VLLM + VLLM_USAGE + DONE)


@pytest.mark.parametrize("asked_for_usage", [True, False], ids=["as it is", "decoded"])
def test_the_others_chunks_go_on_while_a_chunk_is_read_that_unfolds_to_much(
    shared: Proxy, engine: Engine, rater: EventRecorder, asked_for_usage: bool
) -> None:
    echoes, begun = Echoes(), threading.Event()
    coded = unfolding(4 * MIB)
    tag = f"unfolds {asked_for_usage}"

    def answer(request: EngineRequest, line: Line) -> None:
        if b"compressed" not in request.body:
            echoes.answer(request, line)
            return
        line.send(CODED_HEAD)
        assert begun.wait(20)
        line.send_chunk(coded)
        line.send(LAST_CHUNK)

    engine.script = answer
    options = b',"stream_options":{"include_usage":true}' if asked_for_usage else b""
    with RawClient(shared) as client, RawClient(shared) as other:
        client.send(post(CHAT, IDENTITY, STREAMING))
        other.send(
            post(CHAT, {**OTHER, "X-Request-Id": tag}, b'{"model":"compressed","stream":true%s}' % options)
        )
        for each in (client, other):
            each.read_head()
        begun.set()
        count = 0
        while not other.has_received():
            echoes.asked.put(CHUNK)
            assert client.read_chunk() == CHUNK
            count += 1
        came = b"".join(iter(other.read_chunk, b""))
        echoes.asked.put(b"")
        assert client.read_chunk() == b""

    event = rater.wait_for(lambda event: event.client_request_id == tag)
    assert (event.outcome, event.completion_tokens, event.answer_bytes) == ("completed", 3, len(came))
    assert asked_for_usage is (came == coded)
    assert asked_for_usage or came.endswith(VLLM + DONE)
    # Read in one go, hardly a chunk would pass meanwhile.
    assert count > 8


def test_an_engine_is_not_listened_to_while_much_of_its_answer_waits_to_be_read(
    shared: Proxy, engine: Engine
) -> None:
    sent = 0

    def flood(_request: EngineRequest, line: Line) -> None:
        nonlocal sent
        line.send(CODED_HEAD)
        line.send_chunk(unfolding(16 * MIB))
        with contextlib.suppress(OSError):
            while sent < 200 * MIB:
                line.send_chunk(bytes(MIB))
                sent += MIB

    engine.script = flood
    with RawClient(shared) as client:
        client.send(post(CHAT, IDENTITY, STREAMING))
        client.read_head()
        while not client.has_received():
            assert sent < 20 * MIB  # what systems keep of a connection is less


def test_one_customer_can_not_have_all_exchanges(shared: Proxy, engine: Engine) -> None:
    asked, released = threading.Semaphore(0), threading.Event()

    def wait(request: EngineRequest, line: Line) -> None:
        asked.release()
        assert released.wait(20)
        engines.document(ANSWER)(request, line)

    engine.script = wait
    clients = [RawClient(shared) for _ in range(EXCHANGES_OF_ONE)]
    refused_before = shared.metric("phoebe_exchanges_refused_total", reason="auth_busy")
    for client, method in zip(
        clients, (post(CHAT, IDENTITY), post("/v1/messages", IDENTITY), b""), strict=True
    ):
        client.send(method or b"GET /v1/models HTTP/1.1\r\nHost: p\r\n" + head_of(IDENTITY))
        assert asked.acquire(timeout=10)

    busy = httpx.post(shared.url + CHAT, content=b'{"model":"m"}', headers=IDENTITY)
    anthropic = httpx.post(shared.url + "/v1/messages", content=b'{"model":"m"}', headers=IDENTITY)
    assert (busy.status_code, anthropic.status_code) == (429, 429)
    assert busy.headers["retry-after"] == anthropic.headers["retry-after"] == "5"
    assert (busy.json()["error"]["code"], busy.json()["error"]["type"]) == ("auth_busy", "rate_limit_error")
    assert anthropic.json()["error"]["type"] == "rate_limit_error"
    assert shared.metric("phoebe_exchanges_refused_total", reason="auth_busy") - refused_before == 2
    released.set()
    assert httpx.post(shared.url + CHAT, content=b'{"model":"m"}', headers=OTHER).status_code == 200
    assert [client.read_answer().status for client in clients] == [200] * EXCHANGES_OF_ONE
    for client in clients:
        client.close()


def head_of(headers: dict[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode() + b"\r\n"


def test_what_a_customer_has_is_free_again_however_it_ends(shared: Proxy, engine: Engine) -> None:
    """Clients that go away before, within and behind the request; engines that break off; refusals."""
    asked = threading.Semaphore(0)

    def break_off(request: EngineRequest, line: Line) -> None:
        asked.release()
        if b"stay" in request.body:
            assert line.wait_until_closed()
        elif b"half" in request.body:
            line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            line.connection.shutdown(socket.SHUT_RDWR)
        else:
            line.send(b"no HTTP\r\n\r\n")

    engine.script = break_off
    answered = (
        post(CHAT, IDENTITY, b"no JSON"),
        post(CHAT, IDENTITY, b'{"model":"half"}'),
        post(CHAT, IDENTITY, b'{"model":"none"}'),
        post(CHAT, {**IDENTITY, "Upgrade": "websocket", "Connection": "upgrade"}),
        b"GET /v1/models HTTP/1.1\r\nHost: p\r\n" + head_of(IDENTITY),
        b"OPTIONS /v1/models HTTP/1.1\r\nHost: p\r\n" + head_of(IDENTITY),
    )
    for sent in answered * EXCHANGES_OF_ONE:
        with RawClient(shared) as client, contextlib.suppress(CutOffError):
            client.send(sent)
            client.read_head()
    for sent in (
        post(CHAT, IDENTITY)[:-5],
        post(CHAT, {**IDENTITY, "Transfer-Encoding": "chunked"}, b"x\r\n"),
    ):
        with RawClient(shared) as client:
            client.send(sent)
    asked = threading.Semaphore(0)
    with RawClient(shared) as client:
        client.send(post(CHAT, IDENTITY, b'{"model":"stay"}'))
        assert asked.acquire(timeout=10)

    wait_until(lambda: shared.metric("phoebe_exchanges_under_way") == 0)
    engine.script = engines.document(ANSWER)
    assert httpx.post(shared.url + CHAT, content=b'{"model":"m"}', headers=IDENTITY).status_code == 200
