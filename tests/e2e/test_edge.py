"""What is between the edge and the proxy: the secret that lets requests in, and what engines never see."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import IDENTITY
from tests.harness.events import EventRecorder
from tests.harness.http2_client import Http2Client
from tests.harness.proxy import Proxy
from tests.harness.raw_client import RawAnswer, RawClient
from tests.harness.witness_engine import WitnessEngine

CHAT = "/v1/chat/completions"
BODY = b'{"model":"m"}'
SECRET = "edge-secret-that-must-not-be-seen"
NEXT = "the-next-secret-that-must-not-be"
NAME = "X-Phoebe-Edge-Secret"


def fields(*more: tuple[str, str]) -> bytes:
    """Write a request with an identity and whatever other headers, in any number."""
    headers = [("Host", "proxy"), *IDENTITY.items(), *more, ("Content-Length", str(len(BODY)))]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return f"POST {CHAT} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + BODY


def asked(proxy: Proxy, *more: tuple[str, str]) -> RawAnswer:
    with RawClient(proxy) as client:
        client.send(fields(*more))
        return client.read_answer()


def asked_http2(proxy: Proxy, *more: tuple[str, str]) -> int:
    with Http2Client(proxy) as client:
        stream = client.post(CHAT, [*IDENTITY.items(), *more], BODY)
        client.read_until(lambda: stream.ended)
        return stream.status


@pytest.fixture(scope="module")
def witness() -> Iterator[WitnessEngine]:
    started = WitnessEngine()
    yield started
    started.close()
    assert started.faults == []


@pytest.fixture
def engine(witness: WitnessEngine) -> WitnessEngine:
    witness.seen.clear()
    return witness


@pytest.fixture(scope="module")
def secrets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secrets") / "edge"


def deploy(path: Path, *secrets: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text("\n".join(secrets))
    fresh.chmod(0o600)
    fresh.replace(path)


@pytest.fixture(scope="module")
def guarded(
    witness: WitnessEngine, rater: EventRecorder, secrets_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy that asks for a secret and says everything it can in its log."""
    deploy(secrets_file, SECRET)
    folder = tmp_path_factory.mktemp("guarded")
    started = Proxy(
        folder,
        *("--mode", f"reverse:{witness.url}", "--flow-detail", "4", "-w", str(folder / "flows")),
        options={
            "phoebe_rater": f"127.0.0.1:{rater.port}",
            "phoebe_edge_secret_file": str(secrets_file),
            "termlog_verbosity": "debug",
        },
    )
    yield started
    assert started.stop() == 0
    assert "Traceback" not in started.log()
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert [
        path for path in kept if any(secret.encode() in path.read_bytes() for secret in (SECRET, NEXT))
    ] == []


def test_who_shows_the_secret_is_let_in(guarded: Proxy, engine: WitnessEngine) -> None:
    assert asked(guarded, (NAME, SECRET)).status == 200
    assert asked(guarded, (NAME.lower(), SECRET)).status == 200
    assert asked(guarded, (NAME.upper(), f"  {SECRET} \t")).status == 200
    assert asked_http2(guarded, (NAME, SECRET)) == 200
    assert len(engine.seen) == 4


@pytest.mark.parametrize(
    "shown",
    [
        (),
        ((NAME, ""),),
        ((NAME, SECRET[:-1]),),
        ((NAME, SECRET.upper()),),
        ((NAME, SECRET), (NAME, SECRET)),
        ((NAME, SECRET), (NAME.lower(), "wrong")),
        ((NAME, f"{SECRET}, {SECRET}"),),
        ((NAME, f"{SECRET}\u00fc"),),
        ((NAME.replace("-", "_"), SECRET),),
        (("Authorization", f"Bearer {SECRET}"),),
    ],
)
def test_who_does_not_is_refused_and_reaches_no_engine(
    guarded: Proxy, engine: WitnessEngine, shown: tuple[tuple[str, str], ...]
) -> None:
    before = guarded.metric("phoebe_exchanges_refused_total", reason="edge_secret")
    answer = asked(guarded, *(pair for pair in shown if pair[0] != "Authorization"))
    assert answer.status == 403
    assert b'"code": "edge_secret"' in answer.body
    assert SECRET.encode() not in answer.body
    assert guarded.metric("phoebe_exchanges_refused_total", reason="edge_secret") == before + 1
    if all(value.isascii() for _, value in shown):
        assert asked_http2(guarded, *(pair for pair in shown if pair[0] != "Authorization")) == 403
    assert engine.seen == []


def test_a_free_request_needs_the_secret_too_and_the_refusal_has_the_shape_of_its_api(
    guarded: Proxy, engine: WitnessEngine
) -> None:
    with RawClient(guarded) as client:
        client.send(fields().replace(b"POST /v1/chat/completions", b"GET /v1/models"))
        assert client.read_answer().status == 403
        client.send(fields().replace(b"/v1/chat/completions", b"/v1/messages"))
        answer = client.read_answer()
    assert (answer.status, b'"type": "permission_error"' in answer.body) == (403, True)
    assert engine.seen == []


def test_a_request_that_is_no_request_does_not_bring_the_secret_into_the_log(guarded: Proxy) -> None:
    for cut in (fields((NAME, SECRET)).partition(b"Content-Length")[0], f"{NAME} {SECRET}\r\n\r\n".encode()):
        with RawClient(guarded) as client:
            client.send(cut)
    with RawClient(guarded) as client:
        client.send(f"GET / HTTP/1.1\r\n{NAME} {SECRET}\r\n\r\n".encode())
        assert client.read_answer().status == 400


def test_a_secret_is_exchanged_without_a_failed_request(
    guarded: Proxy, engine: WitnessEngine, secrets_file: Path
) -> None:
    def wait_until_read(text: str, count: int) -> None:
        guarded.wait_for_log(text, count)

    try:
        deploy(secrets_file, SECRET, NEXT)
        wait_until_read("the file of the edge's secrets was read again", 1)
        assert [asked(guarded, (NAME, secret)).status for secret in (SECRET, NEXT)] == [200, 200]
        deploy(secrets_file, NEXT)
        wait_until_read("the file of the edge's secrets was read again", 2)
        assert [asked(guarded, (NAME, secret)).status for secret in (SECRET, NEXT)] == [403, 200]
        deploy(secrets_file, "short")
        wait_until_read("what was in use stays in use", 1)
        secrets_file.unlink()
        wait_until_read("what was in use stays in use", 2)
        assert [asked(guarded, (NAME, secret)).status for secret in (SECRET, NEXT)] == [403, 200]
        line = next(line for line in guarded.log().splitlines() if "what was in use stays in use" in line)
        assert "line 1" in line
    finally:
        deploy(secrets_file, SECRET)
        wait_until_read("the file of the edge's secrets was read again", 3)
    assert asked(guarded, (NAME, SECRET)).status == 200


@pytest.mark.parametrize("content", [None, b"", b"fifteen-charact", b"two words and more of them"])
def test_a_proxy_whose_secrets_can_not_be_used_does_not_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "the-secret-itself-maybe"
    if content is not None:
        path.write_bytes(content)
    options = {"phoebe_edge_secret_file": str(path), "phoebe_upstream": "http://127.0.0.1:1"}
    proxy = Proxy(tmp_path, options=options, ready=None)
    assert proxy.ended() == 1
    assert "Traceback" not in proxy.log()
    if content is None:
        assert "phoebe_edge_secret_file" in proxy.log()
        assert path.name not in proxy.log()
    else:
        assert "secret" in proxy.log()
        assert "fifteen" not in proxy.log()
        assert "two words" not in proxy.log()


OTHER_SPELLINGS = (
    ("x_saturn_auth_id", "mallory"),
    ("X_Saturn-Auth_Id", "mallory"),
    ("x_phoebe_edge_secret", SECRET),
    ("X-Saturn-User-Id", "u"),
    ("x-SATURN-group-ID", "g"),
)


def edges_business(engine: WitnessEngine) -> set[bytes]:
    """Return the names, as servers may read them, of what the engine got and was not to."""
    names = {name.lower().replace(b"_", b"-") for request in engine.seen for name, _ in request.headers}
    return {name for name in names if name.startswith((b"x-saturn", b"x-phoebe"))}


def test_an_engine_sees_nothing_of_what_is_between_the_edge_and_the_proxy(
    guarded: Proxy, engine: WitnessEngine
) -> None:
    more = ((NAME, SECRET), *OTHER_SPELLINGS, ("X-Passed-On", "yes"))
    hop_by_hop = (
        ("Connection", "X-Hop, X-Saturn-Auth-Id, Content-Length"),
        ("X-Hop", "1"),
        ("TE", "trailers"),
    )
    assert asked(guarded, *more, *hop_by_hop).status == 200
    assert asked_http2(guarded, *more) == 200
    assert edges_business(engine) == set()
    assert [request.header(b"x-passed-on") for request in engine.seen] == [[b"yes"], [b"yes"]]
    assert [engine.seen[0].header(name) for name in (b"x-hop", b"te", b"connection")] == [[], [], []]
    assert [request.body for request in engine.seen] == [BODY, BODY]


def test_an_engine_is_told_who_pays_only_if_that_is_set_and_never_in_another_spelling(
    engine: WitnessEngine, tmp_path: Path
) -> None:
    options = {"phoebe_forward_identity": "true", "phoebe_upstream": engine.url}
    proxy = Proxy(tmp_path, options=options)
    try:
        connection = ("Connection", "X-Saturn-Auth-Id")
        assert asked(proxy, (NAME, SECRET), *OTHER_SPELLINGS, connection).status == 200
        assert asked_http2(proxy, (NAME, SECRET), *OTHER_SPELLINGS) == 200
        told = {b"x-saturn-auth-id", b"x-saturn-resource-id", b"x-saturn-user-id", b"x-saturn-group-id"}
        assert edges_business(engine) == told
        for request in engine.seen:
            assert request.header(b"x-saturn-auth-id") == [b"auth-1"]
            assert [name for name, _ in request.headers if b"_" in name] == []
    finally:
        proxy.stop()
