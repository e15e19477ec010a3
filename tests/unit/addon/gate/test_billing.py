"""What can't be billed is refused, by the name under which an operator may allow it."""

import json
from collections.abc import Mapping

import pytest

from phoebe_addon.apis.adapters import ADAPTER_PLACES
from phoebe_addon.apis.engines import UNDECLARED
from phoebe_addon.apis.families import FAMILIES
from phoebe_addon.formats.steps import at_once
from phoebe_addon.gate.billing import check_billing
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.refusal import Refusal, RefusalReason
from phoebe_addon.gate.request_body import RequestBody, UsagePolicy, read_request
from phoebe_addon.gate.routes import Match, RouteTable
from phoebe_addon.gate.unbillable import chosen_adapters, unbillable_names
from phoebe_addon.gate.upstreams import Upstream
from tests.corpus.case import Form
from tests.harness.known import engine

ROUTES = RouteTable(built_in_routes())
CHAT = "/v1/chat/completions"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
SPEECH = "/v1/audio/speech"
MESSAGES: dict[str, object] = {"messages": []}


def checked(
    path: str,
    sent: Mapping[str, object] | Form,
    name: str | None = None,
    models: tuple[str, ...] = (),
    allowed: frozenset[str] = frozenset(),
) -> RequestBody | Refusal:
    """Check a request to a resource with an engine of that name and these models."""
    known = engine(name) if name else UNDECLARED
    match = ROUTES.find("POST", path)
    assert isinstance(match, Match)
    content = sent.encode() if isinstance(sent, Form) else json.dumps(sent).encode()
    content_type = f"multipart/form-data; boundary={Form.BOUNDARY}"
    body = at_once(read_request(content, content_type, match, UsagePolicy(known)))
    return check_billing(body, Upstream("http", "engine", 80, "", known, models), allowed)


def form(**fields: str) -> Form:
    return Form(tuple({"model": "m", **fields}.items()))


ONE = ("m",)
UNBILLABLE = [
    ("bytes_only", "/v1/embeddings", {"encoding_format": "bytes_only"}, None, ()),
    ("bytes_only", "/embeddings", {"encoding_format": "bytes_only"}, "vLLM", ()),
    ("bytes_only", "/pooling", {"Encoding_Format": "bytes_only"}, None, ()),
    ("bytes_only", "/v1/rerank", {"encoding_format": "bytes_only"}, None, ()),
    ("bytes_only", "/invocations", {"input": "a", "encoding_format": "bytes_only"}, None, ()),
    ("rerank_texts", "/rerank", {"texts": ["a"]}, None, ()),
    ("rerank_texts", "/v1/reranking", {"texts": []}, "llama.cpp", ()),
    ("sglang_top_n", "/v1/rerank", {"documents": ["a"], "top_n": 1}, "SGLang", ONE),
    ("cohere_searches", "/v2/rerank", {"documents": ["a"]}, "Cohere", ()),
    ("sglang_ollama_stream", "/api/chat", MESSAGES, "SGLang", ONE),
    ("sglang_ollama_stream", "/api/generate", {"prompt": "a", "stream": True}, "SGLang", ONE),
    ("llamacpp_embeddings", "/embeddings", {"input": "a"}, "llama.cpp", ()),
    ("llamacpp_embeddings", "/v1/embeddings", {"content": "a"}, None, ()),
    ("llamacpp_several", CHAT, {"messages": [], "n": 2}, "llama.cpp", ()),
    ("llamacpp_several", "/v1/completions", {"prompt": ["a", "b"]}, "llama.cpp", ()),
    ("response_fields", "/completion", {"response_fields": ["content"]}, None, ()),
    ("background", "/v1/responses", {"background": True}, None, ()),
    ("responses_n", "/v1/responses", {"n": 2}, None, ()),
    ("transcription_format", TRANSCRIPTIONS, form(response_format="text"), None, ()),
    ("transcription_format", TRANSCRIPTIONS, form(response_format="verbose_json"), None, ()),
    ("transcription_seconds", TRANSCRIPTIONS, form(), "vLLM", ()),
    ("transcription_seconds", "/v1/audio/translations", form(stream="false"), "SGLang", ()),
    ("speech_audio", SPEECH, {"input": "a"}, None, ONE),
    ("speech_audio", SPEECH, {"input": "a", "stream_format": "audio"}, "OpenAI", ONE),
    ("speech_audio", SPEECH, {"input": "a", "stream": True}, "vLLM-Omni", ONE),
    ("adapter", "/generate", {"text": "a", "lora_path": "l"}, None, ONE),
    ("adapter", "/generate", {"text": ["a", "b"], "lora_path": [None, "l"]}, None, ONE),
    ("adapter", "/generate", {"inputs": "a", "parameters": {"adapter_id": "l"}}, None, ONE),
    ("adapter", "/generate", {"inputs": "a", "Parameters": {"Adapter_Id": "l"}}, None, ONE),
    ("adapter", CHAT, {"messages": [], "lora_path": "l"}, "SGLang", ONE),
    ("adapter", CHAT, {"messages": [], "lora": [{"id": 0, "scale": 1.0}]}, "llama.cpp", ()),
    ("adapter", CHAT, {"messages": [], "lora_request": {"lora_name": "l"}}, "TensorRT-LLM", ONE),
    ("adapter", CHAT, {"messages": [], "adapters": "l"}, "mlx-lm", ONE),
    ("unnamed_model", "/generate", {"text": "a"}, "SGLang", ()),
    ("unnamed_model", "/generate", {"inputs": "a"}, "TGI", ("m", "n")),
    ("unnamed_model", "/generate", {"inputs": "a", "text": "a"}, None, ()),
    ("unnamed_model", "/generate_stream", {"inputs": "a"}, None, ()),
    ("unnamed_model", "/embed", {"inputs": "a"}, "TEI", ()),
    ("unnamed_model", "/invocations", {"inputs": "a"}, None, ()),
    ("unnamed_model", "/v1/rerank", {"model": "m", "documents": ["a"]}, "SGLang", ()),
]


@pytest.mark.parametrize(("kind", "path", "sent", "name", "models"), UNBILLABLE)
def test_what_can_not_be_billed_is_refused_unless_its_name_is_allowed(
    kind: str, path: str, sent: Mapping[str, object] | Form, name: str | None, models: tuple[str, ...]
) -> None:
    refusal = checked(path, sent, name, models)

    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (400, RefusalReason.UNBILLABLE)
    assert f"({kind})" in refusal.message
    assert isinstance(checked(path, sent, name, models, frozenset({kind})), RequestBody)
    others = frozenset(unbillable_names()) - {kind}
    assert isinstance(checked(path, sent, name, models, others), Refusal)


def test_every_kind_has_an_example_here() -> None:
    assert {kind for kind, *_ in UNBILLABLE} == set(unbillable_names())


def test_the_names_of_kinds_can_be_written_in_a_list() -> None:
    assert all(name.replace("_", "").isalnum() for name in unbillable_names())
    assert list(unbillable_names()) == sorted(unbillable_names())


@pytest.mark.parametrize(
    ("path", "sent", "name", "models"),
    [
        ("/v1/embeddings", {"encoding_format": "bytes"}, None, ()),
        ("/v1/embeddings", {"encoding_format": None}, None, ()),
        (CHAT, {"messages": [], "encoding_format": "bytes_only"}, None, ()),
        ("/rerank", {"texts": ["a"]}, "TEI", ONE),
        ("/rerank", {"documents": ["a"], "texts": None}, None, ()),
        ("/v1/rerank", {"documents": ["a"], "top_n": 1}, None, ()),
        ("/v1/rerank", {"documents": ["a"]}, "SGLang", ONE),
        ("/api/chat", MESSAGES, None, ()),
        ("/api/chat", {"messages": [], "stream": False}, "SGLang", ONE),
        ("/embeddings", {"input": "a"}, None, ()),
        ("/v1/embeddings", {"input": "a"}, "llama.cpp", ()),
        (CHAT, {"messages": [], "n": 2, "stream": True}, "llama.cpp", ()),
        (CHAT, {"messages": [], "n": 2}, "vLLM", ()),
        (TRANSCRIPTIONS, form(response_format="json"), None, ()),
        (TRANSCRIPTIONS, form(), None, ()),
        (TRANSCRIPTIONS, form(stream="true"), "vLLM", ()),
        (SPEECH, {"input": "a", "stream_format": "sse"}, None, ONE),
        (SPEECH, {"input": "a"}, "vLLM-Omni", ONE),
        ("/generate", {"text": "a", "lora_path": None}, None, ONE),
        ("/generate", {"text": ["a", "b"], "lora_path": [None, None]}, None, ONE),
        ("/generate", {"inputs": "a", "parameters": {"adapter_id": ""}}, None, ONE),
        (CHAT, {"messages": [], "lora": []}, "llama.cpp", ()),
        ("/completion", {"prompt": "a"}, None, ()),
        ("/completion", {"prompt": "a"}, "llama.cpp", ("m", "n")),
        ("/v2/models/m/generate", {"text_input": "a"}, None, ("m", "n")),
        ("/v1/images/generations", {"model": "m", "prompt": "a"}, None, ()),
    ],
)
def test_what_can_be_billed_is_not_refused(
    path: str, sent: Mapping[str, object] | Form, name: str | None, models: tuple[str, ...]
) -> None:
    body = checked(path, sent, name, models)

    assert isinstance(body, RequestBody), body
    assert body.billed_model is None


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/generate", {"text": "a", "lora_path": "l"}),
        ("/generate", {"text": ["a", "b"], "lora_path": ["l", "l"]}),
        ("/generate", {"inputs": "a", "parameters": {"adapter_id": "l"}}),
        (CHAT, {"model": "m", "messages": [], "lora_path": "l"}),
    ],
)
@pytest.mark.parametrize("models", [("m", "l"), ("l", "m", "n")])
def test_an_adapter_that_is_declared_is_billed_under_its_name(
    path: str, sent: dict[str, object], models: tuple[str, ...]
) -> None:
    body = checked(path, sent, "SGLang", models)

    assert isinstance(body, RequestBody)
    assert body.billed_model == "l"


@pytest.mark.parametrize("adapters", [["l", None], ["l", "k"], [{"name": "l"}], {"name": "l"}, 1, ["l", ""]])
def test_adapters_that_are_not_one_with_a_declared_name_are_refused(adapters: object) -> None:
    refusal = checked("/generate", {"text": ["a", "b"], "lora_path": adapters}, None, ("m", "l", "k"))

    assert isinstance(refusal, Refusal)
    assert "(adapter)" in refusal.message


@pytest.mark.parametrize("unnamed", ["", None, 0, {"name": "k"}])
def test_an_adapter_without_a_name_is_none_of_the_named(unnamed: object) -> None:
    assert chosen_adapters(lambda place: [["l", unnamed]] if place == ADAPTER_PLACES[0] else []) == (
        "l",
        None,
    )


def test_two_members_that_choose_different_adapters_are_refused() -> None:
    sent = {"text": "a", "lora_path": "l", "lora_name": "k"}

    assert isinstance(checked("/generate", sent, None, ("l", "k")), Refusal)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        (CHAT, MESSAGES),
        (CHAT, {"model": None, "messages": []}),
        (CHAT, {"model": "", "messages": []}),
        ("/v1/embeddings", {"input": "a"}),
        ("/v1/rerank", {"documents": ["a"]}),
        ("/inference/v1/generate", {"token_ids": [1]}),
        (TRANSCRIPTIONS, Form(())),
    ],
)
def test_a_request_without_a_model_means_the_only_one(path: str, sent: Mapping[str, object] | Form) -> None:
    assert isinstance(checked(path, sent, None, ONE), RequestBody)
    refusal = checked(path, sent, None, ("m", "n"))
    assert isinstance(refusal, Refusal)
    assert refusal.reason is RefusalReason.MODEL_NOT_SERVED


@pytest.mark.parametrize("name", ["llama3.2", "LLAMA3.2:Latest", "library/llama3.2", "llama3.2:latest"])
@pytest.mark.parametrize("declared", ["llama3.2", "llama3.2:latest"])
def test_ollama_serves_a_declared_model_however_it_is_spelled(name: str, declared: str) -> None:
    sent = {"model": name, "messages": []}

    assert isinstance(checked("/api/chat", sent, "Ollama", (declared,)), RequestBody)
    if name != declared:
        assert isinstance(checked("/api/chat", sent, "vLLM", (declared,)), Refusal)


@pytest.mark.parametrize(
    "name", ["llama3.1", "llama3.2:1b", "me/llama3.2", "hf.co/library/llama3.2", "llama3.2 ", ""]
)
def test_ollama_does_not_serve_another_model(name: str) -> None:
    sent = {"model": name, "messages": []}

    assert isinstance(checked("/api/chat", sent, "Ollama", ("llama3.2", "m")), Refusal)


@pytest.mark.parametrize("model", ["cheap", "dear"])
def test_of_a_model_in_the_path_and_one_in_the_body_both_must_be_served(model: str) -> None:
    path = "/openai/deployments/dear/chat/completions"
    body = checked(path, {"model": model, "messages": []}, None, ("dear",))

    assert isinstance(body, RequestBody) is (model == "dear")
    assert isinstance(checked(path, MESSAGES, None, ("cheap",)), Refusal)


def test_the_places_that_can_not_be_billed_are_written_as_they_are_compared() -> None:
    for each in (unbillable for family in FAMILIES for unbillable in family.request.unbillable):
        assert all(isinstance(step, str) and step == step.casefold() for step in each.place)
        assert each.engines <= {known.name for known in map(engine, each.engines)}
        assert not (each.engines and each.sparing)
        assert each.why
        assert not each.why.endswith(".")


ADVISED = {"tools": [{"name": "x"}, {"type": "advisor_20260301", "name": "advisor", "model": "dear"}]}
FURTHER = [
    ("/v1/messages", {**MESSAGES, **ADVISED}),
    ("/v1/messages", {**MESSAGES, "Tools": [{"Model": "dear"}]}),
    ("/v1/messages", {**MESSAGES, "fallbacks": [{"model": "m"}, {"model": "dear"}]}),
    (CHAT, {**MESSAGES, "fallbacks": ["dear"]}),
    (CHAT, {**MESSAGES, "models": ["m", "dear"]}),
    ("/v1/responses", {"input": "a", "tools": [{"type": "image_generation", "model": "dear"}]}),
]


@pytest.mark.parametrize(("path", "sent"), FURTHER)
def test_a_model_that_is_to_work_beside_must_be_declared_like_any_other(
    path: str, sent: dict[str, object]
) -> None:
    request = {"model": "m", **sent}

    refusal = checked(path, request, models=("m", "n"))
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.reason) == (404, RefusalReason.MODEL_NOT_SERVED)
    assert "'dear'" in refusal.message
    assert isinstance(checked(path, request, models=("m", "dear")), RequestBody)
    assert isinstance(checked(path, request), RequestBody)


@pytest.mark.parametrize(
    "sent",
    [
        {"fallbacks": "default"},
        {"fallbacks": [7, None]},
        {"models": {"a": "b"}},
        {"tools": "dear"},
        {"tools": [[]]},
    ],
)
def test_what_names_no_further_model_is_let_through(sent: dict[str, object]) -> None:
    assert isinstance(
        checked("/v1/messages", {"model": "m", **MESSAGES, **sent}, models=("m", "n")), RequestBody
    )
