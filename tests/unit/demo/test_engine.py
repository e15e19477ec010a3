"""The toy engine speaks like vLLM and counts words."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from demo import engine

CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "system", "content": "Be brief please"}, {"role": "user", "content": "What is a token"}]


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(engine.create_app(chunk_delay_s=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://engine") as client:
        yield client


async def chat(client: httpx.AsyncClient, **fields: object) -> httpx.Response:
    return await client.post(CHAT, json={"model": engine.LLAMA, "messages": MESSAGES} | fields)


def chunks(response: httpx.Response) -> list[dict[str, object]]:
    *events, done, rest = response.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def text_of(chunk: dict[str, object]) -> str:
    choices = chunk["choices"]
    assert isinstance(choices, list)
    choice = choices[0]
    return str(choice["delta"]["content"] if "delta" in choice else choice["text"])


async def test_the_model_list_names_base_models_and_a_fine_tune(client: httpx.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == list(engine.MODELS)
    assert engine.FINE_TUNE.startswith("ft:")


async def test_an_unknown_model_is_a_404_in_openais_error_shape(client: httpx.AsyncClient) -> None:
    response = await chat(client, model="gpt-9")
    assert response.status_code == 404
    assert response.json()["error"] == {
        "message": "The model `gpt-9` does not exist.",
        "type": "NotFoundError",
        "param": None,
        "code": 404,
    }


async def test_the_broken_model_fails_with_a_500(client: httpx.AsyncClient) -> None:
    response = await chat(client, model=engine.BROKEN)
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "InternalServerError"


async def test_words_count_as_tokens(client: httpx.AsyncClient) -> None:
    body = (await chat(client, max_tokens=5)).json()
    assert body["object"] == "chat.completion"
    assert body["choices"][0]["message"]["content"] == "the engine counts every token"
    assert body["choices"][0]["finish_reason"] == "length"
    assert (body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]) == (7, 5)
    assert body["usage"]["total_tokens"] == 12


async def test_a_repeated_system_prompt_counts_as_cached_from_the_second_time(
    client: httpx.AsyncClient,
) -> None:
    bodies = [(await chat(client)).json() for _ in range(3)]
    details = [body["usage"]["prompt_tokens_details"] for body in bodies]
    assert details == [{"cached_tokens": 0}, {"cached_tokens": 3}, {"cached_tokens": 3}]


async def test_a_completion_reports_no_cached_count_at_all(client: httpx.AsyncClient) -> None:
    body = {"model": engine.QWEN, "prompt": "Once upon a time"}
    answer = (await client.post("/v1/completions", json=body)).json()
    assert answer["object"] == "text_completion"
    assert answer["usage"]["prompt_tokens_details"] is None
    assert len(answer["choices"][0]["text"].split()) == answer["usage"]["completion_tokens"] == 24


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}])
async def test_a_stream_carries_no_usage_unless_asked(client: httpx.AsyncClient, options: object) -> None:
    response = await chat(client, stream=True, stream_options=options)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks(response))


@pytest.mark.parametrize(
    ("path", "prompt"), [(CHAT, {"messages": MESSAGES}), ("/v1/completions", {"prompt": "What is a token"})]
)
async def test_a_stream_says_the_same_as_the_plain_answer(
    client: httpx.AsyncClient, path: str, prompt: dict[str, object]
) -> None:
    request = {"model": engine.QWEN, "max_tokens": 4, **prompt}
    plain = (await client.post(path, json=request)).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    *spoken, last = chunks(await client.post(path, json=request | options))
    assert "".join(text_of(chunk) for chunk in spoken) == "the engine counts every "
    assert last["choices"] == []
    assert isinstance(last["usage"], dict)
    assert last["usage"]["completion_tokens"] == plain["usage"]["completion_tokens"] == 4
    assert len(spoken) > 4


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"model": "toy/unpriced"}', b'{"model": "toy/unpriced", "messages": ["x"]}']
)
async def test_a_body_it_cannot_read_is_a_400(client: httpx.AsyncClient, content: bytes) -> None:
    response = await client.post(CHAT, content=content)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "BadRequestError"


async def test_more_words_than_it_writes_are_refused(client: httpx.AsyncClient) -> None:
    assert (await chat(client, max_tokens=engine.WORDS_MAX + 1)).status_code == 400
    assert (await chat(client, max_tokens=True)).status_code == 400
