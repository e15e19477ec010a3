"""What llama.cpp does in its own way, and what becomes of it in the events."""

import httpx
import pytest

from tests.engine.answers import chunks, said
from tests.engine.metered_client import MeteredClient, counts_of, new_prompt
from tests.engine.spoken_api import (
    CHAT,
    COMPLETIONS,
    LONG,
    MESSAGES,
    MODEL,
    NATIVE,
    TOKENS,
    Counts,
    SpokenApi,
    tokens_of,
)

pytestmark = pytest.mark.engine
PROMPTS = ["a first prompt", "and a second one"]
PROMPTS_TOKENS = sum(tokens_of(prompt) for prompt in PROMPTS)


@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": False}}])
def test_a_client_that_asked_for_no_usage_sees_none_and_its_event_has_it(
    client: MeteredClient, options: dict[str, object]
) -> None:
    response, event = client.post(CHAT.path, CHAT.body(new_prompt(), stream=True, **options))

    *seen, done = chunks(response.content)
    assert done == "[DONE]"
    assert all(chunk["choices"] and "usage" not in chunk for chunk in seen)
    assert event.usage_found
    assert event.completion_tokens == TOKENS


def test_a_client_that_asked_for_usage_sees_what_its_event_has(client: MeteredClient) -> None:
    body = CHAT.body(new_prompt(), stream=True, stream_options={"include_usage": True})
    response, event = client.post(CHAT.path, body)

    *_, last, done = chunks(response.content)
    assert (last["choices"], done) == ([], "[DONE]")
    assert counts_of(event) == CHAT.said(last)


def test_the_engine_moves_the_timings_of_a_chat_when_it_is_asked_for_usage(engine: httpx.Client) -> None:
    def places_of_timings(**options: object) -> list[bool]:
        body = CHAT.body("x", 1, stream=True, **options)
        return ["timings" in chunk for chunk in chunks(engine.post(CHAT.path, json=body).content)][:-1]

    assert places_of_timings() == [False, False, True]
    assert places_of_timings(stream_options={"include_usage": True}) == [False, False, False, True]


@pytest.mark.parametrize("api", [CHAT, COMPLETIONS, NATIVE], ids=lambda api: api.name)
def test_a_stream_of_several_answers_is_counted_whole(declared: MeteredClient, api: SpokenApi) -> None:
    prompt = new_prompt()
    _, one = declared.post(api.path, api.body(prompt))
    _, event = declared.post(api.path, api.body(prompt, stream=True, n=3))

    assert (event.prompt_tokens, event.completion_tokens) == (one.prompt_tokens, 3 * TOKENS)


@pytest.mark.parametrize("api", [CHAT, COMPLETIONS], ids=lambda api: api.name)
def test_of_several_answers_in_one_document_the_engine_counts_the_first_only(
    declared: MeteredClient, api: SpokenApi
) -> None:
    response, event = declared.post(api.path, api.body(new_prompt(), n=3))

    assert len(response.json()["choices"]) == 3
    assert api.said(response.json()).completion == TOKENS
    assert counts_of(event) == api.said(response.json())


@pytest.mark.parametrize("api", [COMPLETIONS, NATIVE], ids=lambda api: api.name)
def test_a_stream_for_several_prompts_is_counted_whole(client: MeteredClient, api: SpokenApi) -> None:
    response, event = client.post(api.path, api.body(PROMPTS, stream=True))

    # It begins with an event that says nothing.
    assert next(chunks(response.content)) is None
    assert (event.prompt_tokens, event.completion_tokens) == (PROMPTS_TOKENS, len(PROMPTS) * TOKENS)
    assert event.outcome == "completed"


@pytest.mark.parametrize("api", [COMPLETIONS, NATIVE], ids=lambda api: api.name)
def test_several_answers_to_several_prompts_share_their_prompts(
    declared: MeteredClient, api: SpokenApi
) -> None:
    _, event = declared.post(api.path, api.body(PROMPTS, stream=True, n=2))

    assert (event.prompt_tokens, event.completion_tokens) == (PROMPTS_TOKENS, len(PROMPTS) * 2 * TOKENS)


def test_a_list_of_answers_is_counted_whole(client: MeteredClient) -> None:
    response, event = client.post(NATIVE.path, NATIVE.body(PROMPTS))

    first, second = (NATIVE.said(answer) for answer in response.json())
    assert (event.prompt_tokens, event.completion_tokens) == (PROMPTS_TOKENS, len(PROMPTS) * TOKENS)
    assert first.cached is not None
    assert second.cached is not None
    assert event.cached_tokens == first.cached + second.cached


def test_a_native_stream_that_the_client_leaves_is_counted_as_far_as_it_came(client: MeteredClient) -> None:
    prompt = new_prompt()
    with client.http.stream("POST", NATIVE.path, json=NATIVE.body(prompt, LONG, stream=True)) as response:
        next(response.iter_raw())
    event = client.event_of(response)

    assert event.prompt_tokens == tokens_of(prompt)
    assert 0 < event.completion_tokens < LONG
    # Before its end the engine does not say what is cached.
    assert not event.HasField("cached_tokens")


def test_a_message_that_the_client_leaves_has_its_prompt_counted(client: MeteredClient) -> None:
    prompt = new_prompt()
    _, whole = client.post(MESSAGES.path, MESSAGES.body(prompt))
    with client.http.stream("POST", MESSAGES.path, json=MESSAGES.body(prompt, LONG, stream=True)) as response:
        next(response.iter_raw())
    event = client.event_of(response)

    assert counts_of(event) == Counts(whole.prompt_tokens, whole.prompt_tokens - 1, 0)
    assert event.model_id == MODEL


def test_an_answer_that_ends_at_a_stop_word_says_so(client: MeteredClient) -> None:
    prompt = new_prompt()
    response, _ = client.post(CHAT.path, CHAT.body(prompt))
    words = response.json()["choices"][0]["message"]["content"]
    _, event = client.post(CHAT.path, CHAT.body(prompt, stop=[words[2]]))

    assert event.finish_reason == "stop"
    assert 0 < event.completion_tokens <= 3


def test_embeddings_have_their_prompts_counted(client: MeteredClient) -> None:
    response, event = client.post("/v1/embeddings", {"model": MODEL, "input": PROMPTS})

    assert len(response.json()["data"]) == 2
    assert response.json()["usage"] == {
        "prompt_tokens": event.prompt_tokens,
        "total_tokens": event.prompt_tokens,
    }
    assert counts_of(event) == Counts(event.prompt_tokens, None, 0)
    assert event.prompt_tokens >= PROMPTS_TOKENS
    assert not event.HasField("completion_tokens")
    assert (event.api, event.outcome) == ("openai.embeddings", "completed")


RERANKING = {"query": "which", "documents": PROMPTS}


def test_a_reranking_has_the_tokens_of_all_its_documents_counted(reranker: MeteredClient) -> None:
    response, event = reranker.post("/v1/rerank", {"model": MODEL, **RERANKING})

    assert len(response.json()["results"]) == 2
    assert response.json()["usage"]["prompt_tokens"] == event.prompt_tokens >= PROMPTS_TOKENS
    assert event.usage_found
    assert not event.HasField("completion_tokens")
    assert (event.api, event.outcome) == ("jina.rerank", "completed")


def test_the_engine_repeats_the_model_that_a_client_names_for_embeddings_and_reranking(
    declared: MeteredClient, reranker: MeteredClient
) -> None:
    for client, path, body in (
        (declared, "/v1/embeddings", {"input": "x"}),
        (reranker, "/v1/rerank", RERANKING),
    ):
        response, event = client.post(path, {"model": "cheap/model", **body})

        assert response.json()["model"] == "cheap/model"
        assert (event.model_id, event.model_untrusted) == ("cheap/model", True)


def test_the_engine_names_its_own_model_to_every_other_client(declared: MeteredClient) -> None:
    _, event = declared.post(CHAT.path, {**CHAT.body("x"), "model": "cheap/model"})

    assert (event.model_id, event.requested_model) == (MODEL, "cheap/model")
    assert not event.model_untrusted


def test_what_the_engine_can_not_do_is_its_error(client: MeteredClient, engine: httpx.Client) -> None:
    body = {"model": MODEL, "query": "a", "documents": ["b"]}
    direct = engine.post("/v1/rerank", json=body)
    response, event = client.post("/v1/rerank", body)

    assert (response.status_code, response.json()) == (501, direct.json())
    assert (event.outcome, event.status_code, event.usage_found) == ("upstream_error", 501, False)


def test_what_costs_nothing_makes_no_event(client: MeteredClient, engine: httpx.Client) -> None:
    before = client.metered()
    for method, path, body in (
        ("GET", "/health", None),
        ("GET", "/v1/models", None),
        ("POST", "/tokenize", {"content": "hello"}),
        ("POST", "/detokenize", {"tokens": [300, 301]}),
        ("POST", "/apply-template", CHAT.body("hello")),
        ("POST", "/v1/messages/count_tokens", MESSAGES.body("hello")),
    ):
        direct = engine.request(method, path, json=body).raise_for_status()
        assert said(client.http.request(method, path, json=body).json()) == said(direct.json())
    client.post(CHAT.path, CHAT.body("hello"))

    assert client.metered() == before + 1
