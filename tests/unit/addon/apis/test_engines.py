from collections import Counter

import pytest

from phoebe_addon.apis.engines import ENGINES, UNDECLARED, Engine, find_engine
from phoebe_addon.apis.families import FAMILIES
from tests.harness.known import engine as known_engine

APIS = {family.api for family in FAMILIES}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)
def test_an_engine_is_found_by_its_name_however_it_is_written(engine: Engine) -> None:
    name = engine.name

    for written in (name, name.upper(), name.lower(), f" {name} ", name.replace("-", "_"), f"{name}!"):
        assert find_engine(written) is engine


def test_no_two_engines_are_written_alike() -> None:
    written = Counter("".join(filter(str.isalnum, engine.name.casefold())) for engine in ENGINES)

    assert [name for name, count in written.items() if count > 1] == []


@pytest.mark.parametrize("name", ["", " ", "vllm2", "llama", "gpt", "\0", "ü"])
def test_an_engine_that_is_not_known_is_none(name: str) -> None:
    assert find_engine(name) is None


def test_of_an_engine_that_is_not_declared_only_continuous_usage_is_assumed() -> None:
    assert find_engine(None) is UNDECLARED
    assert UNDECLARED.continuous_usage
    assert not any(UNDECLARED.echoes(api) for api in APIS)
    assert not UNDECLARED.usage_per_result
    assert not UNDECLARED.cached_in_prompt


@pytest.mark.parametrize(
    ("name", "echoing"),
    [
        ("SGLang", APIS),
        ("TGI", APIS),
        ("TensorRT-LLM", APIS),
        ("TRTLLM", APIS),
        ("llama.cpp", {"openai.embeddings", "jina.rerank", "cohere.rerank"}),
        ("vLLM", set()),
        ("Ollama", APIS),
        ("LocalAI", APIS),
        ("mlx-lm", APIS),
        ("LMDeploy", set()),
        ("OpenAI", set()),
    ],
)
def test_where_an_engine_repeats_the_clients_word_for_the_model_is_known(
    name: str, echoing: set[str]
) -> None:
    engine = known_engine(name)

    assert {api for api in APIS if engine.echoes(api)} == echoing


def test_the_apis_an_engine_echoes_in_exist() -> None:
    for engine in ENGINES:
        assert engine.echoing_apis <= APIS
