import ipaddress
import tracemalloc
from dataclasses import replace

import pytest

from phoebe_addon.apis.engines import UNDECLARED
from phoebe_addon.formats.steps import at_once
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.edge_secrets import EdgeSecrets, parse_secrets
from phoebe_addon.gate.gate import (
    GateRules,
    Pass,
    RequestHead,
    check_body,
    check_free_body,
    check_head,
    connect_refused,
)
from phoebe_addon.gate.identity import HeaderNames, Identity
from phoebe_addon.gate.refusal import Refusal, RefusalReason
from phoebe_addon.gate.request_body import Asking, RequestBody
from phoebe_addon.gate.routes import BodyKind, Match, RouteTable, make_route
from phoebe_addon.gate.upstreams import Upstream, Upstreams
from tests.harness.content_codings import encode
from tests.harness.known import engine

ROUTES = RouteTable(built_in_routes())
RULES = GateRules(
    trusted_edges=tuple(ipaddress.ip_network(cidr) for cidr in ("127.0.0.0/8", "10.1.0.0/16", "fd00::/8")),
    header_names=HeaderNames(),
    body_bytes_max=100,
    routes=ROUTES,
)
ENGINE = Upstream("http", "engine", 8000)
UPSTREAMS = Upstreams({"res-1": ENGINE})
OPEN = EdgeSecrets()
HEADERS = {"x-saturn-auth-id": ["auth-1"], "x-saturn-resource-id": ["res-1"]}
HEAD = RequestHead("POST", "/v1/chat/completions", HEADERS, "127.0.0.1")


def route(method: str, path: str) -> Match:
    match = ROUTES.find(method, path)
    assert isinstance(match, Match)
    return match


PASSED = Pass(Identity("auth-1", "res-1"), ENGINE, route("POST", "/v1/chat/completions"), "", "")


def with_headers(**headers: list[str]) -> RequestHead:
    return replace(
        HEAD, headers=HEADERS | {name.replace("_", "-"): values for name, values in headers.items()}
    )


def refused(head: RequestHead) -> tuple[int, RefusalReason]:
    refusal = check_head(head, RULES, UPSTREAMS, OPEN)
    assert isinstance(refusal, Refusal)
    return refusal.status, refusal.reason


def test_a_request_that_can_be_billed_passes() -> None:
    assert check_head(HEAD, RULES, UPSTREAMS, OPEN) == PASSED


def test_a_query_is_no_part_of_the_path() -> None:
    assert check_head(replace(HEAD, target="/v1/chat/completions?a=/x?b"), RULES, UPSTREAMS, OPEN) == PASSED


def test_a_request_is_matched_with_its_route() -> None:
    passed = check_head(replace(HEAD, target="/v2/models/m/generate?a"), RULES, UPSTREAMS, OPEN)

    assert isinstance(passed, Pass)
    assert [family.api for family in passed.match.route.families] == ["triton.generate"]
    assert passed.match.parameters == {"model": "m"}


def test_a_free_request_passes_without_a_family() -> None:
    passed = check_head(replace(HEAD, method="GET", target="/v1/models"), RULES, UPSTREAMS, OPEN)

    assert passed == replace(PASSED, match=route("GET", "/v1/models"))
    assert passed.is_free()
    assert not PASSED.is_free()


def test_the_headers_of_the_body_are_kept_for_its_check() -> None:
    passed = check_head(
        with_headers(content_type=["multipart/form-data; boundary=b"], content_encoding=["gzip", "br"]),
        RULES,
        UPSTREAMS,
        OPEN,
    )

    assert isinstance(passed, Pass)
    assert passed.content_type == "multipart/form-data; boundary=b"
    assert passed.content_encoding == "gzip,br"


@pytest.mark.parametrize("peer", ["127.9.9.9", "10.1.2.3", "::ffff:10.1.2.3", "fd00::1", "fd00::1%eth0"])
def test_trusted_edges_are_let_in(peer: str) -> None:
    assert isinstance(check_head(replace(HEAD, peer=peer), RULES, UPSTREAMS, OPEN), Pass)


@pytest.mark.parametrize(
    "peer", ["10.2.0.1", "::ffff:10.2.0.1", "::1", "fe80::1%lo", "", "/run/socket", "localhost"]
)
def test_any_other_peer_is_refused(peer: str) -> None:
    assert refused(replace(HEAD, peer=peer)) == (403, RefusalReason.UNTRUSTED_PEER)


SECRETS = parse_secrets(b"the old secret's 22\n".replace(b" ", b"-") + b"and-a-new-one-of-24-byte", "file")


def test_the_edges_secret_is_asked_for_before_anything_else_is_said() -> None:
    head = RequestHead("CONNECT", "/nowhere", {"upgrade": ["websocket"]}, "127.0.0.1")
    refusal = check_head(head, RULES, UPSTREAMS, SECRETS)

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (403, RefusalReason.EDGE_SECRET)


def test_the_edges_secret_is_looked_for_under_the_name_that_was_set() -> None:
    head = with_headers(x_mine=["and-a-new-one-of-24-byte"])

    assert isinstance(check_head(head, replace(RULES, secret_header="X-Mine"), UPSTREAMS, SECRETS), Pass)
    assert isinstance(check_head(head, RULES, UPSTREAMS, SECRETS), Refusal)


@pytest.mark.parametrize("value", ["a\x00b", "a\rX-Saturn-Auth-Id: b", "a\r\n X-More: b", "\x7f", "\x1b[2J"])
def test_a_header_that_some_servers_would_read_in_another_way_is_refused(value: str) -> None:
    assert refused(with_headers(x_any=["fine", value])) == (400, RefusalReason.BAD_HTTP)


@pytest.mark.parametrize("value", ["", "\t", "a\tb", "J\udcfcrgen", "a b", "~!"])
def test_any_other_value_of_a_header_may_come(value: str) -> None:
    assert isinstance(check_head(with_headers(x_any=[value]), RULES, UPSTREAMS, OPEN), Pass)


@pytest.mark.parametrize("query", [" HTTP/1.1", "\t", "\x00", "\r\nX-More: 1", "\udcff", "\x7f"])
def test_a_target_with_characters_that_end_it_elsewhere_is_refused(query: str) -> None:
    target = f"/v1/chat/completions?a={query}"

    assert refused(replace(HEAD, target=target)) == (400, RefusalReason.BAD_HTTP)


def test_more_headers_than_anyone_needs_are_refused() -> None:
    assert isinstance(check_head(with_headers(x_any=["a"] * 254), RULES, UPSTREAMS, OPEN), Pass)
    assert refused(with_headers(x_any=["a"] * 255)) == (431, RefusalReason.BAD_HTTP)


def test_an_untrusted_peer_learns_nothing_else() -> None:
    head = RequestHead("CONNECT", "/nowhere", {"upgrade": ["websocket"]}, "192.0.2.1")

    assert refused(head) == (403, RefusalReason.UNTRUSTED_PEER)


def test_connect_is_refused() -> None:
    assert refused(replace(HEAD, method="CONNECT", target="engine:443")) == (405, RefusalReason.CONNECT)
    assert connect_refused().headers == (("Allow", "GET, POST"),)


@pytest.mark.parametrize("protocol", ["websocket", "h2c", ""])
def test_a_protocol_upgrade_is_refused(protocol: str) -> None:
    assert refused(with_headers(upgrade=[protocol])) == (501, RefusalReason.PROTOCOL_UPGRADE)


@pytest.mark.parametrize("encodings", [["x"], ["gzip", "compress"], ["gzip;q=1"], ["gzip"] * 5])
def test_a_body_in_a_coding_that_is_not_known_is_refused_before_it_comes(encodings: list[str]) -> None:
    assert refused(with_headers(content_encoding=encodings)) == (400, RefusalReason.BAD_BODY)


@pytest.mark.parametrize(
    "encodings",
    [[""], ["identity"], [" Identity "], ["gzip"], ["identity", "gzip"], ["identity, br"], ["zstd"]],
)
def test_a_body_in_a_known_coding_or_in_none_may_come(encodings: list[str]) -> None:
    assert isinstance(check_head(with_headers(content_encoding=encodings), RULES, UPSTREAMS, OPEN), Pass)


@pytest.mark.parametrize("coding", ["gzip, chunked", "identity", "chunked, chunked", ""])
def test_a_body_in_a_transfer_coding_that_hides_what_it_is_is_refused(coding: str) -> None:
    assert refused(with_headers(transfer_encoding=[coding])) == (501, RefusalReason.BAD_HTTP)
    assert isinstance(check_head(with_headers(transfer_encoding=["Chunked"]), RULES, UPSTREAMS, OPEN), Pass)


@pytest.mark.parametrize("length", ["101", "9" * 18, "9" * 5000])
def test_a_body_announced_as_too_large_is_refused_before_it_comes(length: str) -> None:
    assert refused(with_headers(content_length=[length])) == (413, RefusalReason.BODY_TOO_LARGE)


@pytest.mark.parametrize("length", ["0", "100"])
def test_a_body_within_the_limit_may_come(length: str) -> None:
    assert isinstance(check_head(with_headers(content_length=[length]), RULES, UPSTREAMS, OPEN), Pass)


def test_a_request_without_identity_is_refused_whatever_its_path() -> None:
    for target in ("/v1/chat/completions", "/v1/models", "/nowhere"):
        assert refused(replace(HEAD, headers={}, target=target)) == (400, RefusalReason.IDENTITY)


def test_a_path_that_is_not_metered_is_refused() -> None:
    assert refused(replace(HEAD, target="/v1/unheard-of")) == (404, RefusalReason.UNKNOWN_ROUTE)
    assert refused(replace(HEAD, target="/v1/batches")) == (404, RefusalReason.UNMETERABLE)
    assert refused(replace(HEAD, method="GET")) == (405, RefusalReason.METHOD_NOT_ALLOWED)


def test_a_resource_without_upstream_is_refused_by_name() -> None:
    refusal = check_head(with_headers(x_saturn_resource_id=["res-2"]), RULES, UPSTREAMS, OPEN)

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (404, RefusalReason.NO_UPSTREAM)
    assert "'res-2'" in refusal.message


def test_a_body_is_read() -> None:
    body = at_once(check_body(b'{"model":"m"}', PASSED, RULES))

    assert isinstance(body, RequestBody)
    assert body.models == ("m",)
    assert body.family.api == "openai.chat"


def test_a_body_beyond_the_limit_is_refused() -> None:
    assert isinstance(at_once(check_body(b"{" + b" " * 98 + b"}", PASSED, RULES)), RequestBody)
    refusal = at_once(check_body(b"{" + b" " * 99 + b"}", PASSED, RULES))

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (413, RefusalReason.BODY_TOO_LARGE)
    assert "100 bytes" in refusal.message


def test_a_body_that_is_not_what_the_path_needs_is_refused_with_the_reason() -> None:
    refusal = at_once(check_body(b"[]", PASSED, RULES))

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (400, RefusalReason.BAD_BODY)
    assert "not a JSON object" in refusal.message


def coded(coding: str) -> Pass:
    return replace(PASSED, content_encoding=coding)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_compressed_body_is_read_and_goes_on_decoded(coding: str) -> None:
    body = at_once(check_body(encode(coding, b'{"model":"m","stream":true}'), coded(coding), RULES))

    assert isinstance(body, RequestBody)
    assert body.models == ("m",)
    assert body.content == b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'


@pytest.mark.parametrize("content", [b"{}", b"", encode("gzip", b"{}")[:-1], encode("br", b"{}")])
def test_a_body_that_is_not_in_the_coding_it_names_is_refused(content: bytes) -> None:
    refusal = at_once(check_body(content, coded("gzip"), RULES))

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (400, RefusalReason.BAD_BODY)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_body_that_is_small_only_while_it_is_compressed_is_refused(coding: str) -> None:
    content = encode(coding, b"{" + b" " * 100_000 + b"}")
    assert len(content) < 1000
    refusal = at_once(check_body(content, coded(coding), replace(RULES, body_bytes_max=1000)))

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (413, RefusalReason.BODY_TOO_LARGE)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_body_that_unfolds_to_more_than_a_hundred_times_its_size_is_refused(coding: str) -> None:
    for size, status in ((900_000, None), (2_000_000, 400)):
        content = encode(coding, b'{"model":"m"' + b" " * size + b"}")
        assert 100 * len(content) < size
        checked = at_once(check_body(content, coded(coding), replace(RULES, body_bytes_max=16_000_000)))

        assert (checked.status if isinstance(checked, Refusal) else None) == status
        if isinstance(checked, Refusal):
            assert "unfolds to more than 100 times its size" in checked.message


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_body_that_is_too_large_is_not_decoded_to_its_end(coding: str) -> None:
    content = encode(coding, b" " * 50_000_000)
    tracemalloc.start()
    try:
        refusal = at_once(check_body(content, coded(coding), RULES))
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert isinstance(refusal, Refusal)
    assert peak_bytes < 5_000_000


def test_an_uncompressed_body_goes_on_as_the_same_object() -> None:
    content = b'{"model":"m"}'
    body = at_once(check_body(content, PASSED, RULES))

    assert isinstance(body, RequestBody)
    assert body.content is content


@pytest.mark.parametrize(
    ("option", "entry", "name", "asked"),
    [
        ("final", None, None, False),
        ("continuous", None, None, True),
        ("final", "continuous", None, True),
        ("continuous", "final", None, False),
        ("continuous", None, "vLLM", True),
        ("continuous", "continuous", "Ollama", False),
        ("auto", None, None, False),
        ("auto", None, "vLLM", True),
        ("auto", None, "Ollama", False),
        ("continuous", "auto", None, False),
        ("continuous", "none", "vLLM", False),
        ("none", "auto", "vLLM", True),
    ],
)
def test_usage_on_every_chunk_is_asked_for_by_the_map_or_the_option_of_engines_that_can(
    option: str, entry: str | None, name: str | None, asked: bool
) -> None:
    known = engine(name) if name else UNDECLARED
    upstream = replace(ENGINE, asking=Asking(entry) if entry else None, engine=known)
    rules = replace(RULES, asking=Asking(option))
    body = at_once(check_body(b'{"stream":true}', replace(PASSED, upstream=upstream), rules))

    assert isinstance(body, RequestBody)
    assert (b"continuous_usage_stats" in body.content) is asked


@pytest.mark.parametrize(
    "body", [b'{"model":"c"}', b'{"model":"A"}', b'{"model":""}', b'{"model":null}', b"{}"]
)
def test_a_resource_with_declared_models_serves_no_other(body: bytes) -> None:
    passed = replace(PASSED, upstream=replace(ENGINE, models=("a", "b")))
    refusal = at_once(check_body(body, passed, RULES))

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (404, RefusalReason.MODEL_NOT_SERVED)
    assert isinstance(at_once(check_body(b'{"model":"b"}', passed, RULES)), RequestBody)


@pytest.mark.parametrize(
    "body", [b'{"model":"c","model":"a"}', b'{"model":"a","model":"c"}', b'{"Model":"c","model":"a"}']
)
def test_a_second_name_that_only_some_engine_would_see_must_be_served_too(body: bytes) -> None:
    refusal = at_once(check_body(body, replace(PASSED, upstream=replace(ENGINE, models=("a",))), RULES))

    assert isinstance(refusal, Refusal)
    assert refusal.reason is RefusalReason.MODEL_NOT_SERVED
    assert "'c'" in refusal.message


def test_an_api_whose_requests_name_no_model_leaves_the_choice_to_the_engine() -> None:
    declared = replace(ENGINE, models=("a",))
    passed = replace(PASSED, match=route("POST", "/generate"), upstream=declared)

    assert isinstance(at_once(check_body(b'{"text":"x"}', passed, RULES)), RequestBody)
    assert isinstance(at_once(check_body(b'{"text":"x","model":"a"}', passed, RULES)), RequestBody)
    assert isinstance(at_once(check_body(b'{"text":"x","model":"c"}', passed, RULES)), Refusal)


@pytest.mark.parametrize(
    ("path", "served"), [("/v2/models/a/generate", True), ("/v2/models/c/generate", False)]
)
def test_a_model_in_the_path_must_be_served(path: str, served: bool) -> None:
    declared = replace(ENGINE, models=("a",))
    passed = replace(PASSED, match=route("POST", path), upstream=declared)

    assert isinstance(at_once(check_body(b'{"model":"x"}', passed, RULES)), RequestBody) is served


def test_a_form_is_read_by_its_content_type() -> None:
    passed = replace(
        PASSED,
        match=route("POST", "/v1/audio/transcriptions"),
        content_type="multipart/form-data; boundary=b",
        upstream=replace(ENGINE, models=("a",)),
    )
    form = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%s\r\n--b--'

    assert isinstance(at_once(check_body(form % b"a", passed, RULES)), RequestBody)
    for content, reason in (
        (form % b"c", RefusalReason.MODEL_NOT_SERVED),
        (b'{"model":"a"}', RefusalReason.BAD_BODY),
    ):
        refusal = at_once(check_body(content, passed, RULES))
        assert isinstance(refusal, Refusal)
        assert refusal.reason is reason


def test_a_refused_model_is_shown_bounded_and_printable() -> None:
    rules = replace(RULES, body_bytes_max=10_000)
    passed = replace(PASSED, upstream=replace(ENGINE, models=("a",)))
    refusal = at_once(check_body(b'{"model":"\\u001b\\ud800' + b"x" * 5000 + b'"}', passed, rules))

    assert isinstance(refusal, Refusal)
    assert refusal.message.isascii()
    assert refusal.message.isprintable()
    assert len(refusal.message) < 400


def free(name: str, body: BodyKind | None = None, content_type: str = "", coding: str = "") -> Pass:
    return replace(
        PASSED,
        match=Match(make_route(name, free_body=body), {}),
        content_type=content_type,
        content_encoding=coding,
    )


FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("passed", "content"),
    [
        (free("GET /a"), b""),
        (free("HEAD /a"), b""),
        (free("POST /a"), b'{"a":1}'),
        (free("PUT /a"), b" {} "),
        (free("POST /a", BodyKind.NONE), b""),
        (free("POST /a", BodyKind.FORM, FORM), b"--b--"),
    ],
)
def test_a_free_body_that_is_what_its_route_takes_goes_on_as_it_is(passed: Pass, content: bytes) -> None:
    assert at_once(check_free_body(content, passed, RULES)) is content


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "ANY"])
@pytest.mark.parametrize(
    ("content", "size"), [(b"{}", "2 bytes"), (b" ", "1 byte"), (b"GET /a HTTP/1.1\r\n\r\n", "19 bytes")]
)
def test_a_body_is_refused_where_the_method_has_none(method: str, content: bytes, size: str) -> None:
    refusal = at_once(check_free_body(content, free(f"{method} /a"), RULES))

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (400, RefusalReason.BAD_BODY)
    assert f"has no body, but this one has {size}" in refusal.message


@pytest.mark.parametrize(
    ("passed", "content"),
    [
        (free("POST /a"), b""),
        (free("POST /a"), b"[]"),
        (free("POST /a"), b"{}x"),
        (free("POST /a"), b"\xff"),
        (free("POST /a"), b"POST /v1/completions HTTP/1.1\r\n\r\n"),
        (free("POST /a", content_type=FORM), b"--b--"),
        (free("POST /a", BodyKind.NONE), b"{}"),
        (free("POST /a", BodyKind.FORM, FORM), b"{}"),
        (free("POST /a", BodyKind.FORM), b"--b--"),
    ],
)
def test_a_free_body_of_another_kind_is_refused(passed: Pass, content: bytes) -> None:
    refusal = at_once(check_free_body(content, passed, RULES))

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (400, RefusalReason.BAD_BODY)


def test_a_free_body_goes_on_decoded_within_the_limit() -> None:
    zipped = free("POST /a", coding="gzip")

    assert at_once(check_free_body(encode("gzip", b'{"a":1}'), zipped, RULES)) == b'{"a":1}'
    refusal = at_once(check_free_body(encode("gzip", b"{" + b" " * 99 + b"}"), zipped, RULES))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is RefusalReason.BODY_TOO_LARGE


def test_what_is_empty_once_it_is_decoded_is_a_body_all_the_same() -> None:
    refusal = at_once(check_free_body(encode("gzip", b""), free("GET /a", coding="gzip"), RULES))

    assert isinstance(refusal, Refusal)
    assert refusal.reason is RefusalReason.BAD_BODY


def test_no_metered_body_passes_either_where_the_method_has_none() -> None:
    chat = PASSED.match.route.families
    passed = replace(PASSED, match=Match(make_route("GET /a", chat), {}))

    assert isinstance(at_once(check_body(b'{"model":"m"}', passed, RULES)), Refusal)
