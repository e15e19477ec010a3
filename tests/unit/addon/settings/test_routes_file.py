import pytest

from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.refusal import Refusal
from phoebe_addon.gate.routes import BodyKind, Match
from phoebe_addon.settings.routes_file import RoutesFileError, parse_routes

FILE = """
metered:
  POST /team-a/v1/chat/completions: POST /v1/chat/completions
  POST /{team}/triton/{model}: POST /v2/models/{model}/generate
  POST /both: POST /generate
free:
  - GET /docs
  - GET /static/{file...}
  - POST /object
  - POST /upload: form
  - POST /reload: none
refused:
  POST /v1/audio/transcriptions: transcriptions are not offered here
  GET /v1/models: the list is ours
"""
ROUTES = parse_routes(FILE, "routes.yaml")


def apis(method: str, path: str) -> list[str]:
    match = ROUTES.find(method, path)
    assert isinstance(match, Match)
    return [family.api for family in match.route.families]


def test_a_metered_route_is_metered_like_the_built_in_one_it_names() -> None:
    assert apis("POST", "/team-a/v1/chat/completions") == ["openai.chat"]
    assert apis("POST", "/team-b/triton/m") == ["triton.generate"]
    assert apis("POST", "/both") == ["sglang.generate", "tgi.generate"]


def test_the_parameters_of_a_metered_route_are_told() -> None:
    match = ROUTES.find("POST", "/team-b/triton/m")

    assert isinstance(match, Match)
    assert match.parameters == {"team": "team-b", "model": "m"}


def test_a_free_route_passes_free() -> None:
    assert apis("GET", "/docs") == []
    assert apis("GET", "/static/css/a.css") == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/docs", BodyKind.NONE),
        ("POST", "/object", BodyKind.JSON),
        ("POST", "/upload", BodyKind.FORM),
        ("POST", "/reload", BodyKind.NONE),
    ],
)
def test_a_free_route_takes_the_body_it_names_or_the_usual_one(
    method: str, path: str, body: BodyKind
) -> None:
    match = ROUTES.find(method, path)

    assert isinstance(match, Match)
    assert match.route.body is body


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("POST /a: xml", "the kind of their body (none, json, json_or_none, form), not 'xml'"),
        ("GET /a: json", "GET /a: a GET has no body"),
        ("DELETE /a: form", "DELETE /a: a DELETE has no body"),
        ("POST /a: [json]", "must be a list of routes, alone or with the kind"),
        ("{POST /a: json, POST /b: json}", "must be a list of routes, alone or with the kind"),
        ("[POST /a]", "must be a list of routes, alone or with the kind"),
        ("post /a: json", "must be a method and a path"),
    ],
)
def test_a_free_route_with_a_body_that_it_can_not_have_is_named(entry: str, fault: str) -> None:
    with pytest.raises(RoutesFileError) as raised:
        parse_routes(f"free:\n  - {entry}\n  - GET /fine\n", "routes.yaml")

    assert fault in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


def test_a_route_without_a_body_can_not_be_metered() -> None:
    with pytest.raises(RoutesFileError, match="GET /a: a GET has no body to read the model from"):
        parse_routes("metered: { GET /a: POST /v1/chat/completions }", "routes.yaml")


def test_a_refused_route_takes_the_place_of_the_built_in_one() -> None:
    for method, path, why in (
        ("POST", "/v1/audio/transcriptions", "transcriptions are not offered here"),
        ("GET", "/v1/models", "the list is ours"),
    ):
        refusal = ROUTES.find(method, path)

        assert isinstance(refusal, Refusal)
        assert why in refusal.message


def test_every_other_built_in_route_stays() -> None:
    changed = {"POST /v1/audio/transcriptions", "GET /v1/models"}
    for route in built_in_routes():
        if f"{route.method} {route.path}" not in changed:
            assert route in ROUTES.routes()


def test_a_built_in_route_may_be_metered_like_another() -> None:
    routes = parse_routes("metered: { POST /v1/completions: POST /v1/chat/completions }", "routes.yaml")
    match = routes.find("POST", "/v1/completions")

    assert isinstance(match, Match)
    assert [family.api for family in match.route.families] == ["openai.chat"]


def test_the_faults_of_all_routes_are_listed_with_their_source() -> None:
    with pytest.raises(RoutesFileError) as raised:
        parse_routes(
            """
            metered:
              POST /a: POST /v1/nothing
              POST /b: GET /v1/models
              post /c: POST /v1/messages
              POST /{x}/{x}: POST /v1/messages
            free: [GET docs, GET /fine]
            refused: { "GET /d?x": no, GET /fine: no }
            """,
            "/etc/routes.yaml",
        )

    faults = str(raised.value).splitlines()
    assert [fault.removeprefix("/etc/routes.yaml: ").split(": ")[0] for fault in faults] == [
        "metered",
        "metered",
        "post /c",
        "POST /{x}/{x}",
        "GET docs",
        "GET /d?x",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "a mapping with the keys"),
        ("[]", "a mapping with the keys"),
        ("{}", "a mapping with the keys"),
        ("GET /docs", "a mapping with the keys"),
        ("paid: {}", "unknown key 'paid'; known: metered, free, refused"),
        ("free: [GET /a]\npaid: {}", "unknown key 'paid'"),
        ("free: GET /docs", "free: must be a list of routes"),
        ("free: [{GET /docs: x}]", "free: must be a list of routes"),
        ("free: {}", "free: must be a list of routes"),
        ("metered: [POST /a]", "metered: must be a mapping"),
        ("metered:", "metered: must be a mapping"),
        ("metered: {POST /a: [x]}", "metered: must be a mapping"),
        ("refused: {GET /a: {}}", "refused: must be a mapping"),
        ("free: [", "not YAML"),
        ("? [a]\n: b", "not YAML"),
        ("free: *missing", "not YAML"),
        ("\x00", "not YAML"),
        ("[" * 100_000, "not YAML"),
        ("free: !!python/object/apply:os.abort [x]", "free: must be a list|a method and a path"),
    ],
)
def test_a_text_that_has_no_routes_is_refused(text: str, fault: str) -> None:
    with pytest.raises(RoutesFileError, match=fault) as raised:
        parse_routes(text, "routes.yaml")

    assert str(raised.value).startswith("routes.yaml: ")


def test_a_route_that_is_given_twice_is_refused() -> None:
    with pytest.raises(RoutesFileError, match="duplicate key"):
        parse_routes("refused:\n  GET /a: one\n  GET /a: two\n", "routes.yaml")
