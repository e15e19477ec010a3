import json
from collections.abc import Mapping

import pytest

from phoebe_conformance.detection import detect, model_names
from phoebe_conformance.engine_line import Head, Reply

NOT_FOUND = Reply(Head(404, {}), b'{"version": "1", "detail": "Not Found"}')


def page(body: object, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(Head(200, headers or {}), json.dumps(body).encode())


def owned_by(owner: object) -> Reply:
    return page({"object": "list", "data": [{"id": "m", "owned_by": owner}]})


@pytest.mark.parametrize(
    ("owner", "engine"),
    [
        ("vllm", "vLLM"),
        ("sglang", "SGLang"),
        ("tensorrt_llm", "TensorRT-LLM"),
        ("nvidia", "Dynamo"),
        ("llamacpp", "llama.cpp"),
    ],
)
def test_an_engine_is_known_by_whom_it_says_its_models_belong_to(owner: str, engine: str) -> None:
    detected = detect(lambda _: NOT_FOUND, owned_by(owner))

    assert detected
    assert (detected.engine.name, detected.version) == (engine, None)
    assert detected.by == f"GET /v1/models: owned by {owner}"


@pytest.mark.parametrize(
    ("headers", "engine"),
    [
        ({"openai-version": "2020-10-01"}, "OpenAI"),
        ({"openai-processing-ms": "7"}, "OpenAI"),
        ({"anthropic-organization-id": "o"}, "Anthropic"),
        ({"server": "llama.cpp"}, "llama.cpp"),
        ({"server": "uvicorn"}, None),
        ({}, None),
    ],
)
def test_an_engine_is_known_by_its_headers(headers: Mapping[str, str], engine: str | None) -> None:
    for models in (page({"data": []}, headers), Reply(Head(404, headers), b"")):
        detected = detect(lambda _: NOT_FOUND, models)

        assert (detected.engine.name if detected else None) == engine


@pytest.mark.parametrize(
    ("path", "body", "engine", "version"),
    [
        ("/props", {"default_generation_settings": {}, "build_info": "b7"}, "llama.cpp", "b7"),
        ("/get_model_info", {"model_path": "m", "is_generation": True}, "SGLang", None),
        ("/server_info", {"model_path": "m", "version": "0.5.23"}, "SGLang", "0.5.23"),
        ("/api/version", {"version": "0.33.0"}, "Ollama", "0.33.0"),
        ("/info", {"router": "text-generation-router", "version": "3.3"}, "TGI", "3.3"),
        (
            "/info",
            {"model_type": {"embedding": {}}, "tokenization_workers": 4, "version": "1.8"},
            "TEI",
            "1.8",
        ),
        ("/v2", {"name": "triton", "version": "2.60"}, "Triton", "2.60"),
        ("/version", {"version": "0.33.0"}, "vLLM", "0.33.0"),
    ],
)
def test_an_engine_is_known_by_a_page_only_it_has(
    path: str, body: object, engine: str, version: str | None
) -> None:
    pages = {path: page(body)}
    detected = detect(lambda asked: pages.get(asked, NOT_FOUND), owned_by("someone"))

    assert detected
    assert (detected.engine.name, detected.version, detected.by) == (engine, version, f"GET {path}")


def test_a_page_that_others_have_as_well_does_not_hide_the_engine() -> None:
    pages = {"/version": page({"version": "9"}), "/api/version": page({"version": "0.33.0"})}
    detected = detect(lambda asked: pages.get(asked, NOT_FOUND), NOT_FOUND)

    assert detected
    assert detected.name == "Ollama 0.33.0"


@pytest.mark.parametrize(
    "answer",
    [
        NOT_FOUND,
        page([]),
        page("text"),
        page({"version": None, "router": None, "name": []}),
        Reply(Head(200, {}), b"<html>"),
        Reply(Head(200, {}), b"\xff"),
        Reply(Head(200, {}), b"[" * 100_000),
        owned_by(["vllm"]),
    ],
)
def test_what_is_no_such_page_tells_nothing(answer: Reply) -> None:
    detected = detect(lambda _: answer, answer)

    assert detected is None or detected.version is None


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (page({"data": [{"id": "a"}, {"id": "b", "root": "a"}, {"id": 7}, "c"]}), ("a", "b")),
        (page({"data": []}), ()),
        (page({"models": []}), None),
        (page([1]), None),
        (NOT_FOUND, None),
    ],
)
def test_the_models_an_engine_lists(models: Reply, names: tuple[str, ...] | None) -> None:
    assert model_names(models) == names
