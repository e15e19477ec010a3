import pytest

from phoebe_addon.apis.families import find_family
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.routes import Match, RouteTable
from phoebe_conformance.questions import QUESTIONS, Question, Wording, find_question, long_prompt


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.api)
def test_every_question_goes_where_its_api_is_metered(question: Question) -> None:
    match = RouteTable(built_in_routes()).find("POST", question.path)

    assert isinstance(match, Match)
    assert find_family(question.api) in match.route.families


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.api)
def test_every_question_has_the_prompt_and_only_those_to_generate_can_be_streamed(question: Question) -> None:
    wording = Wording("some/model", "the prompt")

    assert "the prompt" in str(question.body(wording, streamed=False))
    assert question.body(wording, streamed=True).get("stream", False) is question.generates


def test_no_api_has_two_questions() -> None:
    assert [find_question(question.api) for question in QUESTIONS] == list(QUESTIONS)
    assert find_question("openai.images") is None


def test_a_long_prompt_is_as_long_as_was_asked_and_new_each_time() -> None:
    assert long_prompt(1200, "a").startswith("Note a: one two ")
    assert 1200 <= len(long_prompt(1200, "a").split()) <= 1210
    assert long_prompt(7, "a") != long_prompt(7, "b")


def test_an_engine_that_caches_what_it_is_told_to_is_told_to() -> None:
    question = find_question("anthropic.messages")
    assert question is not None

    told = question.body(Wording("m", "the prompt", engine="Anthropic"), streamed=False)
    assert told["messages"] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "the prompt", "cache_control": {"type": "ephemeral"}}],
        }
    ]
    assert "cache_control" not in str(question.body(Wording("m", engine="vLLM"), streamed=False))
