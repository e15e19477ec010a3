"""The edges of docs/edge.md in front of a real mitmdump: who is billed, streams, large bodies."""

import shutil
import ssl
import threading
from collections.abc import Iterator

import httpx
import pytest

from tests.harness import engine as engines
from tests.harness.edges import SECRET, Edge, IdentityService
from tests.harness.engine import Engine, EngineRequest, Line
from tests.harness.events import EventRecorder
from tests.harness.proxy import Proxy

pytestmark = pytest.mark.deploy

CHAT = "/v1/chat/completions"
FORGED = {
    "X-Saturn-Auth-Id": "victim",
    "X-Saturn-Resource-Id": "cheap",
    "X-Saturn-Base-Model": "cheap/base",
    "X-Saturn-User-Id": "somebody",
    "X-Saturn-Group-Id": "a-group",
    "X-Saturn-Resource-Type": "free",
    "X-Phoebe-Edge-Secret": "guess-guess-guess-guess",
}
IDENTITIES = {
    "acme": {"X-Saturn-Auth-Id": "acme", "X-Saturn-Resource-Id": "llama-blue"},
    # The identity service knows who it is and not for what: that is billed to nobody, so it is refused.
    "half": {"X-Saturn-Auth-Id": "half"},
}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    started = Engine()
    yield started
    started.close()


@pytest.fixture(scope="module")
def rater() -> Iterator[EventRecorder]:
    recorder = EventRecorder()
    yield recorder
    recorder.close()


@pytest.fixture(scope="module")
def proxy(engine: Engine, rater: EventRecorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    secret = folder / "edge.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    options = {"phoebe_rater": f"127.0.0.1:{rater.port}", "phoebe_edge_secret_file": str(secret)}
    started = Proxy(folder, "--mode", f"reverse:{engine.url}", options=options)
    yield started
    started.stop()


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def edge(
    request: pytest.FixtureRequest, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not on this machine")
    identity = IdentityService(IDENTITIES)
    started = Edge(name, tmp_path_factory.mktemp(name), proxy.port, identity.port)
    yield started
    started.stop()
    identity.close()


@pytest.fixture(params=[True, False], ids=["http2", "http1"])
def client(request: pytest.FixtureRequest, edge: Edge, engine: Engine) -> Iterator[httpx.Client]:
    engine.requests.clear()
    engine.script = engines.document({"model": "m", "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    with httpx.Client(
        base_url=edge.url, verify=trust(edge), http2=request.param, trust_env=False, timeout=20
    ) as opened:
        yield opened


def trust(edge: Edge) -> ssl.SSLContext:
    trusted = ssl.create_default_context(cadata=edge.authority.pem.decode())
    # The certificates of the harness have no key identifiers.
    trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return trusted


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_client_is_billed_as_who_it_is_whatever_it_claims(
    client: httpx.Client, rater: EventRecorder
) -> None:
    answer = client.post(CHAT, json={"model": "m"}, headers={**FORGED, **bearer("acme")})

    assert answer.status_code == 200, answer.text
    event = rater.wait_for(lambda event: event.request_id == answer.headers["x-request-id"])
    assert (event.auth_id, event.resource_id) == ("acme", "llama-blue")
    claimed = [event.base_model, event.user_id, event.group_id, event.resource_type]
    assert set(FORGED.values()).isdisjoint(claimed)


def test_what_the_identity_service_does_not_say_is_not_taken_from_the_client(
    client: httpx.Client, engine: Engine
) -> None:
    answer = client.post(CHAT, json={"model": "m"}, headers={**FORGED, **bearer("half")})

    assert answer.status_code == 400
    assert "X-Saturn-Resource-Id is missing" in answer.text
    assert engine.requests == []


def test_whom_the_identity_service_does_not_know_reaches_nobody(client: httpx.Client, engine: Engine) -> None:
    answer = client.post(CHAT, json={"model": "m"}, headers={**FORGED, **bearer("nobody")})

    assert answer.status_code == 401
    assert engine.requests == []


def test_neither_the_secret_nor_the_identity_reaches_the_engine(client: httpx.Client, engine: Engine) -> None:
    assert client.post(CHAT, json={"model": "m"}, headers=bearer("acme")).status_code == 200

    [asked] = engine.requests
    assert not any(name.startswith(("x-saturn", "x-phoebe")) for name in asked.headers)


def test_the_first_piece_of_a_stream_comes_before_the_engine_sends_the_second(
    client: httpx.Client, engine: Engine
) -> None:
    seen = threading.Event()

    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(b'data: {"model": "m", "choices": [{"delta": {"content": "a"}}]}\n\n')
        # Goes on only when the client has it: an edge that buffers would wait for ever.
        assert seen.wait(15)
        line.send_chunk(b"data: [DONE]\n\n")
        line.send(engines.LAST_CHUNK)

    engine.script = script
    with client.stream("POST", CHAT, json={"model": "m", "stream": True}, headers=bearer("acme")) as answer:
        pieces = answer.iter_bytes()
        assert b'"content": "a"' in next(pieces)
        seen.set()
        assert b"[DONE]" in b"".join(pieces)


def test_a_body_of_ten_megabytes_arrives_whole(client: httpx.Client, engine: Engine) -> None:
    text = "x" * 10_000_000
    answer = client.post(CHAT, json={"model": "m", "messages": [text]}, headers=bearer("acme"))

    assert answer.status_code == 200, answer.text
    assert len(engine.requests[0].body) > len(text)


def test_a_body_over_the_limit_ends_at_the_edge(edge: Edge, engine: Engine) -> None:
    engine.requests.clear()
    # Over HTTP/1: the answer comes before the body has gone out, and httpx would wait for its turn in HTTP/2.
    with httpx.Client(base_url=edge.url, verify=trust(edge), trust_env=False, timeout=20) as client:
        answer = client.post(CHAT, content=b" " * 17_000_000, headers=bearer("acme"))

    assert answer.status_code in {413, 502}
    assert engine.requests == []
