"""`phoebe conformance` against servers that behave like real engines, over real connections."""

import json
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from mitmproxy import certs

from phoebe_addon.apis.engines import find_engine
from phoebe_addon.gate.request_body import Asking
from phoebe_addon.gate.upstreams import parse_url
from phoebe_conformance.cli import CONFORMANCE
from phoebe_conformance.engine_line import Access, EngineLine
from phoebe_conformance.metering import Meter, Terms
from phoebe_conformance.questions import QUESTIONS, Wording
from rater_service.cli import main
from rig.ports import reserve_port
from tests.harness import engine as engines
from tests.harness import json_documents
from tests.harness.engine import Engine, EngineRequest, Line, Script
from tests.harness.pretend_engine import MODEL, PretendEngine, models_of

type Capture = pytest.CaptureFixture[str]

VLLM_PAGES = {"/v1/models": models_of("vllm"), "/version": {"version": "0.33.0"}}
SGLANG_PAGES = {"/v1/models": models_of("sglang")}
KEY = "sk-very-secret-key"
PROMPT = 13
"""The tokens that the pretended engine counts in the short prompt."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the command ended with. report: the JSON document it wrote."""

    code: int
    report: dict[str, Any]
    written: str

    def found(self, name: str, api: str | None = "openai.chat") -> tuple[str, str]:
        """Return result and message of a check, with its hint after a dash."""
        (check,) = (each for each in self.report["checks"] if (each["api"], each["name"]) == (api, name))
        return check["result"], " - ".join(filter(None, (check["message"], check["hint"])))

    def results(self) -> dict[str, str]:
        return {check["name"]: check["result"] for check in self.report["checks"]}


type Check = Callable[..., Outcome]


@pytest.fixture
def check(engine: Engine, capsys: Capture) -> Check:
    """Run the command against a pretended engine."""

    def run(pretended: Script, *options: str) -> Outcome:
        engine.script = pretended
        code = main(
            ["conformance", engine.url, "--model", MODEL, "--prompt-tokens", "200", "--json", *options]
        )
        written = capsys.readouterr()
        return Outcome(code, json_documents.read(written.out, kind=CONFORMANCE), written.out + written.err)

    return run


def vllm(**manners: Any) -> PretendEngine:
    return PretendEngine(pages=VLLM_PAGES, continuous=True, **manners)


def sglang(**manners: Any) -> PretendEngine:
    return PretendEngine(pages=SGLANG_PAGES, continuous=True, echoes=True, **manners)


def streams_by(script: Script) -> Script:
    """Make an engine that is like vLLM but for its streams."""
    pretended = vllm()

    def choose(request: EngineRequest, line: Line) -> None:
        (script if b'"stream": true' in request.body else pretended)(request, line)

    return choose


@pytest.mark.parametrize("usage", ["final", "continuous"])
def test_an_engine_that_reports_everything_conforms(check: Check, usage: str) -> None:
    outcome = check(vllm(), "--usage", usage)

    assert outcome.code == 0
    assert outcome.report["conforms"] is True
    assert (outcome.report["engine"], outcome.report["engine_version"]) == ("vLLM", "0.33.0")
    assert outcome.report["detected_by"] == "GET /v1/models: owned by vllm"
    assert outcome.results() == dict.fromkeys(
        ("models", "engine", "plain", "streamed", "aborted", "cached", "echo"), "ok"
    )


@pytest.mark.parametrize(("documents_max", "outcome"), [(None, "completed"), (2, "aborted")])
def test_what_is_judged_is_the_event_the_addon_would_make(
    engine: Engine, documents_max: int | None, outcome: str
) -> None:
    engine.script = vllm()
    vllm_engine = find_engine("vLLM")
    assert vllm_engine
    with EngineLine(parse_url(engine.url), Access()) as line:
        metered = Meter(line, Terms(vllm_engine, asking=Asking.CONTINUOUS)).ask(
            QUESTIONS[0], Wording(MODEL), streamed=True, documents_max=documents_max
        )

    event = metered.event
    assert (event.api, event.requested_model, event.model_id) == ("openai.chat", MODEL, MODEL)
    assert (event.outcome, event.status_code, event.streamed) == (outcome, 200, True)
    assert b"usage" not in metered.seen
    assert engine.requests[0].headers["x-request-id"] == event.request_id


def test_everything_takes_seven_requests_for_short_answers(check: Check, engine: Engine) -> None:
    check(vllm())

    asked = [json.loads(request.body) for request in engine.requests if request.method == "POST"]
    assert len(asked) == 7
    assert {body["max_tokens"] for body in asked} == {16}
    assert all(request.headers["accept-encoding"] == "identity" for request in engine.requests)


def test_streams_are_asked_for_usage_as_the_addon_asks(check: Check, engine: Engine) -> None:
    check(vllm(), "--usage", "continuous")

    streams = [json.loads(request.body) for request in engine.requests if b'"stream": true' in request.body]
    assert len(streams) == 3
    wanted = {"include_usage": True, "continuous_usage_stats": True}
    assert all(body["stream_options"] == wanted for body in streams)


@pytest.mark.parametrize(
    ("pretended", "flag"),
    [
        (vllm(cached=False), "Start vLLM with --enable-prompt-tokens-details."),
        (sglang(cached=False), "Start SGLang with --enable-cache-report."),
        (PretendEngine(cached=False), "vLLM: --enable-prompt-tokens-details, SGLang: --enable-cache-report"),
    ],
    ids=["vLLM", "SGLang", "unknown"],
)
def test_an_engine_that_does_not_report_cached_tokens_fails_and_its_flag_is_named(
    check: Check, pretended: PretendEngine, flag: str
) -> None:
    outcome = check(pretended)

    result, text = outcome.found("cached")
    assert (outcome.code, outcome.report["conforms"], result) == (2, False, "failed")
    assert flag in text


def test_an_engine_that_can_not_report_cached_tokens_is_warned_of(check: Check) -> None:
    ollama = PretendEngine(pages={"/api/version": {"version": "0.33.0"}}, cached=False)
    outcome = check(ollama)

    assert (outcome.code, outcome.report["engine"]) == (0, "Ollama")
    assert outcome.found("cached")[0] == "warning"


def test_the_prompt_that_is_to_be_cached_is_new_in_each_run(check: Check, engine: Engine) -> None:
    pretended = vllm()
    for _ in range(2):
        assert check(pretended).found("cached")[0] == "ok"

    prompts = [json.loads(request.body)["messages"] for request in engine.requests if b"Note" in request.body]
    assert len(prompts) == 6
    assert len({str(prompt) for prompt in prompts}) == 2


def test_cached_tokens_that_are_reported_but_never_there_are_warned_of(check: Check) -> None:
    outcome = check(vllm(caches=False))

    result, text = outcome.found("cached")
    assert (outcome.code, result) == (0, "warning")
    assert "Prefix caching is off" in text


@pytest.mark.parametrize(
    ("manners", "said"),
    [
        ({"cached_in_streams": False}, "In streams cached tokens are not reported"),
        (
            {"spoiled_in_streams": {"prompt_tokens_details": {"cached_tokens": 9999}}},
            "More tokens are reported as cached than the prompt has",
        ),
    ],
)
def test_cached_tokens_that_are_reported_wrongly_fail(
    check: Check, manners: dict[str, Any], said: str
) -> None:
    outcome = check(vllm(**manners))

    result, text = outcome.found("cached")
    assert (outcome.code, result) == (2, "failed")
    assert said in text


def test_an_engine_without_any_usage_fails_everywhere(check: Check) -> None:
    outcome = check(PretendEngine(plain_usage=False, streams_usage=False))

    assert outcome.code == 2
    assert outcome.found("plain")[0] == outcome.found("streamed")[0] == outcome.found("cached")[0] == "failed"
    assert "would not be billed" in outcome.found("plain")[1]


def test_an_engine_that_ignores_the_question_for_usage_fails_in_streams_only(check: Check) -> None:
    outcome = check(vllm(streams_usage=False))

    assert (outcome.code, outcome.found("plain")[0]) == (2, "ok")
    result, text = outcome.found("streamed")
    assert result == "failed"
    assert "--enable-force-include-usage" in text


@pytest.mark.parametrize(
    ("spoiled", "said"),
    [
        (
            {"prompt_tokens": -1},
            'no whole number of tokens, so that none of it is billed: {"prompt_tokens":-1',
        ),
        ({"prompt_tokens": 0}, "reports no prompt tokens"),
        ({"completion_tokens": 0}, "reports no generated tokens"),
        ({"completion_tokens": None}, "completion not reported"),
    ],
)
@pytest.mark.parametrize("where", ["plain", "streamed"])
def test_counts_that_can_not_be_billed_fail(
    check: Check, spoiled: dict[str, Any], said: str, where: str
) -> None:
    member = "spoiled" if where == "plain" else "spoiled_in_streams"
    outcome = check(vllm(**{member: spoiled}))

    result, text = outcome.found(where)
    assert (outcome.code, result) == (2, "failed")
    assert said in text


def test_a_prompt_that_is_counted_otherwise_in_streams_fails(check: Check) -> None:
    outcome = check(vllm(spoiled_in_streams={"prompt_tokens": 70, "prompt_tokens_details": None}))

    result, text = outcome.found("streamed")
    assert (outcome.code, result) == (2, "failed")
    assert "70 in a stream" in text


def test_more_generated_tokens_than_were_asked_for_are_warned_of(check: Check) -> None:
    outcome = check(vllm(spoiled_in_streams={"completion_tokens": 17}))

    assert (outcome.code, outcome.found("streamed")[0]) == (0, "warning")


def test_a_stream_whose_finish_reason_is_its_only_end_is_complete(check: Check) -> None:
    assert check(vllm(never_ends=True)).found("streamed")[0] == "ok"


def test_a_stream_without_any_end_fails(check: Check) -> None:
    words = {"model": MODEL, "choices": [{"index": 0, "delta": {"content": "word"}}]}
    usage = {"model": MODEL, "choices": [], "usage": {"prompt_tokens": PROMPT, "completion_tokens": 1}}
    chunks = [f"data: {json.dumps(each)}\n\n".encode() for each in (words, usage)]
    outcome = check(streams_by(engines.stream(chunks)))

    result, text = outcome.found("streamed")
    assert (outcome.code, result) == (2, "failed")
    assert "recorded as upstream_error" in text


def test_a_document_in_place_of_a_stream_is_warned_of(check: Check) -> None:
    usage = {"prompt_tokens": PROMPT, "completion_tokens": 8, "prompt_tokens_details": {"cached_tokens": 0}}
    outcome = check(streams_by(engines.document({"model": MODEL, "choices": [{}], "usage": usage})))

    assert outcome.code == 0
    assert outcome.found("streamed")[0] == outcome.found("aborted")[0] == "warning"


def test_an_aborted_stream_is_known_as_far_as_it_came(check: Check, engine: Engine) -> None:
    outcome = check(vllm(), "--usage", "continuous")

    assert outcome.found("aborted") == (
        "ok",
        "When the client left, the counts were known: prompt 13, cached not reported, completion 2.",
    )


def test_with_final_usage_it_is_said_that_aborted_streams_are_not_billed(check: Check) -> None:
    outcome = check(vllm(), "--usage", "final")

    result, text = outcome.found("aborted")
    assert result == "ok"
    assert "Aborted streams are not billed." in text
    assert "--usage auto" in text


def test_a_declared_engine_is_asked_for_usage_on_every_chunk_and_one_that_is_detected_is_to_be_declared(
    check: Check,
) -> None:
    result, text = check(vllm()).found("aborted")
    assert result == "ok"
    assert "Declare `engine: vLLM`" in text
    result, text = check(vllm(), "--engine", "vllm").found("aborted")
    assert (result, "Declare" in text) == ("ok", False)
    silent = vllm()
    silent.continuous = False
    result, text = check(silent, "--engine", "vllm").found("aborted")
    assert result == "warning"
    assert "usage: final" in text


def test_continuous_usage_that_does_not_come_fails(check: Check) -> None:
    pretended = vllm()
    pretended.continuous = False
    outcome = check(pretended, "--usage", "continuous")

    result, text = outcome.found("aborted")
    assert (outcome.code, result) == (2, "failed")
    assert "usage: final" in text


def test_an_engine_that_refuses_to_be_asked_for_continuous_usage_fails(check: Check) -> None:
    pretended = PretendEngine(refuses=frozenset({"continuous_usage_stats"}))
    outcome = check(pretended, "--usage", "continuous")

    result, text = outcome.found("streamed")
    assert (outcome.code, result) == (2, "failed")
    assert "(400: Unknown parameter: continuous_usage_stats)" in text
    assert "--usage final" in text
    assert check(pretended).found("streamed")[0] == "ok"


@pytest.mark.parametrize(
    ("unasked", "said", "hint"),
    [
        (True, "and reports usage without being asked", "Declare `usage: none`"),
        (False, "its streams would not be billed", "Use an engine that knows `stream_options.include_usage`"),
    ],
)
def test_an_engine_that_refuses_stream_options_fails_by_what_it_does_unasked(
    check: Check, unasked: bool, said: str, hint: str
) -> None:
    pretended = PretendEngine(refuses=frozenset({"stream_options"}), streams_unasked=unasked)
    outcome = check(pretended)

    result, text = outcome.found("streamed")
    assert (outcome.code, result) == (2, "failed")
    assert "(400: Unknown parameter: stream_options)" in text
    assert said in text
    assert hint in text
    # What is advised helps.
    assert check(pretended, "--usage", "none").found("streamed")[0] == ("ok" if unasked else "failed")


def test_engines_that_can_not_report_continuously_are_not_asked_to(check: Check, engine: Engine) -> None:
    pretended = PretendEngine(
        headers={"Server": "llama.cpp"},
        pages={"/props": {"default_generation_settings": {}, "build_info": "b7000"}},
        open_to_all=True,
        refuses=frozenset({"continuous_usage_stats"}),
    )
    outcome = check(pretended, "--usage", "continuous")

    assert outcome.code == 0
    assert (outcome.report["engine"], outcome.report["engine_version"]) == ("llama.cpp", "b7000")
    assert "llama.cpp can't report usage before the end." in outcome.found("aborted")[1]
    assert "answered as meta/llama" in outcome.found("echo")[1]


def test_an_engine_that_echoes_must_have_its_models_declared(check: Check) -> None:
    outcome = check(sglang())

    result, text = outcome.found("echo")
    assert (outcome.code, result) == (0, "warning")
    assert 'Declare in the resource map: engine: SGLang, models: ["meta/llama"].' in text


def test_an_engine_that_is_not_known_and_echoes_must_be_declared(check: Check) -> None:
    outcome = check(PretendEngine(echoes=True))

    result, text = outcome.found("echo")
    assert (outcome.code, result) == (0, "warning")
    assert "Without `models` it is billed by the name that the client chose." in text


def test_an_engine_that_echoes_and_has_its_models_declared_is_not_asked(check: Check, engine: Engine) -> None:
    outcome = check(sglang(), "--models", MODEL, "--models", "other")

    assert (outcome.code, outcome.found("echo")[0]) == (0, "ok")
    assert not any(b"no-such-model" in request.body for request in engine.requests)


def test_an_engine_that_is_known_to_echo_must_have_its_models_declared_in_any_case(check: Check) -> None:
    pretended = sglang()
    pretended.echoes = False
    outcome = check(pretended)

    assert outcome.found("echo")[0] == "warning"
    assert "nothing it serves is billed without `models`" in outcome.found("echo")[1]


def test_an_engine_that_echoes_is_not_the_one_it_is_said_to_be(check: Check) -> None:
    outcome = check(sglang(), "--engine", "vllm")

    assert outcome.code == 2
    assert outcome.found("echo")[0] == "failed"
    assert outcome.found("engine", None)[0] == "warning"
    assert "looks like SGLang" in outcome.found("engine", None)[1]
    assert (outcome.report["engine"], outcome.report["detected_by"]) == ("vLLM", "--engine")


def test_an_engine_that_answers_by_another_name_is_warned_of(check: Check) -> None:
    outcome = check(PretendEngine(headers={"OpenAI-Version": "2020-10-01"}, model="gpt-5.1-2026-01-01"))

    result, text = outcome.found("plain")
    assert (outcome.code, outcome.report["engine"], result) == (0, "OpenAI", "warning")
    assert "Price gpt-5.1-2026-01-01." in text


def test_an_engine_that_answers_by_a_name_that_is_not_declared_fails(check: Check) -> None:
    outcome = check(PretendEngine(model="gpt-5.1-2026-01-01"), "--models", MODEL)

    assert (outcome.code, outcome.found("plain")[0]) == (2, "failed")
    both = ("--models", MODEL, "--models", "gpt-5.1-2026-01-01")
    assert check(PretendEngine(model="gpt-5.1-2026-01-01"), *both).code == 0


def test_an_engine_that_names_no_model_needs_exactly_one_declared(check: Check) -> None:
    outcome = check(PretendEngine(model=None))

    assert (outcome.code, outcome.found("plain")[0]) == (2, "failed")
    assert f"--models {MODEL}" in outcome.found("plain")[1]
    assert check(PretendEngine(model=None), "--models", MODEL).found("plain")[0] == "ok"


def test_openai_is_asked_in_its_own_words(check: Check, engine: Engine) -> None:
    pretended = PretendEngine(
        headers={"openai-processing-ms": "12"}, refuses=frozenset({"max_tokens", "continuous_usage_stats"})
    )
    outcome = check(pretended, "--usage", "continuous")

    assert outcome.code == 0


def test_anthropic_is_told_what_to_cache(check: Check, engine: Engine) -> None:
    pretended = PretendEngine(headers={"anthropic-organization-id": "o"}, apis=frozenset({"/v1/messages"}))
    outcome = check(pretended, "--api", "anthropic.messages")

    assert (outcome.code, outcome.report["engine"]) == (0, "Anthropic")
    assert outcome.found("cached", "anthropic.messages")[0] == "ok"
    assert outcome.found("aborted", "anthropic.messages")[0] == "ok"
    assert all(
        request.headers["anthropic-version"] == "2023-06-01"
        for request in engine.requests
        if request.method == "POST"
    )


def test_ollama_is_read_line_by_line(check: Check) -> None:
    pretended = PretendEngine(
        pages={"/v1/models": models_of("library"), "/api/version": {"version": "0.33.0"}},
        apis=frozenset({"/api/chat"}),
    )
    outcome = check(pretended, "--api", "ollama.chat")

    assert outcome.code == 0
    assert outcome.found("streamed", "ollama.chat") == (
        "ok",
        "The stream is complete and has usage: prompt 13, cached not reported, completion 8.",
    )
    assert outcome.found("aborted", "ollama.chat")[1] == "Aborted streams are not billed."


def test_embeddings_have_neither_streams_nor_generated_tokens(check: Check, engine: Engine) -> None:
    pretended = PretendEngine(apis=frozenset({"/v1/embeddings"}))
    outcome = check(pretended, "--api", "openai.embeddings")

    assert outcome.code == 0
    assert outcome.results().keys() == {"models", "engine", "plain", "echo"}
    assert len([request for request in engine.requests if request.method == "POST"]) == 2


def test_an_api_that_names_no_model_is_not_asked_for_another(check: Check) -> None:
    counts = {"prompt_tokens": PROMPT, "completion_tokens": 8, "cached_tokens": 0}
    sglang_native = engines.document({"text": "eight words", "meta_info": counts})
    outcome = check(sglang_native, "--api", "sglang.generate", "--models", MODEL)

    assert outcome.code == 0
    assert outcome.results().keys() == {"models", "engine", "plain", "streamed", "aborted", "cached"}


def test_all_means_the_apis_that_the_engine_answers_in(check: Check) -> None:
    pretended = vllm(apis=frozenset({"/v1/chat/completions", "/v1/embeddings", "/v1/messages"}))
    pretended.cached = True
    outcome = check(pretended, "--api", "all")

    assert outcome.found("apis", None) == (
        "ok",
        "The engine answers in openai.chat, openai.embeddings, anthropic.messages.",
    )
    assert {check["api"] for check in outcome.report["checks"]} == {
        None,
        "openai.chat",
        "openai.embeddings",
        "anthropic.messages",
    }


def test_several_apis_are_checked_each_once(check: Check, engine: Engine) -> None:
    pretended = vllm(apis=frozenset({"/v1/chat/completions", "/v1/completions"}))
    outcome = check(pretended, "--api", "openai.completions", "--api", "openai.chat", "--api", "openai.chat")

    assert outcome.code == 0
    plain = [check["api"] for check in outcome.report["checks"] if check["name"] == "plain"]
    assert plain == ["openai.completions", "openai.chat"]


def test_a_model_that_is_not_listed_is_warned_of(check: Check) -> None:
    names = [f"model-{number}" for number in range(7)]
    outcome = check(PretendEngine(pages={"/v1/models": models_of("vllm", *names)}))

    result, text = outcome.found("models", None)
    assert (outcome.code, result) == (0, "warning")
    assert "It lists model-0, model-1, model-2, model-3, model-4, …." in text


def test_an_engine_that_says_nothing_of_itself_is_warned_of(check: Check) -> None:
    outcome = check(PretendEngine())

    assert (outcome.code, outcome.report["engine"], outcome.report["detected_by"]) == (0, None, None)
    assert outcome.found("engine", None)[0] == outcome.found("models", None)[0] == "warning"


def test_an_engine_that_compresses_unasked_is_read_all_the_same(check: Check) -> None:
    outcome = check(vllm(compressed=True))

    assert (outcome.code, outcome.report["engine"]) == (0, "vLLM")


def test_what_is_mislabelled_is_named_and_read_all_the_same(check: Check) -> None:
    labels = {"text/event-stream": "application/json", "application/json": "text/plain"}
    outcome = check(vllm(labels=labels, named_coding="gzip"))

    assert outcome.code == 0
    found = [each for each in outcome.report["checks"] if each["name"] == "labels"]
    assert [each["result"] for each in found] == ["warning"] * 3
    said = [
        ("plain", "Content-Type: text/plain", "is a JSON document", "Content-Type: application/json"),
        ("streamed", "Content-Encoding: gzip", "is in no coding", "Content-Encoding: identity"),
        (
            "streamed",
            "Content-Type: application/json",
            "is an event stream",
            "Content-Type: text/event-stream",
        ),
    ]
    for each, (what, label, is_what, right) in zip(found, said, strict=True):
        assert all(part in each["message"] for part in (what, label, is_what))
        assert right in each["hint"]


def test_what_is_labelled_well_is_not_mentioned(check: Check) -> None:
    checks = check(vllm(compressed=True)).report["checks"]

    assert [each for each in checks if each["name"] == "labels"] == []


@pytest.fixture
def tls_engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with a certificate for localhost, signed by the authority in tmp_path/test-ca-cert.pem."""
    entry = certs.CertStore.from_store(tmp_path, "test", 2048).get_cert(
        "localhost", [x509.DNSName("localhost")]
    )
    key = entry.privatekey.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = tmp_path / "engine.pem"
    pem.write_bytes(key + entry.cert.to_pem())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    engine = Engine(context)
    engine.script = vllm()
    yield engine
    engine.close()


@pytest.mark.parametrize("trusted", [True, False])
def test_an_engine_behind_tls_is_asked_only_if_its_certificate_is_trusted(
    tmp_path: Path, tls_engine: Engine, capsys: Capture, trusted: bool
) -> None:
    trust = ["--ca-file", str(tmp_path / "test-ca-cert.pem")] if trusted else []
    code = main(["conformance", f"https://localhost:{tls_engine.port}", "--model", MODEL, *trust])

    assert code == (0 if trusted else 1)
    assert bool(tls_engine.requests) is trusted
    assert ("CERTIFICATE_VERIFY_FAILED" in capsys.readouterr().out) is not trusted


def test_nothing_listens(capsys: Capture) -> None:
    port = reserve_port()
    assert main(["conformance", f"http://127.0.0.1:{port}", "--model", MODEL, "--json"]) == 1

    report = json_documents.read(capsys.readouterr().out, kind=CONFORMANCE)
    (only,) = report["checks"]
    assert (report["conforms"], only["result"]) == (None, "unchecked")
    assert f"can't be reached at http://127.0.0.1:{port}" in only["message"]


def test_a_server_that_is_no_engine(check: Check) -> None:
    page = b"<html>nothing here</html>"
    outcome = check(engines.document(page, "404 Not Found", "text/html"))

    assert outcome.code == 1
    assert outcome.found("plain")[0] == "unchecked"
    assert "404 to POST /v1/chat/completions: <html>nothing here</html>." in outcome.found("plain")[1]
    assert check(engines.document(page, "404 Not Found", "text/html"), "--api", "all").code == 1


def test_an_engine_that_wants_a_key_gets_it_and_nobody_sees_it(check: Check, tmp_path: Path) -> None:
    secret = tmp_path / "headers.txt"
    secret.write_text(f"\nAuthorization: Bearer {KEY}\n")
    for options in (("--header", f"Authorization: Bearer {KEY}"), ("--header", f"@{secret}")):
        outcome = check(vllm(key=KEY), *options)

        assert outcome.code == 0
        assert KEY not in outcome.written


def test_an_engine_that_refuses_the_key_is_not_checked_and_nobody_sees_the_key(check: Check) -> None:
    outcome = check(vllm(key="another"), "--header", f"Authorization: Bearer {KEY}", "--api", "all")

    (only,) = outcome.report["checks"]
    assert (outcome.code, only["result"]) == (1, "unchecked")
    assert "401 to GET /v1/models: Incorrect API key provided: ***." in only["message"]
    assert "--header 'Authorization: Bearer KEY'" in only["hint"]
    assert KEY not in outcome.written


@pytest.mark.parametrize("status", ["302 Found", "403 Forbidden", "429 Too Many Requests", "503 Loading"])
def test_a_status_that_says_nothing_of_usage_is_no_finding_about_it(check: Check, status: str) -> None:
    outcome = check(vllm(status=status))

    assert outcome.code == 1
    assert set(outcome.results().values()) == {"unchecked"}
    assert f"{status[:3]} to GET /v1/models: not now." in outcome.found("models", None)[1]


def test_an_engine_that_dies_in_the_middle_of_a_stream_is_not_judged_by_it(check: Check) -> None:
    outcome = check(vllm(dies_after=5))

    assert (outcome.code, outcome.report["conforms"]) == (1, None)
    assert outcome.found("plain")[0] == "ok"
    result, text = outcome.found("streamed")
    assert result == "unchecked"
    assert "broke off its answer to POST /v1/chat/completions" in text


def test_what_failed_counts_more_than_what_could_not_be_checked(check: Check) -> None:
    assert check(vllm(plain_usage=False, dies_after=5)).code == 2


def test_an_engine_that_does_not_answer_is_waited_for_as_long_as_was_said(check: Check) -> None:
    def silent(_request: EngineRequest, line: Line) -> None:
        line.wait_until_closed()

    outcome = check(silent, "--timeout", "0.2", "--api", "all")

    (only,) = outcome.report["checks"]
    assert (outcome.code, only["result"]) == (1, "unchecked")
    assert "did not answer within 0.2 s" in only["message"]


def test_an_engine_that_never_comes_to_an_end_is_left(check: Check) -> None:
    def endless(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        for _ in range(500):
            if line.wait_until_closed(0.02):
                return
            line.send_chunk(b": still there\n\n")

    outcome = check(streams_by(endless), "--timeout", "0.3")

    assert (outcome.code, outcome.found("streamed")[0]) == (1, "unchecked")
    assert "did not answer within 0.3 s" in outcome.found("streamed")[1]


def test_an_answer_without_bounds_is_left(check: Check) -> None:
    megabyte = b": " + b"x" * 1024 * 1024 + b"\n"
    outcome = check(streams_by(engines.stream([megabyte] * 9)))

    assert (outcome.code, outcome.found("streamed")[0]) == (1, "unchecked")
    assert "sent more than" in outcome.found("streamed")[1]


def test_proxies_of_the_environment_are_not_used(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert check(vllm()).code == 0


def test_a_path_before_the_routes_is_kept(engine: Engine, capsys: Capture) -> None:
    engine.script = vllm()
    main(["conformance", f"{engine.url}/team/blue/", "--model", MODEL])

    assert engine.requests[0].path == "/team/blue/v1/models"


@pytest.mark.parametrize(
    ("pretended", "code", "verdict"),
    [
        (vllm(), 0, "conforms\n"),
        (sglang(), 0, "conforms, with warnings: 1\n"),
        (vllm(cached=False), 2, "does not conform: something would be billed wrongly or not at all\n"),
        (vllm(dies_after=1), 1, "not everything could be checked\n"),
    ],
)
def test_people_get_a_table_and_a_verdict(
    engine: Engine, capsys: Capture, pretended: PretendEngine, code: int, verdict: str
) -> None:
    engine.script = pretended
    assert main(["conformance", engine.url, "--model", MODEL, "--prompt-tokens", "200"]) == code

    written = capsys.readouterr().out
    assert written.partition("\n")[0].strip() == f"{MODEL} at {engine.url}"
    assert written.endswith(verdict)
    assert ("FAILED" in written) == (code == 2)
