"""`phoebe conformance` against the real engine, without the proxy."""

import json
import re

import pytest

from rater_service.cli import main
from tests.engine.spoken_api import MODEL

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("usage", ["final", "continuous"])
def test_the_engine_conforms_in_every_api_it_answers_in(
    engine_url: str, usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["conformance", engine_url, "--model", MODEL, "--api", "all", "--usage", usage, "--json"])

    report = json.loads(capsys.readouterr().out)
    assert (code, report["conforms"], report["engine"]) == (0, True, "llama.cpp")
    assert report["detected_by"] == "GET /v1/models: owned by llamacpp"
    checks = {(check["api"], check["name"]): check["result"] for check in report["checks"]}
    assert {api for api, _ in checks} == {
        None,
        "openai.chat",
        "openai.completions",
        "openai.responses",
        "openai.embeddings",
        "anthropic.messages",
        "llamacpp.completion",
    }
    # It repeats the model named by a client of embeddings, and of nobody else.
    assert [check for check, result in checks.items() if result != "ok"] == [("openai.embeddings", "echo")]


def test_cached_tokens_of_the_engine_are_seen(engine_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["conformance", engine_url, "--model", MODEL, "--prompt-tokens", "100", "--json"]) == 0

    (cached,) = (
        check for check in json.loads(capsys.readouterr().out)["checks"] if check["name"] == "cached"
    )
    prompt, again, streamed = map(int, re.findall("[0-9]+", cached["message"]))
    # All but the last one come from the cache, and every character is a token.
    assert again == streamed == prompt - 1 > 400
