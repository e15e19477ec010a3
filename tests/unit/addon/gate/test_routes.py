import re

import pytest

from phoebe_addon.apis.families import FAMILIES
from phoebe_addon.apis.family import ErrorShape
from phoebe_addon.gate.built_in_routes import FREE_ROUTES, MOUNTS, REFUSED_ROUTES, Mount, built_in_routes
from phoebe_addon.gate.refusal import Refusal, RefusalReason
from phoebe_addon.gate.routes import BodyKind, Match, Route, RouteError, RouteTable, make_route
from tests.harness.known import family

ROUTES = RouteTable(built_in_routes())


def refused(method: str, path: str, routes: RouteTable = ROUTES) -> Refusal:
    refusal = routes.find(method, path)
    assert isinstance(refusal, Refusal)
    return refusal


def found(method: str, path: str, routes: RouteTable = ROUTES) -> Match:
    match = routes.find(method, path)
    assert isinstance(match, Match)
    return match


@pytest.mark.parametrize(
    ("method", "path", "apis"),
    [
        ("POST", "/v1/chat/completions", ["openai.chat"]),
        ("POST", "/chat/completions", ["openai.chat"]),
        ("POST", "/v1/completions", ["openai.completions"]),
        ("POST", "/v1/responses", ["openai.responses"]),
        ("POST", "/v1/embeddings", ["openai.embeddings"]),
        ("POST", "/v1/audio/transcriptions", ["openai.transcription"]),
        ("POST", "/v1/images/generations", ["openai.images"]),
        ("POST", "/v1/messages", ["anthropic.messages"]),
        ("POST", "/api/chat", ["ollama.chat"]),
        ("POST", "/api/generate", ["ollama.generate"]),
        ("POST", "/api/embed", ["ollama.embed"]),
        ("POST", "/generate", ["sglang.generate", "tgi.generate"]),
        ("PUT", "/generate", ["sglang.generate"]),
        ("POST", "/generate_stream", ["tgi.generate"]),
        ("POST", "/", ["tgi.generate"]),
        ("POST", "/completion", ["llamacpp.completion"]),
        ("POST", "/v1/rerank", ["jina.rerank"]),
        ("POST", "/v2/rerank", ["cohere.rerank"]),
        ("POST", "/v2/chat", ["cohere.chat"]),
        ("POST", "/v2/embed", ["cohere.embed"]),
        ("POST", "/score", ["vllm.score"]),
        ("POST", "/invocations", ["sagemaker.invocations", "sagemaker.invocations"]),
        ("POST", "/v2/models/m/generate", ["triton.generate"]),
        ("POST", "/v2/models/m/versions/2/generate_stream", ["triton.generate"]),
        ("GET", "/v1/models", []),
        ("GET", "/v1/models/llama", []),
        ("GET", "/v1/models/meta-llama/Llama-3.1-8B-Instruct", []),
        ("GET", "/v1/models/ft:1f0c", []),
        ("GET", "/v1/responses/resp_1", []),
        ("POST", "/v1/messages/count_tokens", []),
        ("GET", "/health", []),
        ("POST", "/v1/decisions", ["openai.decisions"]),
        ("POST", "/v1/systemone", ["typesafe.systemone"]),
        ("POST", "/generative_scoring", ["vllm.scoring"]),
        ("POST", "/embeddings", ["openai.embeddings"]),
        ("POST", "/embed", ["tei.embed"]),
        ("POST", "/v1/audio/speech", ["openai.speech"]),
        ("POST", "/api/v1/chat", ["lmstudio.chat"]),
        ("POST", "/v1/responses/compact", ["openai.responses"]),
        ("POST", "/completions", ["llamacpp.completion", "openai.completions"]),
        ("POST", "/api/v0/chat/completions", ["openai.chat"]),
        ("POST", "/openai/v1/chat/completions", ["openai.chat"]),
        ("POST", "/openai/v1/rerank", ["jina.rerank"]),
        ("POST", "/anthropic/v1/messages", ["anthropic.messages"]),
        ("POST", "/engines/v1/embeddings", ["openai.embeddings"]),
        ("POST", "/engines/llama.cpp/v1/messages", ["anthropic.messages"]),
        ("POST", "/engines/vllm/rerank", ["jina.rerank"]),
        ("POST", "/openai/deployments/gpt-5/chat/completions", ["openai.chat"]),
        ("POST", "/v1/engines/m/embeddings", ["openai.embeddings"]),
        ("POST", "/responses", ["openai.responses"]),
        ("POST", "/messages", ["anthropic.messages"]),
        ("GET", "/openai/v1/models", []),
        ("GET", "/engines/v1/models/ai/smollm2", []),
        ("GET", "/api/v0/models", []),
        ("POST", "/anthropic/v1/messages/count_tokens", []),
        ("POST", "/engines/v1/messages/count_tokens", []),
        ("POST", "/messages/count_tokens", []),
        ("POST", "/v1/responses/input_tokens", []),
        ("GET", "/v1/responses/resp_1/input_items", []),
        ("DELETE", "/v1/responses/resp_1", []),
        ("POST", "/v1/responses/resp_1/cancel", []),
        ("POST", "/v1/chat/completions/render", []),
        ("POST", "/v1/completions/render", []),
        ("GET", "/", []),
        ("GET", "/v2/health/ready", []),
        ("GET", "/version", []),
    ],
)
def test_known_paths_are_metered_or_free(method: str, path: str, apis: list[str]) -> None:
    assert [family.api for family in found(method, path).route.families] == apis


@pytest.mark.parametrize("name", FREE_ROUTES)
def test_what_is_free_has_no_family(name: str) -> None:
    route = next(route for route in ROUTES.routes() if f"{route.method} {route.path}" == name)

    assert route.families == ()
    assert route.why_refused is None


@pytest.mark.parametrize(("name", "why"), REFUSED_ROUTES.items())
def test_what_is_known_and_not_served_is_refused_with_the_reason(name: str, why: str) -> None:
    method, path = name.split(" ")
    refusal = refused(method, path)

    assert (refusal.status, refusal.reason) == (404, RefusalReason.UNMETERABLE)
    assert why in refusal.message


def test_the_parameters_of_a_path_are_told() -> None:
    assert found("POST", "/v2/models/llama/versions/2/generate").parameters == {
        "model": "llama",
        "version": "2",
    }
    assert found("GET", "/v1/models/a/b").parameters == {"model": "a/b"}
    assert found("GET", "/v1/models/a%2Fb%2fc/d").parameters == {"model": "a/b/c/d"}
    assert found("GET", "/v1/models/a%2Fb%2fc").parameters == {"model": "a/b/c"}
    assert found("POST", "/v1/messages").parameters == {}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "*",
        "/v1",
        "/v1/embedding",
        "/v1/message",
        "/metrics",
        "/v1/chat/completions/",
        "/v1/chat/completions/x",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat/./completions",
        "/v1/x/../chat/completions",
        "/v1/chat%2Fcompletions",
        "/v1/chat/completion%73",
        "/V1/chat/completions",
        "/v1/chat/completions;x",
        "/v1/chat/completions#x",
        "v1/chat/completions",
        "http://engine/v1/chat/completions",
        "/health/",
        "/healthz",
        "//",
        "/v2/models//generate",
        "/v2/models/a/b/generate",
        "/v2/models/m/generate/",
        "/v2/models/m%2Fx/generate",
        "/v2/models/m",
        "/v2/models/m/load",
        "/v2/repository/models/m/unload",
        "/v1/responses/",
        "/v1/responses/a/b",
        "/openai/v1",
        "/openai/v2/chat",
        "/engines/a/b/v1/chat/completions",
        "/anthropic/v1/chat/completions",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_any_other_path_is_refused(method: str, path: str) -> None:
    refusal = refused(method, path)

    assert (refusal.status, refusal.reason) == (404, RefusalReason.UNKNOWN_ROUTE)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "..",
        ".",
        "...",
        "../chat/completions",
        "a/../../metrics",
        "a/..",
        "a/.",
        "a/./b",
        "a//b",
        "a/",
        "/a",
        "%2e%2e/metrics",
        "a%2F..%2Fmetrics",
        "a/..%2f",
        "a%2F",
        "%2Fa",
        "a%2F%2Fb",
        "..\\metrics",
        "a;/../b",
        "a%2F..",
        "a%2f.%2fb",
        "a/%2Fb",
        "a%252Fb",
        "a%5Cb",
        "a%00b",
        "a\n",
        "a b",
        "ä",
    ],
)
def test_a_model_name_that_could_lead_to_another_path_is_refused(name: str) -> None:
    assert refused("GET", f"/v1/models/{name}").status == 404
    assert refused("POST", f"/v2/models/{name}/generate").status == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "post", "DELETE", "HEAD", "OPTIONS", "TRACE", ""])
def test_another_method_is_refused_with_those_that_are_allowed(method: str) -> None:
    refusal = refused(method, "/v1/chat/completions")

    assert (refusal.status, refusal.reason) == (405, RefusalReason.METHOD_NOT_ALLOWED)
    assert refusal.headers == (("Allow", "POST"),)


def test_posting_to_a_free_path_is_refused() -> None:
    assert refused("POST", "/v1/models").headers == (("Allow", "GET, HEAD"),)
    assert refused("DELETE", "/v1/models/m").headers == (("Allow", "GET, HEAD"),)


def test_a_refused_route_is_not_among_those_that_are_allowed() -> None:
    assert refused("GET", "/generate").headers == (("Allow", "POST, PUT"),)
    assert refused("GET", "/vertex").status == 404


def test_a_refusal_shows_a_bounded_and_printable_path() -> None:
    refusal = refused("GET", "/\x1b[2J\udcff" + "x" * 10_000)

    assert refusal.message.isascii()
    assert refusal.message.isprintable()
    assert len(refusal.message) < 400


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/chat/completions", ErrorShape.OPENAI),
        ("/v1/messages", ErrorShape.ANTHROPIC),
        ("/api/chat", ErrorShape.TEXT),
        ("/v2/models/m/generate", ErrorShape.TEXT),
        ("/generate_stream", ErrorShape.TGI),
        ("/v2/chat", ErrorShape.COHERE),
        ("/v1/messages/count_tokens", ErrorShape.ANTHROPIC),
        ("/v1/messages/batches", ErrorShape.ANTHROPIC),
        ("/api/tags", ErrorShape.TEXT),
        ("/anthropic/v1/models", ErrorShape.ANTHROPIC),
        ("/openai/v1/nothing", ErrorShape.OPENAI),
        ("/api/v1/nothing", ErrorShape.OPENAI),
        ("/api/embeddings", ErrorShape.TEXT),
        ("/api/a/b/c", ErrorShape.TEXT),
        ("/apis", ErrorShape.OPENAI),
        ("/v2/models/m/load", ErrorShape.TEXT),
        ("/v2/nothing", ErrorShape.COHERE),
        ("/v1/models", ErrorShape.OPENAI),
        ("/nowhere", ErrorShape.OPENAI),
        ("/api/pull", ErrorShape.TEXT),
        ("/v1/chat/nothing", ErrorShape.OPENAI),
        ("/v1/nothing", ErrorShape.OPENAI),
        ("", ErrorShape.OPENAI),
        ("/" * 10_000, ErrorShape.OPENAI),
        ("/" * 100_000, ErrorShape.OPENAI),
    ],
)
def test_the_clients_of_a_path_get_errors_in_its_own_shape(path: str, shape: ErrorShape) -> None:
    assert ROUTES.error_shape(path) is shape


def test_every_route_of_every_family_is_in_the_table() -> None:
    for each in FAMILIES:
        for name in each.routes:
            method, path = name.replace("{model}", "m").replace("{version}", "1").split(" ")

            assert each in found(method, path).route.families


def test_of_two_routes_of_one_name_the_last_added_holds() -> None:
    routes = RouteTable((*built_in_routes(), make_route("POST /v1/messages", why_refused="not here")))

    assert "not here" in refused("POST", "/v1/messages", routes).message
    assert routes.routes().count(make_route("POST /v1/messages", why_refused="not here")) == 1
    assert not any(route.families for route in routes.routes() if route.path == "/v1/messages")


def test_of_two_paths_with_parameters_the_last_added_holds_whatever_its_parameters_are_called() -> None:
    routes = RouteTable((*built_in_routes(), make_route("GET /v1/models/{name...}", why_refused="no list")))

    assert "no list" in refused("GET", "/v1/models/a/b", routes).message


@pytest.mark.parametrize("name", [name for name in FREE_ROUTES if name.startswith("GET ")])
def test_where_get_is_free_head_is(name: str) -> None:
    path = re.sub(r"\{[a-z.]+\}", "x", name.removeprefix("GET "))

    assert found("HEAD", path).route.families == ()
    assert "HEAD" in ROUTES.methods(path)


def test_head_is_refused_where_get_is() -> None:
    assert refused("HEAD", "/v1/realtime").status == 404
    assert refused("HEAD", "/v1/chat/completions").status == 405
    routes = RouteTable((*built_in_routes(), make_route("GET /v1/models", why_refused="no list")))
    assert "no list" in refused("HEAD", "/v1/models", routes).message


def test_a_path_that_two_patterns_fit_is_served_by_the_one_that_has_the_method() -> None:
    assert found("GET", "/v1/models/org/render").parameters == {"model": "org/render"}
    assert found("POST", "/v1/models/org/render").parameters == {"api": "models/org"}
    assert refused("PUT", "/v1/models/org/render").headers == (("Allow", "GET, HEAD, POST"),)
    assert ROUTES.methods("/v1/models/org/render") == ("GET", "HEAD", "POST")


@pytest.mark.parametrize("mount", MOUNTS, ids=lambda mount: mount.path or "/")
def test_what_stands_below_v1_stands_at_every_mount_of_its_api(mount: Mount) -> None:
    for each in FAMILIES:
        for name in each.routes:
            below = name.removeprefix("POST /v1/")
            if below == name or (mount.apis and not each.api.startswith(mount.apis)):
                continue
            path = f"{mount.path}/{below}".replace("{model}", "m").replace("{engine}", "e")

            assert each.api in {other.api for other in found("POST", path).route.families}


def test_no_mount_makes_free_what_is_metered() -> None:
    metered = {f"{route.method} {route.path}" for route in built_in_routes() if route.families}

    assert not metered & set(FREE_ROUTES)
    for name in metered:
        path = re.sub(r"\{[a-z.]+\}", "x", name.partition(" ")[2])
        assert found(name.partition(" ")[0], path).route.families


def test_a_response_may_be_cancelled_with_a_body_or_without() -> None:
    for path in ("/v1/responses/r/cancel", "/openai/v1/responses/r/cancel"):
        assert found("POST", path).route.body is BodyKind.JSON_OR_NONE


def test_a_path_without_parameters_goes_before_one_with() -> None:
    pattern, exact = make_route("GET /a/{b}", why_refused="pattern"), make_route("GET /a/c")

    assert found("GET", "/a/c", RouteTable((exact, pattern))).route == exact
    assert found("GET", "/a/c", RouteTable((pattern, exact))).route == exact


@pytest.mark.parametrize(
    ("name", "path", "parameters"),
    [
        ("GET /a.c", "/abc", None),
        ("GET /a.c", "/a.c", {}),
        ("GET /{a}.txt", "/x.txt", {"a": "x"}),
        ("GET /{a}.txt", "/xtxt", None),
        ("GET /{team}/v1/{rest...}/end", "/t/v1/a/b/end", {"team": "t", "rest": "a/b"}),
        ("GET /{team}/v1/{rest...}/end", "/t/v1/end", None),
    ],
)
def test_a_parameter_stands_for_one_segment_or_with_dots_for_several(
    name: str, path: str, parameters: dict[str, str] | None
) -> None:
    match = RouteTable((make_route(name),)).find("GET", path)

    assert (dict(match.parameters) if isinstance(match, Match) else None) == parameters


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/v1/messages",
        "post /v1/messages",
        "POST v1/messages",
        "POST  /v1/messages",
        "POST /v1/messages ",
        "POST /v1/messages\n",
        "POST /v1?x=1",
        "POST /v1#x",
        "POST http://engine/v1",
        "POST /{",
        "POST /}",
        "POST /{}",
        "POST /{A}",
        "POST /{a..}",
        "POST /{{a}}",
        "POST /{a}/{a}",
        "POST /{a}/{a...}",
    ],
)
def test_what_is_not_written_as_a_route_is_an_error_that_shows_it(name: str) -> None:
    with pytest.raises(RouteError) as raised:
        make_route(name)

    assert str(raised.value).startswith(ascii(name)[1:-1])


def test_a_route_is_made_of_its_name() -> None:
    chat = family("openai.chat")

    assert make_route("POST /a/{b}", (chat,)) == Route("POST", "/a/{b}", (chat,))
    assert make_route("GET /a", why_refused="no") == Route("GET", "/a", (), "no")


@pytest.mark.parametrize("route", built_in_routes(), ids=lambda route: f"{route.method} {route.path}")
def test_every_built_in_route_knows_whether_it_has_a_body(route: Route) -> None:
    assert (route.body is BodyKind.NONE) == (route.method in {"GET", "HEAD", "DELETE", "OPTIONS"})
    assert (route.body is BodyKind.FORM) == any(family.request.form for family in route.families)
