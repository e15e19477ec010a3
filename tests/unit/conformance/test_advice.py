"""What an operator is told to do about an engine: its own flag where it has one."""

import pytest

from phoebe_addon.apis.engines import UNDECLARED, Engine, find_engine
from phoebe_conformance import advice


def engine(name: str) -> Engine:
    found = find_engine(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vLLM", "Start vLLM with --enable-prompt-tokens-details."),
        ("SGLang", "Start SGLang with --enable-cache-report."),
        ("TGI", "TGI never reports them."),
    ],
)
def test_an_engine_that_reports_no_cached_tokens_is_started_with_its_own_flag(name: str, said: str) -> None:
    assert advice.report_cached(engine(name)) == said


def test_of_an_engine_that_is_not_known_the_likely_flags_are_named() -> None:
    said = advice.report_cached(UNDECLARED)

    assert "--enable-prompt-tokens-details" in said
    assert "--enable-cache-report" in said


@pytest.mark.parametrize(
    ("name", "can"), [("vLLM", True), ("SGLang", True), ("TGI", False), ("Ollama", False)]
)
def test_some_engines_never_report_cached_tokens(name: str, can: bool) -> None:
    assert advice.can_report_cached(engine(name)) is can


def test_an_engine_that_nothing_is_known_of_may_report_cached_tokens() -> None:
    assert advice.can_report_cached(UNDECLARED)


@pytest.mark.parametrize(
    ("name", "continuous", "said"),
    [
        ("vLLM", False, "--enable-force-include-usage"),
        ("SGLang", True, "--stream-response-default-include-usage"),
        ("Ollama", False, "Use an engine that knows `stream_options.include_usage`."),
    ],
)
def test_an_engine_that_reports_nothing_in_streams_is_told_to(name: str, continuous: bool, said: str) -> None:
    assert said in advice.report_in_streams(engine(name), continuous=continuous)


def test_an_engine_that_is_not_known_may_not_know_running_usage() -> None:
    assert "--usage final" in advice.report_in_streams(UNDECLARED, continuous=True)
    assert "include_usage" in advice.report_in_streams(UNDECLARED, continuous=False)


def test_the_resource_map_names_the_engine_if_it_is_known() -> None:
    assert advice.declaration(engine("vLLM"), "meta/llama") == 'engine: vLLM, models: ["meta/llama"]'
    assert advice.declaration(UNDECLARED, "meta/llama") == 'models: ["meta/llama"]'
