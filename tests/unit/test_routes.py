import pytest

from phoebe_addon.refusal import Refusal, RefusalReason
from phoebe_addon.routes import Api, Route, find_route


def refused(method: str, path: str) -> Refusal:
    refusal = find_route(method, path)
    assert isinstance(refusal, Refusal)
    return refusal


@pytest.mark.parametrize(
    ("method", "path", "api"),
    [
        ("POST", "/v1/chat/completions", Api.OPENAI_CHAT),
        ("POST", "/v1/completions", Api.OPENAI_COMPLETIONS),
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/llama", None),
        ("GET", "/v1/models/meta-llama/Llama-3.1-8B-Instruct", None),
        ("GET", "/v1/models/ft:1f0c", None),
        ("GET", "/health", None),
        ("GET", "/version", None),
    ],
)
def test_known_paths_are_metered_or_free(method: str, path: str, api: Api | None) -> None:
    route = find_route(method, path)

    assert isinstance(route, Route)
    assert route.api is api


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "*",
        "/v1",
        "/v1/embeddings",
        "/v1/messages",
        "/generate",
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
        "..\\metrics",
        "a;/../b",
        "a\n",
        "a b",
        "ä",
    ],
)
def test_a_model_name_that_could_lead_to_another_path_is_refused(name: str) -> None:
    assert refused("GET", f"/v1/models/{name}").status == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "post", "DELETE", "HEAD", "OPTIONS", "TRACE", ""])
def test_another_method_is_refused_with_those_that_are_allowed(method: str) -> None:
    refusal = refused(method, "/v1/chat/completions")

    assert (refusal.status, refusal.reason) == (405, RefusalReason.METHOD_NOT_ALLOWED)
    assert refusal.headers == (("Allow", "POST"),)


def test_posting_to_a_free_path_is_refused() -> None:
    assert refused("POST", "/v1/models").headers == (("Allow", "GET"),)


def test_a_refusal_shows_a_bounded_and_printable_path() -> None:
    refusal = refused("GET", "/\x1b[2J\udcff" + "x" * 10_000)

    assert refusal.message.isascii()
    assert refusal.message.isprintable()
    assert len(refusal.message) < 400
