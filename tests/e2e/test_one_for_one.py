"""An engine gets one request for one that was let through, and a client gets only its own answer.

The engines here make it hard: one leaves bodies unread and then takes them for requests, others say more than
they were asked.
"""

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import override

import pytest
from cryptography import x509

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from phoebe_runtime.counts import counted
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.certificates import Authority
from tests.harness.engine import Engine, EngineRequest, Line
from tests.harness.events import EventRecorder
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import Proxy
from tests.harness.raw_client import RawClient, post
from tests.harness.unread_bodies import UNKNOWN, UnreadBodiesEngine

CHAT = "/v1/chat/completions"
BODY = b'{"model":"m"}'
SMUGGLED = post(CHAT, {}, BODY)
FORM = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b--'
VICTIM = {**IDENTITY, "X-Saturn-Auth-Id": "victim"}


def request(method: str, path: str, body: bytes | None = None, **more: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: proxy", *(f"{k}: {v}" for k, v in IDENTITY.items())]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
    lines += [] if body is None else [f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


def event_of(rater: EventRecorder, request_id: str) -> MeteringEvent:
    """Return the one event of an exchange, known by the id that it was given or that its client gave."""
    return rater.wait_for(lambda event: request_id in {event.request_id, event.client_request_id})


def chunked(method: str, path: str, *chunks: bytes) -> bytes:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return request(method, path, Transfer_Encoding="chunked") + framed


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("routes") / "routes.yaml"
    path.write_text(
        "free: [HEAD /v1/models, DELETE /thing, OPTIONS /v1/models,"
        " {POST /form: form}, {POST /nothing: none}, PUT /object]"
    )
    return path


@pytest.fixture(scope="module")
def unreading(
    rater: EventRecorder, routes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Proxy, UnreadBodiesEngine]]:
    engine = UnreadBodiesEngine()
    proxy = Proxy(
        tmp_path_factory.mktemp("unreading"),
        *("--mode", f"reverse:{engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_routes": str(routes)},
    )
    yield proxy, engine
    assert proxy.stop() == 0
    assert "Traceback" not in proxy.log()
    engine.close()


@pytest.mark.parametrize(
    "sent",
    [
        request("GET", "/v1/models", SMUGGLED),
        request("GET", "/v1/models", b"{}"),
        request("GET", "/v1/models", b" "),
        request("GET", "/v1/models", gzip.compress(b""), Content_Encoding="gzip"),
        request("HEAD", "/v1/models", SMUGGLED),
        request("DELETE", "/thing", SMUGGLED),
        request("OPTIONS", "/v1/models", SMUGGLED),
        request("GET", "/v1/models", SMUGGLED, Expect="100-continue"),
        chunked("GET", "/v1/models", SMUGGLED),
        chunked("GET", "/v1/models", b"G", b"ET / HTTP/1.1\r\n\r\n"),
        request("POST", "/tokenize", SMUGGLED),
        request("POST", "/tokenize", b"\r\n" + SMUGGLED),
        request("POST", "/tokenize", b"[]"),
        request("POST", "/tokenize", b""),
        request("POST", "/tokenize", BODY + SMUGGLED),
        request("POST", "/tokenize", SMUGGLED, Content_Type="application/octet-stream"),
        request("POST", "/tokenize", gzip.compress(SMUGGLED), Content_Encoding="gzip"),
        chunked("POST", "/v1/messages/count_tokens", SMUGGLED),
        request("POST", "/nothing", SMUGGLED),
        request("POST", "/nothing", b"{}"),
        request("PUT", "/object", SMUGGLED),
        request("POST", "/form", BODY, Content_Type="multipart/form-data; boundary=b"),
        request("POST", "/form", SMUGGLED + FORM, Content_Type="multipart/form-data; boundary=b"),
        request("POST", "/form", FORM + b"\r\n" + SMUGGLED, Content_Type="multipart/form-data; boundary=b"),
        request("POST", "/form", FORM, Content_Type='multipart/form-data; boundary="b /a HTTP/1.1"'),
    ],
)
def test_a_body_that_is_not_what_the_route_takes_is_refused_and_reaches_no_engine(
    unreading: tuple[Proxy, UnreadBodiesEngine], sent: bytes
) -> None:
    proxy, engine = unreading
    engine.seen.clear()
    refused = proxy.metric("phoebe_exchanges_refused_total", reason="bad_body")

    with RawClient(proxy) as client:
        client.send(sent)
        status, headers = client.read_head()
        if status == 100:
            status, headers = client.read_head()
        assert (status, headers["content-type"]) == (400, "application/json")

    assert (engine.seen, engine.faults) == ([], [])
    assert proxy.metric("phoebe_exchanges_refused_total", reason="bad_body") == refused + 1


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (request("GET", "/v1/models"), b""),
        (request("GET", "/v1/models", b""), b""),
        (chunked("GET", "/v1/models"), b""),
        (request("HEAD", "/v1/models"), b""),
        (request("POST", "/nothing"), b""),
        (chunked("POST", "/nothing"), b""),
        (request("POST", "/tokenize", BODY), BODY),
        (chunked("POST", "/tokenize", BODY[:3], BODY[3:]), BODY),
        (request("POST", "/tokenize", gzip.compress(BODY), Content_Encoding="gzip"), BODY),
        (request("POST", "/form", FORM, Content_Type="multipart/form-data; boundary=b"), FORM),
    ],
)
def test_a_free_request_reaches_the_engine_once_in_plain_form(
    unreading: tuple[Proxy, UnreadBodiesEngine], sent: bytes, body: bytes
) -> None:
    proxy, engine = unreading
    engine.seen.clear()

    with RawClient(proxy) as client:
        client.send(sent)
        assert client.read_head()[0] == 200

    (seen,) = engine.seen
    assert seen.body == body
    assert seen.header(b"transfer-encoding") == seen.header(b"content-encoding") == []
    assert len(seen.header(b"content-length")) == (seen.method not in {"GET", "HEAD"})
    assert engine.faults == []


def test_over_http_2_too_a_body_is_taken_only_where_the_route_has_one(
    unreading: tuple[Proxy, UnreadBodiesEngine],
) -> None:
    proxy, engine = unreading
    engine.seen.clear()

    with Http2Client(proxy) as client:
        smuggling = client.ask("GET", "/v1/models", IDENTITY, SMUGGLED)
        rubbish = client.ask("POST", "/tokenize", IDENTITY, SMUGGLED)
        empty = client.ask("GET", "/v1/models", IDENTITY, b"")
        object_ = client.ask("POST", "/tokenize", IDENTITY, BODY)
        client.read_until(lambda: all(each.ended for each in (smuggling, rubbish, empty, object_)))

    assert [smuggling.status, rubbish.status, empty.status, object_.status] == [400, 400, 200, 200]
    assert {(seen.target, seen.body) for seen in engine.seen} == {("/v1/models", b""), ("/tokenize", BODY)}
    assert engine.faults == []


def test_who_shares_a_connection_with_a_smuggler_gets_the_own_answer(
    unreading: tuple[Proxy, UnreadBodiesEngine], rater: EventRecorder
) -> None:
    proxy, engine = unreading
    engine.seen.clear()

    with RawClient(proxy) as edge:
        for sent in (request("GET", "/v1/models", SMUGGLED), post("/tokenize", IDENTITY, SMUGGLED)):
            edge.send(sent + post(CHAT, VICTIM) + request("GET", "/v1/models") + post(CHAT, VICTIM))
            answers = [edge.read_answer() for _ in range(4)]
            assert [answer.status for answer in answers] == [400, 200, 200, 200]
            for answer in (answers[1], answers[3]):
                request_id = answer.headers["x-request-id"]
                assert json.loads(answer.body)["for"] == request_id
                assert event_of(rater, request_id).auth_id == "victim"
            assert json.loads(answers[2].body)["for"] == "nobody"

    assert [seen.method for seen in engine.seen] == ["POST", "GET", "POST"] * 2
    assert engine.faults == []


def test_who_follows_a_request_whose_body_the_engine_left_unread_gets_the_own_answer(
    unreading: tuple[Proxy, UnreadBodiesEngine],
) -> None:
    proxy, engine = unreading
    engine.seen.clear()

    with RawClient(proxy) as edge:
        edge.send(post(UNKNOWN, IDENTITY) + post(CHAT, VICTIM))
        assert edge.read_answer().status == 404
        answer = edge.read_answer()
        assert (answer.status, json.loads(answer.body)["for"]) == (200, answer.headers["x-request-id"])

    assert [seen.target for seen in engine.seen] == [UNKNOWN, CHAT]
    engine.faults.clear()  # the body, which no server takes for a request


def answer_to(request: EngineRequest) -> bytes:
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    content = json.dumps(
        {"model": "m", "choices": [], "usage": usage, "for": request.headers.get("x-request-id", "nobody")}
    ).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(content),
        content,
    )


STOLEN = answer_to(EngineRequest("POST", CHAT, {"x-request-id": "the attacker"}, b""))
OF_ONE_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
WITHOUT_LENGTH = b"HTTP/1.1 200 OK\r\n\r\n{}"


def at_once(*, then: bytes = STOLEN, answer: bytes | None = None) -> engines.Script:
    return lambda request, line: line.send((answer or answer_to(request)) + then)


def own(request: EngineRequest, line: Line) -> None:
    line.send(answer_to(request))


def serves_victims_their_own(edge: RawClient) -> None:
    edge.send(post(CHAT, VICTIM))
    answer = edge.read_answer()
    assert (answer.status, json.loads(answer.body)["for"]) == (200, answer.headers["x-request-id"])


@pytest.mark.parametrize(
    ("ask", "script", "count"),
    [
        (post(CHAT, IDENTITY), at_once(), len(STOLEN)),
        (post(CHAT, IDENTITY), at_once(then=b"x"), 1),
        (post(CHAT, IDENTITY), at_once(then=STOLEN * 3), 3 * len(STOLEN)),
        (post(CHAT, IDENTITY), at_once(then=b"HTTP/1.1 100 Continue\r\n\r\n" + STOLEN), len(STOLEN) + 25),
        (post(CHAT, IDENTITY), at_once(answer=OF_ONE_CHUNK), len(STOLEN)),
        (post(CHAT, {**IDENTITY, "Connection": "close"}, version="HTTP/1.0"), at_once(), len(STOLEN)),
        (request("GET", "/v1/models"), at_once(), len(STOLEN)),
        (request("GET", "/health"), at_once(answer=b"HTTP/1.1 304 Not Modified\r\n\r\n"), len(STOLEN)),
        (request("GET", "/health"), at_once(answer=b"HTTP/1.1 204 No Content\r\n\r\n"), len(STOLEN)),
    ],
)
def test_what_comes_behind_an_answer_is_nobodys(
    proxy: Proxy, engine: Engine, ask: bytes, script: engines.Script, count: int
) -> None:
    engine.script = engines.in_turn(script, own, own)
    before = proxy.metric("phoebe_engine_bytes_unasked_total")

    with RawClient(proxy) as edge:
        edge.send(ask)
        if b"/health" in ask:
            edge.read_head()
        else:
            edge.read_answer()
        if b"HTTP/1.0" not in ask:
            serves_victims_their_own(edge)
            serves_victims_their_own(edge)

    assert proxy.metric("phoebe_engine_bytes_unasked_total") == before + count
    said = f"the engine 127.0.0.1:{engine.port} sent {counted(count, 'byte')} that nobody asked for"
    assert said in proxy.log()  # the same is written once a minute
    assert "the attacker" not in proxy.log()


def test_what_comes_while_nothing_is_asked_is_nobodys(proxy: Proxy, engine: Engine) -> None:
    before = proxy.metric("phoebe_engine_bytes_unasked_total")
    answered, said = threading.Event(), threading.Event()

    def talks_on(request: EngineRequest, line: Line) -> None:
        line.send(answer_to(request))
        assert answered.wait(10)
        line.send(STOLEN)
        said.set()
        assert line.wait_until_closed()

    engine.script = engines.in_turn(talks_on, own)
    with RawClient(proxy) as edge:
        serves_victims_their_own(edge)
        answered.set()
        assert said.wait(10)
        serves_victims_their_own(edge)

    assert proxy.metric("phoebe_engine_bytes_unasked_total") == before + len(STOLEN)


@pytest.mark.parametrize("status", [204, 304])
def test_a_body_where_an_answer_has_none_is_not_the_next_answer(
    proxy: Proxy, engine: Engine, status: int
) -> None:
    """The body would come when the next client has asked already, had it to ask on the same connection."""

    def answers_with_a_late_body(_request: EngineRequest, line: Line) -> None:
        line.send(b"HTTP/1.1 %d Any\r\n\r\n" % status)
        assert line.wait_until_closed()

    engine.script = engines.in_turn(answers_with_a_late_body, own)
    with RawClient(proxy) as edge:
        edge.send(request("GET", "/v1/models"))
        assert edge.read_head()[0] == status
        serves_victims_their_own(edge)


class SpeaksFirst(Engine):
    """An engine that answers before it is asked: in one piece with the last message of its TLS handshake."""

    def __init__(self, context: ssl.SSLContext) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self._context = context
        super().__init__()

    @override
    def serve_connection(self, connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))
        tls.write(STOLEN)
        connection.sendall(outgoing.read())
        Line(connection).wait_until_closed()


@pytest.fixture
def speaking_proxy(tmp_path: Path, rater: EventRecorder) -> Iterator[tuple[Proxy, Engine]]:
    authority = Authority()
    authority_path = tmp_path / "authority.pem"
    authority_path.write_bytes(authority.pem)
    certificate, key = authority.issue("localhost", x509.DNSName("localhost")).write(tmp_path, "engine")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    engine = SpeaksFirst(context)
    proxy = Proxy(
        tmp_path / "proxy",
        options={
            "phoebe_upstream": f"https://localhost:{engine.port}",
            "phoebe_rater": f"127.0.0.1:{rater.port}",
            "ssl_verify_upstream_trusted_ca": str(authority_path),
        },
    )
    yield proxy, engine
    proxy.stop()
    engine.close()


def test_an_engine_that_answers_before_it_is_asked_answers_nobody(
    speaking_proxy: tuple[Proxy, Engine], rater: EventRecorder
) -> None:
    proxy, engine = speaking_proxy

    with RawClient(proxy) as edge:
        for number in range(3):
            edge.send(post(CHAT, {**VICTIM, "X-Request-Id": f"{engine.port} {number}"}))
            answer = edge.read_answer()
            assert (answer.status, json.loads(answer.body)["error"]["code"]) == (502, "upstream")

    assert engine.requests == []
    for number in range(3):
        event = event_of(rater, f"{engine.port} {number}")
        assert (event.outcome, event.usage_found) == ("upstream_error", False)
    assert proxy.metric("phoebe_engine_bytes_unasked_total") == 3 * len(STOLEN)
    # What is said again within a minute is counted, and not written.
    assert proxy.log().count(f"the engine localhost:{engine.port} sent {len(STOLEN)} bytes") == 1
