"""What holds for every API that llama.cpp speaks: whole answers, streams, streams that the client leaves."""

import json
import time

import httpx
import pytest

from tests.engine.answers import said, said_in_stream
from tests.engine.metered_client import MeteredClient, counts_of, new_prompt
from tests.engine.spoken_api import CHAT, LONG, MODEL, SPOKEN_APIS, TOKENS, Counts, SpokenApi

pytestmark = [
    pytest.mark.engine,
    pytest.mark.parametrize("api", SPOKEN_APIS, ids=lambda api: api.name),
]
IDLE_TIMEOUT_S = 20.0


def remembered(engine: httpx.Client, api: SpokenApi, prompt: str) -> httpx.Response:
    """Ask the engine until the prompt is in its cache; then the same request always gets the same answer."""
    engine.post(api.path, json=api.body(prompt))
    return engine.post(api.path, json=api.body(prompt)).raise_for_status()


def test_the_event_of_a_whole_answer_has_the_counts_that_the_answer_states(
    client: MeteredClient, api: SpokenApi
) -> None:
    response, event = client.post(api.path, api.body(new_prompt()))

    assert response.status_code == 200
    answer = response.json()
    counts = api.said(answer)
    assert counts.prompt >= 40
    assert counts.completion == TOKENS
    assert counts_of(event) == counts
    assert event.usage_found
    raw = json.loads(event.usage_raw)
    assert raw == (answer["usage"] if "usage" in answer else {name: answer[name] for name in raw})
    assert (event.api, event.model_id, event.requested_model) == (api.name, MODEL, MODEL)
    assert (event.outcome, event.status_code, event.streamed) == ("completed", 200, False)
    assert event.finish_reason == api.finish_reason


def test_a_repeated_prompt_has_cached_tokens(client: MeteredClient, api: SpokenApi) -> None:
    prompt = new_prompt()
    _, first = client.post(api.path, api.body(prompt))
    response, second = client.post(api.path, api.body(prompt))

    assert first.cached_tokens < second.cached_tokens < second.prompt_tokens == first.prompt_tokens
    # The engine computes the last token of a prompt anew.
    assert second.cached_tokens == second.prompt_tokens - 1
    assert counts_of(second) == api.said(response.json())


def test_a_client_gets_the_answer_that_the_engine_gives(
    client: MeteredClient, engine: httpx.Client, api: SpokenApi
) -> None:
    prompt = new_prompt()
    direct = remembered(engine, api, prompt)
    response, _ = client.post(api.path, api.body(prompt))

    assert said(response.json()) == said(direct.json())
    assert response.headers["content-type"] == direct.headers["content-type"]


def test_the_event_of_a_stream_has_the_counts_of_the_whole_answer(
    client: MeteredClient, engine: httpx.Client, api: SpokenApi
) -> None:
    prompt = new_prompt()
    whole = remembered(engine, api, prompt)
    response, event = client.post(api.path, api.body(prompt, stream=True))

    assert response.headers["content-type"] == "text/event-stream"
    assert counts_of(event) == api.said(whole.json())
    assert event.usage_found
    assert (event.api, event.model_id) == (api.name, MODEL)
    assert (event.outcome, event.status_code, event.streamed) == ("completed", 200, True)
    assert event.finish_reason == api.finish_reason


def test_a_client_gets_the_stream_that_the_engine_sends(
    client: MeteredClient, engine: httpx.Client, api: SpokenApi
) -> None:
    prompt = new_prompt()
    remembered(engine, api, prompt)
    direct = engine.post(api.path, json=api.body(prompt, stream=True))
    response, _ = client.post(api.path, api.body(prompt, stream=True))

    expected, got = said_in_stream(direct.content), said_in_stream(response.content)
    assert len(expected) > TOKENS
    if api is CHAT:
        # Asked for usage, the engine puts the timings of a chat on the chunk with usage, which is taken out.
        last = expected[-2]
        assert isinstance(last, dict)
        del last["timings"]
    assert got == expected


def test_a_stream_that_the_client_leaves_is_one_aborted_event_and_ends_in_the_engine(
    client: MeteredClient, engine: httpx.Client, api: SpokenApi
) -> None:
    before = client.metered()
    with client.http.stream("POST", api.path, json=api.body(new_prompt(), LONG, stream=True)) as response:
        assert response.status_code == 200
        next(response.iter_raw())
    event = client.event_of(response)

    assert (event.outcome, event.streamed, event.finish_reason) == ("aborted", True, "")
    assert event.completion_tokens < LONG
    assert client.metered() == before + 1
    assert tokens_held_once_idle(engine) < LONG


def tokens_held_once_idle(engine: httpx.Client) -> int:
    """Wait until the engine works on nothing; return the tokens of the longest text that it holds."""
    deadline = time.monotonic() + IDLE_TIMEOUT_S
    slots = engine.get("/slots").json()
    while any(slot["is_processing"] for slot in slots):
        assert time.monotonic() < deadline, "the engine goes on"
        slots = engine.get("/slots").json()
    return max(int(slot["n_prompt_tokens"]) for slot in slots)


def test_a_refusal_of_the_engine_goes_to_the_client_and_bills_nothing(
    client: MeteredClient, engine: httpx.Client, api: SpokenApi
) -> None:
    too_long = api.body("x" * 20000, stream=True)
    direct = engine.post(api.path, json=too_long)
    response, event = client.post(api.path, too_long)

    assert (response.status_code, response.json()) == (400, direct.json())
    assert (event.outcome, event.status_code) == ("upstream_error", 400)
    assert not event.usage_found
    assert counts_of(event) == Counts(0, None, 0)
