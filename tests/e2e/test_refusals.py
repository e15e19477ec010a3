"""What the gate refuses, as clients see it: a real mitmdump, raw sockets and HTTP clients."""

import json
import socket

import httpx
import pytest

from tests.e2e.conftest import IDENTITY
from tests.harness.content_codings import encode
from tests.harness.engine import Engine, EngineRequest, Line
from tests.harness.proxy import Proxy

CHAT = "/v1/chat/completions"
BODY = {"model": "m", "messages": []}


def error_of(response: httpx.Response) -> dict[str, object]:
    """Return the error object, having checked that the answer has the shape of the OpenAI API."""
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert set(document) == {"error"}
    assert set(document["error"]) == {"message", "type", "param", "code"}
    error: dict[str, object] = document["error"]
    return error


def raw_exchange(proxy: Proxy, request: bytes) -> bytes:
    """Send bytes and read until the proxy closes or falls silent."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=3) as connection:
        connection.sendall(request)
        received = b""
        try:
            while data := connection.recv(65536):
                received += data
        except TimeoutError:
            pass
    return received


def head_only(_request: EngineRequest, line: Line) -> None:
    """Answer a HEAD request: with the length that GET would have, and no body."""
    line.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1234\r\n\r\n")


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({}, ["X-Saturn-Auth-Id is missing", "X-Saturn-Resource-Id is missing"]),
        ({"X-Saturn-Auth-Id": "a"}, ["X-Saturn-Resource-Id is missing"]),
        ({"X-Saturn-Auth-Id": "", "X-Saturn-Resource-Id": "r"}, ["X-Saturn-Auth-Id is empty"]),
        (
            {"X-Saturn-Auth-Id": "a" * 65, "X-Saturn-Resource-Id": ""},
            ["longer than 64", "Resource-Id is empty"],
        ),
    ],
)
def test_every_missing_or_bad_identity_header_is_named(
    proxy: Proxy, engine: Engine, headers: dict[str, str], named: list[str]
) -> None:
    response = httpx.post(proxy.url + CHAT, json=BODY, headers=headers)
    assert response.status_code == 400
    assert all(text in str(error_of(response)["message"]) for text in named)
    assert engine.requests == []


def test_an_identity_header_given_twice_is_refused(proxy: Proxy, engine: Engine) -> None:
    headers = [*IDENTITY.items(), ("x-saturn-auth-id", "auth-2")]
    response = httpx.post(proxy.url + CHAT, json=BODY, headers=headers)
    assert response.status_code == 400
    assert "X-Saturn-Auth-Id is given 2 times" in str(error_of(response)["message"])
    assert engine.requests == []


def test_identity_headers_that_a_proxy_joined_are_refused(proxy: Proxy, engine: Engine) -> None:
    headers = {**IDENTITY, "X-Saturn-Resource-Id": "res-1, res-2"}
    response = httpx.post(proxy.url + CHAT, json=BODY, headers=headers)
    assert response.status_code == 400
    assert "X-Saturn-Resource-Id has a comma" in str(error_of(response)["message"])
    assert engine.requests == []


def test_a_browser_is_answered_by_the_proxy_itself(proxy: Proxy, engine: Engine) -> None:
    answered = proxy.metric("phoebe_preflights_total")
    page = {
        "Origin": "https://page.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    response = httpx.options(proxy.url + CHAT, headers=page)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["allow"] == "POST, OPTIONS"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-allow-headers"] == "authorization,content-type"
    assert httpx.options(proxy.url + "/nowhere", headers=page).status_code == 404
    assert httpx.request("OPTIONS", proxy.url + CHAT, headers=page, content=b"x").status_code == 400
    assert engine.requests == []
    assert proxy.metric("phoebe_preflights_total") == answered + 1


def test_head_passes_free_where_get_does(proxy: Proxy, engine: Engine) -> None:
    engine.script = head_only
    response = httpx.head(proxy.url + "/v1/models", headers=IDENTITY, timeout=10)
    assert response.headers["content-length"] == "1234"
    assert [(request.method, request.body) for request in engine.requests] == [("HEAD", b"")]
    assert httpx.head(proxy.url + CHAT, headers=IDENTITY).status_code == 405


@pytest.mark.parametrize("blank", ["", " ", "\t  "])
def test_a_blank_identity_is_no_identity(proxy: Proxy, engine: Engine, blank: str) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nX-Saturn-Auth-Id:{blank}\r\nX-Saturn-Resource-Id: r\r\n"
    answer = raw_exchange(proxy, head.encode() + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"X-Saturn-Auth-Id is empty" in answer
    assert engine.requests == []


def test_an_identity_that_is_not_ascii_is_refused(proxy: Proxy, engine: Engine) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nX-Saturn-Auth-Id: Jürgen\r\nX-Saturn-Resource-Id: r\r\n"
    answer = raw_exchange(proxy, head.encode("latin-1") + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"not printable ASCII" in answer
    assert engine.requests == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/fine_tuning/jobs", 404),
        ("POST", "/v1/chat/completions/", 404),
        ("POST", "/v1/chat%2Fcompletions", 404),
        ("POST", "/v1//chat/completions", 404),
        ("POST", "/v1", 404),
        ("GET", "/metrics", 404),
        ("GET", CHAT, 405),
        ("PUT", CHAT, 405),
        ("OPTIONS", "/v1/nowhere", 404),
        ("DELETE", "/v1/models/m", 405),
    ],
)
def test_what_is_neither_metered_nor_free_is_refused(
    client: httpx.Client, engine: Engine, method: str, path: str, status: int
) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    error_of(response)
    assert ("allow" in response.headers) == (status == 405)
    assert engine.requests == []


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_a_protocol_upgrade_is_refused(client: httpx.Client, engine: Engine, protocol: str) -> None:
    response = client.get("/v1/models", headers={"Connection": "Upgrade", "Upgrade": protocol})
    assert response.status_code == 501
    assert error_of(response)["code"] == "protocol_upgrade"
    assert engine.requests == []


def test_connect_is_refused_and_the_connection_stays_an_http_connection(proxy: Proxy, engine: Engine) -> None:
    connect = f"CONNECT 127.0.0.1:{engine.port} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    answer = raw_exchange(proxy, connect + b"GET /secret HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert engine.requests == []


@pytest.mark.parametrize("target", ["http://127.0.0.1:{port}/v1/nope", "127.0.0.1:{port}", "*"])
def test_the_proxy_is_never_an_open_one(proxy: Proxy, engine: Engine, target: str) -> None:
    identity = "".join(f"{name}: {value}\r\n" for name, value in IDENTITY.items())
    request = (
        f"GET {target.format(port=engine.port)} HTTP/1.1\r\nHost: x\r\n{identity}Connection: close\r\n\r\n"
    )
    answer = raw_exchange(proxy, request.encode())
    assert answer.split(b" ")[1] in {b"400", b"404", b"405"}
    assert engine.requests == []


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"null", b'{"model": NaN}', b"\xff\xfe", b"a=b", b"[" * 50_000, b'{"a":1}{}']
)
def test_a_body_that_is_not_a_json_object_is_refused(
    client: httpx.Client, engine: Engine, body: bytes
) -> None:
    response = client.post(CHAT, content=body)
    assert response.status_code == 400
    assert error_of(response)["code"] == "bad_body"
    assert engine.requests == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_in_json(
    client: httpx.Client, engine: Engine, chunked: bool
) -> None:
    body = json.dumps({"model": "m", "padding": "x" * 200_000}).encode()
    response = client.post(CHAT, content=iter([body]) if chunked else body)
    assert response.status_code == 413
    assert error_of(response)["code"] == "body_too_large"
    assert engine.requests == []


@pytest.mark.parametrize(
    ("coding", "content", "status"),
    [
        ("compress", b"{}", 400),
        ("gzip", b"{}", 400),
        ("gzip", encode("gzip", b"{}")[:-1], 400),
        ("gzip, br", encode("gzip", b"{}"), 400),
        ("gzip", encode("gzip", b"[]"), 400),
        ("gzip", encode("gzip", b" " * 2**24), 413),
        ("br", encode("br", b" " * 2**24), 413),
    ],
)
def test_a_compressed_body_that_cannot_be_read_is_refused(
    client: httpx.Client, engine: Engine, coding: str, content: bytes, status: int
) -> None:
    assert len(content) < 100_000
    response = client.post(CHAT, content=content, headers={"Content-Encoding": coding})
    assert response.status_code == status
    assert error_of(response)["code"] == ("bad_body" if status == 400 else "body_too_large")
    assert engine.requests == []


@pytest.mark.parametrize(
    ("method", "path", "why"),
    [
        ("GET", "/v1/realtime", "WebSocket"),
        ("POST", "/v1/batches", "batch"),
        ("POST", "/vertex", "/generate"),
        ("POST", "/api/embeddings", "/api/embed"),
    ],
)
def test_what_is_known_and_cannot_be_metered_is_refused_with_the_reason(
    proxy: Proxy, client: httpx.Client, method: str, path: str, why: str
) -> None:
    before = proxy.metric("phoebe_exchanges_refused_total", reason="unmeterable")
    response = client.request(method, path, json={})
    assert response.status_code == 404
    assert why in response.text
    assert proxy.metric("phoebe_exchanges_refused_total", reason="unmeterable") == before + 1


def test_a_response_in_the_background_is_refused(client: httpx.Client, engine: Engine) -> None:
    response = client.post("/v1/responses", json={"model": "m", "input": "a", "background": True})
    assert response.status_code == 400
    assert "background" in str(error_of(response)["message"])
    assert engine.requests == []


def test_a_transcription_that_is_no_form_is_refused(client: httpx.Client, engine: Engine) -> None:
    response = client.post("/v1/audio/transcriptions", json=BODY)
    assert response.status_code == 400
    assert "not a form" in str(error_of(response)["message"])
    assert engine.requests == []


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/messages", {"type": str, "error": dict}),
        ("/api/chat", {"error": str}),
        ("/v2/models/m/generate", {"error": str}),
        ("/generate_stream", {"error": str, "error_type": str}),
        ("/v2/chat", {"message": str}),
    ],
)
def test_the_clients_of_every_api_are_refused_in_its_own_words(
    client: httpx.Client, engine: Engine, path: str, shape: dict[str, type]
) -> None:
    for response, status in (
        (client.post(path, content=b"[]"), 400),
        (client.request("GET", path), 405),
        (client.post(path, content=b"x" * 200_000), 413),
        (client.post(path, content=iter([b"x" * 200_000])), 413),
        (client.post(path, json={}, headers={"Upgrade": "h2c", "Connection": "Upgrade"}), 501),
    ):
        assert response.status_code == status
        assert response.headers["content-type"] == "application/json"
        assert {name: type(value) for name, value in response.json().items()} == shape
    assert engine.requests == []


@pytest.mark.parametrize(
    "noise",
    [
        b"garbage\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: nope\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1" + b"\x00" * 160,
        b"\x00" * 500 + b"\r\n\r\n",
    ],
)
def test_bytes_that_are_not_http_reach_no_engine(
    proxy: Proxy, client: httpx.Client, engine: Engine, noise: bytes
) -> None:
    raw_exchange(proxy, noise)
    assert engine.requests == []
    assert client.get("/v1/models").status_code == 200


def test_a_peer_that_is_no_trusted_edge_is_refused(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("untrusted")
    edges = {"phoebe_trusted_edges": "10.0.0.0/8", "phoebe_upstream": engine.url}
    proxy = Proxy(folder, options=edges)
    try:
        response = httpx.post(proxy.url + CHAT, json=BODY, headers=IDENTITY)
        assert response.status_code == 403
        assert error_of(response)["code"] == "untrusted_peer"
        assert engine.requests == []
        assert proxy.metric("phoebe_exchanges_refused_total", reason="untrusted_peer") == 1
    finally:
        proxy.stop()


def test_a_refused_exchange_makes_no_event_and_is_counted(
    proxy: Proxy, client: httpx.Client, engine: Engine
) -> None:
    refused = proxy.metric("phoebe_exchanges_refused_total", reason="unknown_route")
    admitted = proxy.metric("phoebe_exchanges_admitted_total")
    client.post("/v1/unheard-of")
    assert proxy.metric("phoebe_exchanges_refused_total", reason="unknown_route") == refused + 1
    assert proxy.metric("phoebe_exchanges_admitted_total") == admitted


def test_a_keep_alive_connection_goes_on_after_a_refusal(client: httpx.Client, engine: Engine) -> None:
    assert client.post(CHAT, content=b"x" * 200_000).status_code == 413
    assert client.post("/nope").status_code == 404
    assert client.get("/v1/models").status_code == 200
    assert len(engine.requests) == 1
