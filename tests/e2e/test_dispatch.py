"""Which engine a request goes to: one URL, a template, a map that changes, TLS, HTTP/2."""

import json
import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import override

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from mitmproxy import certs

from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.engine import Engine
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

CHAT = "/v1/chat/completions"
ANSWER = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


class _Http2Context(ssl.SSLContext):
    """Offers HTTP/2 alone: mitmproxy takes the first protocol on offer, and httpx puts HTTP/1.1 first."""

    @override
    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        super().set_alpn_protocols(["h2"])


@pytest.fixture
def other_engine() -> Iterator[Engine]:
    engine = Engine()
    engine.script = engines.document(ANSWER)
    yield engine
    engine.close()


def ask(proxy: Proxy, resource: str, model: str = "m") -> httpx.Response:
    return httpx.post(
        proxy.url + CHAT,
        json={"model": model},
        headers={**IDENTITY, "X-Saturn-Resource-Id": resource},
        timeout=10,
    )


def test_a_map_sends_each_resource_to_its_engine_and_is_read_again(
    tmp_path: Path, engine: Engine, other_engine: Engine, rater: EventRecorder
) -> None:
    engine.script = engines.document(ANSWER)
    upstreams = tmp_path / "upstreams.yaml"
    upstreams.write_text(
        f"one: {{url: '{engine.url}', models: [served]}}\ntwo: {{url: '{other_engine.url}/prefix'}}\n"
    )
    options = {"phoebe_upstream": str(upstreams), "phoebe_rater": f"127.0.0.1:{rater.port}"}
    proxy = Proxy(tmp_path, options=options)
    try:
        named = ask(proxy, "one", "served")
        assert named.status_code == 200
        assert ask(proxy, "two").status_code == 200
        assert other_engine.requests[0].path == f"/prefix{CHAT}"
        unknown = ask(proxy, "three")
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "no_upstream")
        not_served = ask(proxy, "one", "cheaper")
        assert (not_served.status_code, not_served.json()["error"]["code"]) == (404, "model_not_served")
        assert len(engine.requests) == 1
        request_id = named.headers["x-request-id"]
        event = rater.wait_for(lambda event: event.request_id == request_id)
        assert event.model_id == "served"  # the answer names no model, the resource serves only one

        upstreams.write_text("not: [a map")
        proxy.wait_for_log("what was in use stays in use")
        assert ask(proxy, "two").status_code == 200

        upstreams.write_text(f"three: {other_engine.url}\n")
        proxy.wait_for_log(f"the resource map {upstreams} was read again")
        assert ask(proxy, "three").status_code == 200
        assert ask(proxy, "two").status_code == 404
    finally:
        proxy.stop()


def test_routes_of_a_file_are_read_again(tmp_path: Path, engine: Engine) -> None:
    engine.script = engines.document(ANSWER)
    routes = tmp_path / "routes.yaml"
    routes.write_text("free: [GET /docs]")
    options = {"phoebe_upstream": engine.url, "phoebe_routes": str(routes)}
    proxy = Proxy(tmp_path, options=options)

    def status(path: str) -> int:
        return httpx.get(proxy.url + path, headers=IDENTITY, timeout=10).status_code

    try:
        assert (status("/docs"), status("/other")) == (200, 404)
        routes.write_text("free: [GET /other]")
        proxy.wait_for_log("routes.yaml was read again")
        assert (status("/docs"), status("/other")) == (404, 200)
    finally:
        proxy.stop()


def test_a_template_puts_the_resource_into_the_url_and_nothing_else(tmp_path: Path, engine: Engine) -> None:
    proxy = Proxy(tmp_path, options={"phoebe_upstream": f"{engine.url}/{{resource_id}}"})
    try:
        assert ask(proxy, "r-1").status_code == 200
        assert engine.requests[0].path == f"/r-1{CHAT}"
        for resource in ("../x", "a/b", "evil.example", "a@b", "a:1"):
            assert ask(proxy, resource).status_code == 404
        assert len(engine.requests) == 1
    finally:
        proxy.stop()


@pytest.fixture
def tls_engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine whose certificate for localhost is signed by the authority in tmp_path/test-ca.pem."""
    authority = certs.CertStore.from_store(tmp_path, "test", 2048)
    entry = authority.get_cert("localhost", [x509.DNSName("localhost")])
    key = entry.privatekey.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = tmp_path / "engine.pem"
    pem.write_bytes(key + entry.cert.to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    engine = Engine(context)
    engine.script = engines.document({"model": "m", **ANSWER})
    yield engine
    engine.close()


@pytest.mark.parametrize("trusted", [True, False])
def test_an_engine_behind_tls_is_asked_only_if_its_certificate_is_trusted(
    tmp_path: Path, tls_engine: Engine, rater: EventRecorder, trusted: bool
) -> None:
    options = {
        "phoebe_upstream": f"https://localhost:{tls_engine.port}",
        "phoebe_rater": f"127.0.0.1:{rater.port}",
    }
    if trusted:
        options["ssl_verify_upstream_trusted_ca"] = str(tmp_path / "test-ca-cert.pem")
    proxy = Proxy(tmp_path / "proxy", options=options)
    tag = f"tls-{trusted}"
    try:
        headers = {**IDENTITY, "X-Request-Id": tag}
        response = httpx.post(proxy.url + CHAT, json={"model": "m"}, headers=headers, timeout=10)
        assert response.status_code == (200 if trusted else 502)
        event = rater.tagged(tag)
        assert event.outcome == ("completed" if trusted else "upstream_error")
        assert len(tls_engine.requests) == trusted
    finally:
        proxy.stop()


def test_continuous_usage_makes_an_aborted_stream_exact_and_stays_invisible(
    tmp_path: Path, engine: Engine, rater: EventRecorder
) -> None:
    def piece(number: int) -> dict[str, object]:
        choice = {"index": 0, "delta": {"content": str(number)}}
        return {"id": "c", "model": "m", "choices": [choice]}

    def usage(number: int) -> dict[str, object]:
        return {"usage": {"prompt_tokens": 7, "completion_tokens": number}}

    chunks = [b"data: %s\n\n" % json.dumps({**piece(n), **usage(n)}).encode() for n in (1, 2)]
    clean = b"".join(b"data: %s\n\n" % json.dumps(piece(n)).encode() for n in (1, 2))

    def script(_request: engines.EngineRequest, line: engines.Line) -> None:
        line.send_stream_head()
        line.send_chunk(b"".join(chunks))
        line.wait_until_closed()

    engine.script = script
    proxy = Proxy(
        tmp_path,
        *("--mode", f"reverse:{engine.url}"),
        options={"phoebe_usage": "continuous", "phoebe_rater": f"127.0.0.1:{rater.port}"},
    )
    try:
        body = {"model": "m", "stream": True}
        with httpx.stream("POST", proxy.url + CHAT, json=body, headers=IDENTITY) as response:
            assert next(response.iter_raw()) == clean
        options = json.loads(engine.requests[0].body)["stream_options"]
        assert options == {"include_usage": True, "continuous_usage_stats": True}
        request_id = response.headers["x-request-id"]
        event = rater.wait_for(lambda event: event.request_id == request_id)
        assert (event.outcome, event.prompt_tokens, event.completion_tokens) == ("aborted", 7, 2)
    finally:
        proxy.stop()


def test_http_2_clients_over_tls_are_metered(tmp_path: Path, engine: Engine, rater: EventRecorder) -> None:
    content = b'data: {"model": "m", "choices": [], "usage": {"prompt_tokens": 9}}\n\ndata: [DONE]\n\n'
    engine.script = engines.stream([content])
    proxy = Proxy(
        tmp_path,
        *("--mode", f"reverse:{engine.url}"),
        options={"phoebe_rater": f"127.0.0.1:{rater.port}"},
    )
    try:
        context = _Http2Context(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with httpx.Client(http1=False, http2=True, verify=context, headers=IDENTITY) as client:
            url = f"https://127.0.0.1:{proxy.port}{CHAT}"
            response = client.post(url, json={"model": "m", "stream": True})
        assert response.http_version == "HTTP/2"
        assert response.content == b"data: [DONE]\n\n"
        request_id = response.headers["x-request-id"]
        event = rater.wait_for(lambda event: event.request_id == request_id)
        assert (event.prompt_tokens, event.outcome) == (9, "completed")
    finally:
        proxy.stop()
