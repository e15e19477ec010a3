"""No query of a URL stands in the log, whatever is asked and however much mitmdump is told to print."""

import socket
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.conftest import IDENTITY
from tests.harness.engine import Engine, EngineRequest, Line, document
from tests.harness.events import EventRecorder
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import Proxy
from tests.harness.raw_client import CutOffError, RawClient, post

KEY = "a-key-that-stands-in-no-log"
QUERY = f"?api-version=1&key={KEY}"
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("detail", ["1", "4"])
def test_no_query_is_printed(tmp_path: Path, engine: Engine, rater: EventRecorder, detail: str) -> None:
    asked: list[str] = []

    def answer(request: EngineRequest, line: Line) -> None:
        asked.append(request.path)
        if b"broken" in request.body:
            line.send(b"no HTTP\r\n\r\n")
        else:
            document({"model": "m"})(request, line)

    engine.script = answer
    proxy = Proxy(
        tmp_path,
        *("--mode", f"reverse:{engine.url}", "--flow-detail", detail),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}", "termlog_verbosity": "debug"},
    )
    head = "".join(f"{name}: {value}\r\n" for name, value in IDENTITY.items())
    try:
        for sent in (
            post(CHAT + QUERY, IDENTITY),
            post(CHAT + QUERY, IDENTITY, b'{"model":"broken"}'),
            post(CHAT + QUERY, IDENTITY, b"no JSON"),
            post(CHAT + QUERY, {}),
            post("/nowhere" + QUERY, IDENTITY),
            post(CHAT + QUERY, {**IDENTITY, "Content-Length": "x"}),
            f"GET /v1/models{QUERY} HTTP/1.1\r\nHost: p\r\n{head}\r\n".encode(),
            f"GET http://p/v1/models{QUERY} HTTP/1.1\r\nHost: p\r\n{head}\r\n".encode(),
            f"GET /v1/models{QUERY} HTTP/3\r\nHost: p\r\n{head}\r\n".encode(),
            f"GET /v1/models{QUERY}\r\n\r\n".encode(),
            f"OPTIONS /v1/models{QUERY} HTTP/1.1\r\nHost: p\r\n\r\n".encode(),
            post(CHAT + QUERY, IDENTITY)[:-5],
        ):
            with RawClient(proxy, timeout_s=5) as client, suppress(CutOffError):
                client.send(sent)
                if sent.endswith((b"}", b"\n", b"N")):
                    client.read_head()
        with Http2Client(proxy) as http2:
            for body in (b'{"model":"m"}', b'{"model":"broken"}'):
                stream = http2.post(CHAT + QUERY, list(IDENTITY.items()), body)
                http2.read_until(partial(getattr, stream, "ended"))
        assert proxy.stop() == 0
    finally:
        proxy.stop()

    assert any(QUERY in path for path in asked)
    log = proxy.log()
    assert f"POST {engine.url}{CHAT}" in log
    assert KEY not in log


def test_no_udp_is_listened_on(tmp_path: Path, rater: EventRecorder) -> None:
    options = {"phoebe_rater": f"127.0.0.1:{rater.port}"}
    proxy = Proxy(tmp_path, "--mode", "reverse:https://127.0.0.1:1", options=options)
    try:
        assert "HTTP/3 is turned off" in proxy.log()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", proxy.port))
    finally:
        assert proxy.stop() == 0
