import pytest

from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.preflight import Preflight, answer_preflight
from phoebe_addon.gate.refusal import Refusal, RefusalReason
from phoebe_addon.gate.routes import RouteTable

ROUTES = RouteTable(built_in_routes())
CHAT = "/v1/chat/completions"
ANYONE = frozenset({"*"})


def answered(path: str, **headers: str) -> dict[str, str]:
    sent = {name.replace("_", "-"): [value] for name, value in headers.items()}
    answer = answer_preflight(path, sent, ROUTES, ANYONE)
    assert isinstance(answer, Preflight)
    return dict(answer.headers)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (CHAT, "POST, OPTIONS"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
        ("/", "GET, HEAD, POST, OPTIONS"),
        ("/v1/responses/r", "DELETE, GET, HEAD, OPTIONS"),
    ],
)
def test_what_a_path_takes_is_told(path: str, allowed: str) -> None:
    assert answered(path) == {"Allow": allowed}


def test_a_browser_is_told_that_its_page_may_call() -> None:
    asked = "authorization, content-type,x-stainless-os"
    headers = answered(CHAT, origin="https://page.example", access_control_request_headers=asked)

    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Allow-Methods"] == "POST, OPTIONS"
    assert headers["Access-Control-Allow-Headers"] == asked


@pytest.mark.parametrize("asked", ["", "a b", "a: b", "a,,b", "ä", "a,"])
def test_headers_that_are_no_names_are_not_repeated(asked: str) -> None:
    headers = answered(CHAT, origin="null", access_control_request_headers=asked)

    assert "Access-Control-Allow-Headers" not in headers


@pytest.mark.parametrize("path", ["/nowhere", "*", "/v1/realtime", "/vertex"])
def test_where_nothing_is_served_nothing_may_be_called(path: str) -> None:
    refusal = answer_preflight(path, {"origin": ["null"]}, ROUTES, ANYONE)

    assert isinstance(refusal, Refusal)
    assert refusal.status == 404


@pytest.mark.parametrize(
    ("name", "value", "refused"),
    [
        ("content-length", "1", True),
        ("content-length", "0", False),
        ("transfer-encoding", "chunked", True),
    ],
)
def test_a_preflight_has_no_body(name: str, value: str, refused: bool) -> None:
    answer = answer_preflight(CHAT, {name: [value]}, ROUTES, ANYONE)

    assert isinstance(answer, Refusal) is refused
    if isinstance(answer, Refusal):
        assert (answer.status, answer.reason) == (400, RefusalReason.BAD_BODY)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (["https://a.example"], "https://a.example", "https://a.example"),
        (["https://a.example", "http://localhost:3000"], "http://localhost:3000", "http://localhost:3000"),
        (["https://a.example"], "https://b.example", None),
        (["https://a.example"], "null", None),
        ([], "https://a.example", None),
    ],
)
def test_only_pages_of_the_origins_that_are_listed_may_call(
    origins: list[str], origin: str, allowed: str | None
) -> None:
    answer = answer_preflight(CHAT, {"origin": [origin]}, ROUTES, frozenset(origins))

    assert isinstance(answer, Preflight)
    headers = dict(answer.headers)
    assert headers.get("Access-Control-Allow-Origin") == allowed
    assert ("Access-Control-Allow-Methods" in headers) == (allowed is not None)
    assert (headers["Vary"], headers["Allow"]) == ("Origin", "POST, OPTIONS")
