import pytest

from phoebe_addon.gate.declared import Declared
from phoebe_addon.gate.request_body import Asking
from phoebe_addon.gate.upstreams import (
    Template,
    Upstream,
    Upstreams,
    UpstreamsError,
    parse_map,
    parse_setting,
    parse_url,
)
from tests.harness.known import engine


@pytest.mark.parametrize(
    ("url", "upstream"),
    [
        ("http://engine", Upstream("http", "engine", 80)),
        ("https://engine", Upstream("https", "engine", 443)),
        ("HTTP://Engine:8000/", Upstream("http", "engine", 8000)),
        ("http://127.0.0.1:8000", Upstream("http", "127.0.0.1", 8000)),
        ("http://[::1]:8000", Upstream("http", "::1", 8000)),
        ("http://engine/a/b%20c/", Upstream("http", "engine", 80, "/a/b%20c")),
    ],
)
def test_a_url_names_scheme_host_port_and_path(url: str, upstream: Upstream) -> None:
    assert parse_url(url) == upstream


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("engine:8000", "must start with http"),
        ("ftp://engine", "must start with http"),
        ("http://", "no valid host or port"),
        ("http://:80", "no valid host or port"),
        ("http://a b", "no valid host or port"),
        ("http://ü", "no valid host or port"),
        ("http://engine:0", "no valid host or port"),
        ("http://engine:x", "no valid host or port"),
        ("http://engine:65536", "no valid host or port"),
        ("http://[::1", "no valid host or port"),
        ("http://user@engine", "user name or password"),
        ("http://:s3cret@engine", "user name or password"),
        ("http://engine/?a=b", "query or fragment"),
        ("http://engine/#a", "query or fragment"),
        ("http://engine/a b", "percent-encoded"),
        ("http://engine/v1", "/v1"),
        ("http://engine/x/v1/", "/v1"),
        ("http://engine/{resource_id}", "can be used only in"),
        ("http://{resource_id}", "can be used only in"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_the_reason(url: str, fault: str) -> None:
    with pytest.raises(UpstreamsError, match=fault):
        parse_url(url)


def test_a_password_in_a_url_is_not_repeated() -> None:
    for url in ("http://user:s3cret@engine", "http://user:s3cret@engine:x", "http://user:s3/cr@et@engine"):
        with pytest.raises(UpstreamsError) as raised:
            parse_url(url)

        assert "s3" not in str(raised.value)


def test_one_url_serves_every_resource() -> None:
    upstreams = parse_setting("http://engine:8000")

    assert upstreams is not None
    assert upstreams.find("anything at all") == Upstream("http", "engine", 8000)


def test_a_template_makes_an_upstream_of_the_resource_id() -> None:
    upstreams = parse_setting("http://{resource_id}.models.svc:8000/{resource_id}")

    assert upstreams is not None
    assert upstreams.find("res-1") == Upstream("http", "res-1.models.svc", 8000, "/res-1")


@pytest.mark.parametrize(
    "resource_id",
    [
        "",
        "-a",
        "_a",
        "a.b",
        "a/b",
        "a:1",
        "a@b",
        "a?b",
        "a#b",
        "a b",
        "a%2e",
        "..",
        "a\n",
        "ü",
        "{resource_id}",
        "a" * 65,
    ],
)
def test_a_resource_id_that_could_change_the_meaning_of_a_template_has_no_upstream(resource_id: str) -> None:
    assert Upstreams({}, Template("http://{resource_id}:8000")).find(resource_id) is None


def test_a_resource_id_that_would_double_a_part_of_every_path_has_no_upstream() -> None:
    assert Upstreams({}, Template("http://engine/{resource_id}")).find("v1") is None


@pytest.mark.parametrize(
    "template", ["http://engine:{resource_id}", "{resource_id}://engine", "http://{resource_id}:x/"]
)
def test_a_template_that_cannot_become_a_url_is_refused(template: str) -> None:
    with pytest.raises(UpstreamsError):
        parse_setting(template)


@pytest.mark.parametrize("setting", ["upstreams.yaml", "/etc/phoebe/{resource_id}.yaml", "~/map"])
def test_a_setting_without_a_scheme_is_the_path_of_a_map(setting: str) -> None:
    assert parse_setting(setting) is None


def test_a_map_names_the_upstream_of_each_resource() -> None:
    upstreams = parse_map(
        """
        res-1: { url: "http://a:8000", engine: vllm, models: [llama, 1.10, no] }
        res-2: http://b
        2026-01-01: { url: https://c }
        007: { url: http://d }
        """,
        "map",
    )

    assert upstreams == Upstreams(
        {
            "res-1": Upstream("http", "a", 8000, "", engine("vLLM"), ("llama", "1.10", "no")),
            "res-2": Upstream("http", "b", 80),
            "2026-01-01": Upstream("https", "c", 443),
            "007": Upstream("http", "d", 80),
        },
        warnings=upstreams.warnings,
    )
    assert upstreams.find("res-3") is None


@pytest.mark.parametrize(
    ("entry", "asking"),
    [
        *((f"{{ url: http://a, usage: {asking} }}", asking) for asking in Asking),
        ("{ url: http://a }", None),
        ("http://a", None),
    ],
)
def test_a_map_may_say_how_a_resource_is_asked_for_usage(entry: str, asking: Asking | None) -> None:
    for key in ("res-1", "default"):
        upstream = parse_map(f"{key}: {entry}", "map").find("res-1")

        assert upstream is not None
        assert upstream.asking is asking


@pytest.mark.parametrize("name", ["sglang", "SGLang", "sg-lang", "SGLANG"])
def test_an_engine_is_known_by_its_name_however_it_is_written(name: str) -> None:
    upstreams = parse_map(f"a: {{ url: http://a, engine: {name}, models: [m] }}", "map")

    assert upstreams.by_resource["a"].engine == engine("SGLang")
    assert upstreams.warnings == ()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("vlm", "did you mean vLLM?"),
        ("sglagn", "did you mean SGLang?"),
        ("TRT", "known: vLLM, vLLM-Omni, SGLang, "),
        ("my engine", "for another engine leave it out"),
    ],
)
def test_a_map_with_an_engine_that_is_not_known_is_refused(written: str, said: str) -> None:
    text = f"a: {{ url: http://a, engine: {written} }}\nb: {{ url: ftp://b }}"

    with pytest.raises(UpstreamsError) as refused:
        parse_map(text, "map")

    fault, other = str(refused.value).splitlines()
    assert fault.startswith(f"map: 'a': the engine '{written}' is not one of those that are known")
    assert said in fault
    assert other.startswith("map: 'b': ")


@pytest.mark.parametrize(("models", "warned"), [("", True), (", models: []", True), (", models: [m]", False)])
def test_an_engine_that_echoes_names_is_warned_of_unless_its_models_are_declared(
    models: str, warned: bool
) -> None:
    upstreams = parse_map(f"default: {{ url: http://a, engine: tgi{models} }}", "map")

    assert ["nothing it serves is billed until `models`" in warning for warning in upstreams.warnings] == (
        [True] if warned else []
    )


def test_what_is_shown_of_an_unknown_engine_is_bounded_and_printable() -> None:
    with pytest.raises(UpstreamsError) as refused:
        parse_map(f'a: {{ url: http://a, engine: "\\e{"x" * 5000}" }}', "map")

    assert len(str(refused.value)) < 700
    assert str(refused.value).isprintable()


def test_the_default_of_a_map_serves_every_other_resource() -> None:
    upstreams = parse_map("res-1: http://a\ndefault: { url: http://b, models: [m] }", "map")

    assert upstreams.find("res-1") == Upstream("http", "a", 80)
    assert upstreams.find("res-2") == Upstream("http", "b", 80, models=("m",))


def test_the_default_of_a_map_may_be_a_template() -> None:
    upstreams = parse_map("default: http://{resource_id}.svc", "map")

    assert upstreams.find("res-1") == Upstream("http", "res-1.svc", 80)
    assert upstreams.find("a.b") is None


def test_a_template_may_declare_what_its_upstreams_are() -> None:
    entry = 'default: { url: "http://{resource_id}.svc", engine: sglang, models: [m], usage: none }'
    upstreams = parse_map(entry, "map")

    assert upstreams.find("res-1") == Upstream(
        "http", "res-1.svc", 80, "", engine("SGLang"), ("m",), Asking.NONE
    )
    assert upstreams.warnings == ()


@pytest.mark.parametrize("url", ["http://a", "http://{resource_id}"])
def test_one_url_may_declare_what_it_is(url: str) -> None:
    upstreams = parse_setting(url, Declared(engine("Ollama"), ("m",)))
    upstream = upstreams.find("a") if upstreams else None

    assert upstream is not None
    assert (upstream.engine, upstream.models) == (engine("Ollama"), ("m",))


@pytest.mark.parametrize(
    ("declared", "warned"),
    [
        (Declared(), "neither an engine nor models"),
        (Declared(engine("TGI")), "nothing it serves is billed until `models`"),
        (Declared(engine("vLLM")), None),
        (Declared(models=("m",)), None),
        (Declared(engine("TGI"), ("m",)), None),
    ],
)
def test_one_url_that_declares_too_little_is_warned_of(declared: Declared, warned: str | None) -> None:
    upstreams = parse_setting("http://a", declared)

    assert upstreams is not None
    assert len(upstreams.warnings) == (warned is not None)
    assert all(warned in warning for warning in upstreams.warnings if warned)


def test_entries_that_declare_nothing_are_named_together() -> None:
    entries = [*(f"a{number}: http://x" for number in range(12)), "b: { url: http://x, engine: vllm }"]
    (warning,) = parse_map("\n".join(entries), "map").warnings

    assert warning.startswith("map: 'a0', 'a1', ")
    assert "'a9' and 2 more: neither an engine nor models are declared" in warning


def test_the_faults_of_all_entries_are_listed_with_source_and_resource() -> None:
    with pytest.raises(UpstreamsError) as raised:
        parse_map(
            """
            a: { url: ftp://x }
            b: { engine: vllm }
            c: { url: http://x, uri: http://y }
            d: [http://x]
            e: { url: http://x, models: m }
            f: { url: http://x, models: [""] }
            g: { url: http://x, engine: [] }
            u: { url: http://x, usage: always }
            v: { url: http://x, usage: "" }
            w: { url: http://x, usage: [final] }
            h: http://{resource_id}
            i: http://fine
            default: { url: "http://{resource_id}", engine: vllm }
            """,
            "/etc/map.yaml",
        )

    lines = str(raised.value).splitlines()
    assert [line.split(":")[1].strip(" '") for line in lines] == [*"abcdefguvwh"]
    assert all(line.startswith("/etc/map.yaml: ") for line in lines)
    for line, fault in zip(
        lines,
        [
            "must start with http",
            "url is missing",
            "unknown key 'uri'; known: engine, models, url, usage",
            "must be a URL or a mapping",
            "models must be a list",
            "models must be a list",
            "engine must be text",
            *["usage must be one of auto, final, continuous, none"] * 3,
            "can be used only in",
        ],
        strict=True,
    ):
        assert fault in line


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "[]",
        "{}",
        "http://engine",
        "a: [",
        "a: http://x\na: http://y",
        "a: { url: http://x, url: http://y }",
        "[a]: http://x",
        '"": http://x',
        "a: *missing",
        "\x00",
        "a: \x07",
        "? {a: b}\n: http://x",
        "[" * 100_000,
        "a: &a { url: *a }",
        "a: 9999-99-99",
        "a: " + "9" * 5000,
        "a: !!int x",
        "a: !!python/object/apply:os.abort []",
        "--- {a: http://x}\n--- {b: http://x}",
    ],
)
def test_a_text_that_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(UpstreamsError, match=r"^map: "):
        parse_map(text, "map")


def test_what_is_shown_of_a_bad_entry_is_bounded_and_printable() -> None:
    with pytest.raises(UpstreamsError) as raised:
        parse_map(f'? "\\e{"k" * 5000}"\n: "ftp://{"x" * 5000}"', "map")

    assert len(str(raised.value)) < 500
    assert str(raised.value).isprintable()
