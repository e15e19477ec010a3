import ipaddress
from dataclasses import replace

import pytest

from phoebe_addon.gate import GateRules, Pass, RequestHead, check_body, check_head, connect_refused
from phoebe_addon.identity import HeaderNames, Identity
from phoebe_addon.refusal import Refusal, RefusalReason
from phoebe_addon.request_body import RequestBody
from phoebe_addon.routes import Api
from phoebe_addon.upstreams import Upstream, Upstreams

RULES = GateRules(
    trusted_edges=tuple(ipaddress.ip_network(cidr) for cidr in ("127.0.0.0/8", "10.1.0.0/16", "fd00::/8")),
    header_names=HeaderNames(),
    body_bytes_max=100,
)
ENGINE = Upstream("http", "engine", 8000)
UPSTREAMS = Upstreams({"res-1": ENGINE})
HEADERS = {"x-saturn-auth-id": ["auth-1"], "x-saturn-resource-id": ["res-1"]}
HEAD = RequestHead("POST", "/v1/chat/completions", HEADERS, "127.0.0.1")
PASSED = Pass(Identity("auth-1", "res-1"), ENGINE, Api.OPENAI_CHAT)


def with_headers(**headers: list[str]) -> RequestHead:
    return replace(
        HEAD, headers=HEADERS | {name.replace("_", "-"): values for name, values in headers.items()}
    )


def refused(head: RequestHead) -> tuple[int, RefusalReason]:
    refusal = check_head(head, RULES, UPSTREAMS)
    assert isinstance(refusal, Refusal)
    return refusal.status, refusal.reason


def test_a_request_that_can_be_billed_passes() -> None:
    assert check_head(HEAD, RULES, UPSTREAMS) == PASSED


def test_a_query_is_no_part_of_the_path() -> None:
    assert check_head(replace(HEAD, target="/v1/chat/completions?a=/x?b"), RULES, UPSTREAMS) == PASSED


def test_a_free_request_passes_without_an_api() -> None:
    passed = check_head(replace(HEAD, method="GET", target="/v1/models"), RULES, UPSTREAMS)

    assert passed == replace(PASSED, api=None)


@pytest.mark.parametrize("peer", ["127.9.9.9", "10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "fd00::1%eth0"])
def test_trusted_edges_are_let_in(peer: str) -> None:
    assert isinstance(check_head(replace(HEAD, peer=peer), RULES, UPSTREAMS), Pass)


@pytest.mark.parametrize(
    "peer", ["10.2.0.1", "::ffff:10.2.0.1", "::1", "fe80::1%lo", "", "/run/socket", "localhost"]
)
def test_any_other_peer_is_refused(peer: str) -> None:
    assert refused(replace(HEAD, peer=peer)) == (403, RefusalReason.UNTRUSTED_PEER)


def test_an_untrusted_peer_learns_nothing_else() -> None:
    head = RequestHead("CONNECT", "/nowhere", {"upgrade": ["websocket"]}, "192.0.2.1")

    assert refused(head) == (403, RefusalReason.UNTRUSTED_PEER)


def test_connect_is_refused() -> None:
    assert refused(replace(HEAD, method="CONNECT", target="engine:443")) == (405, RefusalReason.CONNECT)
    assert connect_refused().headers == (("Allow", "GET, POST"),)


@pytest.mark.parametrize("protocol", ["websocket", "h2c", ""])
def test_a_protocol_upgrade_is_refused(protocol: str) -> None:
    assert refused(with_headers(upgrade=[protocol])) == (501, RefusalReason.PROTOCOL_UPGRADE)


@pytest.mark.parametrize("encodings", [["gzip"], ["identity", "gzip"], ["identity, gzip"], ["zstd"], ["x"]])
def test_a_compressed_body_is_refused(encodings: list[str]) -> None:
    assert refused(with_headers(content_encoding=encodings)) == (400, RefusalReason.BAD_BODY)


@pytest.mark.parametrize("encodings", [[""], ["identity"], [" Identity "]])
def test_a_body_that_says_that_it_is_not_compressed_is_taken(encodings: list[str]) -> None:
    assert isinstance(check_head(with_headers(content_encoding=encodings), RULES, UPSTREAMS), Pass)


@pytest.mark.parametrize("length", ["101", "9" * 18, "9" * 5000])
def test_a_body_announced_as_too_large_is_refused_before_it_comes(length: str) -> None:
    assert refused(with_headers(content_length=[length])) == (413, RefusalReason.BODY_TOO_LARGE)


@pytest.mark.parametrize("length", ["0", "100"])
def test_a_body_within_the_limit_may_come(length: str) -> None:
    assert isinstance(check_head(with_headers(content_length=[length]), RULES, UPSTREAMS), Pass)


def test_a_request_without_identity_is_refused_whatever_its_path() -> None:
    for target in ("/v1/chat/completions", "/v1/models", "/nowhere"):
        assert refused(replace(HEAD, headers={}, target=target)) == (400, RefusalReason.IDENTITY)


def test_a_path_that_is_not_metered_is_refused() -> None:
    assert refused(replace(HEAD, target="/v1/embeddings")) == (404, RefusalReason.UNKNOWN_ROUTE)
    assert refused(replace(HEAD, method="GET")) == (405, RefusalReason.METHOD_NOT_ALLOWED)


def test_a_resource_without_upstream_is_refused_by_name() -> None:
    refusal = check_head(with_headers(x_saturn_resource_id=["res-2"]), RULES, UPSTREAMS)

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (404, RefusalReason.NO_UPSTREAM)
    assert "'res-2'" in refusal.message


def test_a_body_is_read() -> None:
    body = check_body(b'{"model":"m"}', PASSED, RULES)

    assert isinstance(body, RequestBody)
    assert body.model == "m"


def test_a_body_beyond_the_limit_is_refused() -> None:
    assert isinstance(check_body(b"{" + b" " * 98 + b"}", PASSED, RULES), RequestBody)
    refusal = check_body(b"{" + b" " * 99 + b"}", PASSED, RULES)

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (413, RefusalReason.BODY_TOO_LARGE)
    assert "100 bytes" in refusal.message


def test_a_body_that_is_not_what_the_path_needs_is_refused_with_the_reason() -> None:
    refusal = check_body(b"[]", PASSED, RULES)

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (400, RefusalReason.BAD_BODY)
    assert "not a JSON object" in refusal.message


def test_usage_on_every_chunk_is_asked_for_only_by_rule() -> None:
    for rules, asked in ((RULES, False), (replace(RULES, continuous_usage=True), True)):
        body = check_body(b'{"stream":true}', PASSED, rules)

        assert isinstance(body, RequestBody)
        assert (b"continuous_usage_stats" in body.content) is asked


@pytest.mark.parametrize(
    "body", [b'{"model":"c"}', b'{"model":"A"}', b'{"model":""}', b'{"model":null}', b"{}"]
)
def test_a_resource_with_declared_models_serves_no_other(body: bytes) -> None:
    passed = replace(PASSED, upstream=replace(ENGINE, models=("a", "b")))
    refusal = check_body(body, passed, RULES)

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (404, RefusalReason.MODEL_NOT_SERVED)
    assert isinstance(check_body(b'{"model":"b"}', passed, RULES), RequestBody)


def test_a_refused_model_is_shown_bounded_and_printable() -> None:
    rules = replace(RULES, body_bytes_max=10_000)
    passed = replace(PASSED, upstream=replace(ENGINE, models=("a",)))
    refusal = check_body(b'{"model":"\\u001b\\ud800' + b"x" * 5000 + b'"}', passed, rules)

    assert isinstance(refusal, Refusal)
    assert refusal.message.isascii()
    assert refusal.message.isprintable()
    assert len(refusal.message) < 400
