"""The official `openai` client: what it gets through the proxy is what it gets from the engine."""

import base64
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from phoebe_addon.apis.engines import find_engine
from tests.harness import engine as engines
from tests.harness.both_ways import NO_TLS, BothWays, Metered, fails, without_boundary
from tests.harness.engine import LAST_CHUNK, EngineRequest, Line, Script

from .conftest import ENGINES
from .openai_streams import (
    CHATS,
    DONE,
    LLAMACPP,
    SGLANG_EXTENDED,
    TEXTS,
    VLLM,
    VLLM_TEXT,
    VLLM_USAGE,
    Dialect,
    data,
    vllm_chunk,
)

MESSAGES: Any = [{"role": "user", "content": "Say hello in German"}]
HELLO = {
    "id": "chatcmpl-8f1c",
    "object": "chat.completion",
    "created": 1763600000,
    "model": "served/llama",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Grüße 🦙",
                "refusal": None,
                "annotations": None,
                "tool_calls": [],
                "reasoning": None,
            },
            "logprobs": None,
            "finish_reason": "stop",
            "stop_reason": None,
        }
    ],
    "service_tier": None,
    "usage": {
        "prompt_tokens": 48,
        "total_tokens": 51,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 32},
    },
    "prompt_logprobs": None,
    "kv_transfer_params": None,
}
HELLO_METERED = Metered(
    api="openai.chat", model="served/llama", prompt=48, completion=3, cached=32, finish_reason="stop"
)


def retrying(url: str, headers: Mapping[str, str]) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{url}/v1",
        api_key="unused",
        default_headers=headers,
        http_client=openai.DefaultHttpxClient(verify=NO_TLS),
    )


def client(url: str, headers: Mapping[str, str]) -> openai.OpenAI:
    return retrying(url, headers).with_options(max_retries=0)


def async_client(url: str, headers: Mapping[str, str]) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{url}/v1",
        api_key="unused",
        default_headers=headers,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(verify=NO_TLS),
    )


def chat(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="m", messages=MESSAGES, **more)


def chat_stream(client: openai.OpenAI, **more: Any) -> list[ChatCompletionChunk]:
    return list(chat(client, stream=True, **more))


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    """Read a stream as most programs do: none checks whether there is a choice."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def without_timings(chunks: list[Any]) -> list[Any]:
    """Leave out llama.cpp's timings: they are on the last chunk, which with usage is the one taken out."""
    for chunk in chunks:
        chunk.model_extra.pop("timings", None)
    return chunks


def asked_of(resource: str) -> dict[str, bool]:
    """What a resource's engine is asked for in a stream: all that it is declared to be able to."""
    declared = find_engine(resource) if resource in ENGINES else None
    running = {"continuous_usage_stats": True} if declared and declared.continuous_usage else {}
    return {"include_usage": True, **running}


def added_to(options: dict[str, bool], resource: str) -> dict[str, object] | None:
    """What is added to the body of a client that asked for `options`; nothing, if that is all there is."""
    asked = asked_of(resource)
    return None if asked == options else {"stream_options": asked}


def test_a_chat(ways: BothWays) -> None:
    ways.engine.script = engines.document(HELLO)
    heard = ways.call(client, chat)
    assert heard.choices[0].message.content == "Grüße 🦙"
    assert heard.usage.prompt_tokens == 48
    assert ways.added_to_body() is None
    assert ways.event() == HELLO_METERED


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "undeclared"])
@pytest.mark.parametrize("dialect", CHATS, ids=lambda dialect: dialect.engine)
def test_a_chat_stream_has_choices_in_every_chunk(ways: BothWays, dialect: Dialect, declared: bool) -> None:
    ways.resource = dialect.engine if declared else "undeclared"
    ways.engine.script = dialect.script()
    same = without_timings if dialect is LLAMACPP else list
    heard = ways.call(client, lambda client: same(chat_stream(client)))
    assert text_of(heard) == dialect.text
    assert all(chunk.usage is None for chunk in heard)
    assert ways.added_to_body() == {"stream_options": asked_of(ways.resource)}
    # Only of a declared engine it is known that it repeats the client's word for the model.
    assert ways.event() == (dialect.metered if declared else replace(dialect.metered, untrusted=False))


@pytest.mark.parametrize("dialect", [*CHATS, SGLANG_EXTENDED], ids=lambda dialect: dialect.engine)
def test_a_chat_stream_with_usage_is_passed_on_whole(ways: BothWays, dialect: Dialect) -> None:
    ways.resource = dialect.engine
    ways.engine.script = dialect.script()
    heard = ways.call(client, lambda client: chat_stream(client, stream_options={"include_usage": True}))
    assert heard[-1].choices == []
    assert heard[-1].usage
    assert ways.added_to_body() == added_to({"include_usage": True}, ways.resource)
    assert ways.event() == dialect.metered


def test_the_clients_own_request_id_is_that_of_the_event(ways: BothWays) -> None:
    ways.engine.script = engines.document(HELLO)
    heard = ways.call_proxy(client, chat)
    assert [event.request_id for event in ways.recorded(1)] == [heard._request_id]


def test_chunks_without_choices_that_are_no_usage_stay(ways: BothWays) -> None:
    ways.resource = "sglang"
    ways.engine.script = SGLANG_EXTENDED.script()
    heard = ways.call(client, chat_stream)
    assert [chunk.choices == [] for chunk in heard[-3:]] == [False, True, True]
    assert ways.event() == SGLANG_EXTENDED.metered


def test_running_usage_is_not_seen(ways: BothWays) -> None:
    """Phoebe asks vLLM for usage on every chunk if the resource says so."""
    ways.resource = "continuous"

    def script(request: EngineRequest, line: Line) -> None:
        options = json.loads(request.body).get("stream_options") or {}
        line.send_stream_head()
        for count, word in enumerate(("Grüße", " 🦙"), 1):
            usage = f',"usage":{{"prompt_tokens":48,"total_tokens":{48 + count},"completion_tokens":{count}}}'
            choices = f'"choices":[{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}]'
            line.send_chunk(vllm_chunk(choices + (usage if options.get("continuous_usage_stats") else "")))
        line.send_chunk(vllm_chunk('"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]'))
        if options.get("include_usage"):
            line.send_chunk(VLLM_USAGE)
        line.send_chunk(DONE)
        line.send(LAST_CHUNK)

    ways.engine.script = script
    heard = ways.call(client, chat_stream)
    assert text_of(heard) == "Grüße 🦙"
    options = {"include_usage": True, "continuous_usage_stats": True}
    assert ways.added_to_body() == {"stream_options": options}
    assert ways.event() == VLLM.metered


def test_the_stream_helper_puts_the_same_completion_together(ways: BothWays) -> None:
    ways.engine.script = VLLM.script()

    def call(client: openai.OpenAI) -> list[Any]:
        with client.chat.completions.stream(model="m", messages=MESSAGES) as stream:
            kinds = [event.type for event in stream]
            return [kinds, stream.get_final_completion()]

    kinds, completion = ways.call(client, call)
    assert completion.choices[0].message.content == VLLM.text
    assert completion.usage is None
    assert "content.done" in kinds
    assert ways.event() == VLLM.metered


def test_the_stream_helper_gets_usage_if_it_asks(ways: BothWays) -> None:
    ways.engine.script = VLLM.script()

    def call(client: openai.OpenAI) -> Any:
        options: Any = {"include_usage": True}
        with client.chat.completions.stream(model="m", messages=MESSAGES, stream_options=options) as stream:
            return stream.get_final_completion()

    completion = ways.call(client, call)
    assert completion.usage.prompt_tokens_details.cached_tokens == 32
    assert ways.event() == VLLM.metered


async def test_the_asynchronous_client(ways: BothWays) -> None:
    ways.engine.script = engines.document(HELLO)

    async def call(client: openai.AsyncOpenAI) -> Any:
        return await client.chat.completions.create(model="m", messages=MESSAGES)

    heard = await ways.call_async(async_client, call)
    assert heard.choices[0].message.content == "Grüße 🦙"
    assert ways.event() == HELLO_METERED


async def test_the_asynchronous_client_streams(ways: BothWays) -> None:
    ways.engine.script = VLLM.script()

    async def call(client: openai.AsyncOpenAI) -> list[ChatCompletionChunk]:
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        return [chunk async for chunk in stream]

    heard = await ways.call_async(async_client, call)
    assert text_of(heard) == VLLM.text
    assert ways.event() == VLLM.metered


def test_tool_calls_in_a_stream(ways: BothWays) -> None:
    call_1 = (
        '{"id":"chatcmpl-tool-1","type":"function","index":0,"function":{"name":"weather","arguments":""}}'
    )
    call_2 = '{"index":0,"function":{"arguments":"{\\"usage\\": {\\"prompt_tokens\\": 999}}"}}'
    chunks = [
        vllm_chunk(f'"choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}},"finish_reason":null}}]')
        for call in (call_1, call_2)
    ]
    end = vllm_chunk('"choices":[{"index":0,"delta":{"content":""},"finish_reason":"tool_calls"}]')
    usage = vllm_chunk('"choices":[],"usage":{"prompt_tokens":70,"completion_tokens":20,"total_tokens":90}')
    ways.engine.script = engines.stream([*chunks, end, usage, DONE])

    def call(client: openai.OpenAI) -> Any:
        tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
        options: Any = {"include_usage": True}
        with client.chat.completions.stream(
            model="m", messages=MESSAGES, tools=tools, stream_options=options
        ) as stream:
            return stream.get_final_completion()

    completion = ways.call(client, call)
    (tool_call,) = completion.choices[0].message.tool_calls
    assert tool_call.function.name == "weather"
    assert ways.event() == Metered(
        api="openai.chat",
        model="served/llama",
        prompt=70,
        completion=20,
        finish_reason="tool_calls",
        streamed=True,
    )


def test_a_completion(ways: BothWays) -> None:
    usage = {"prompt_tokens": 8, "completion_tokens": 3, "total_tokens": 11}
    choices = [
        {"index": index, "text": text, "logprobs": None, "finish_reason": "stop"}
        for index, text in enumerate("ab")
    ]
    ways.engine.script = engines.document(
        {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1763600000,
            "model": "served/llama",
            "choices": choices,
            "usage": {**usage, "prompt_tokens_details": None},
        }
    )
    heard = ways.call(client, lambda client: client.completions.create(model="m", prompt=["one", "two"]))
    assert [choice.text for choice in heard.choices] == ["a", "b"]
    assert ways.added_to_body() is None
    assert ways.event() == Metered(
        api="openai.completions", model="served/llama", prompt=8, completion=3, finish_reason="stop"
    )


@pytest.mark.parametrize("dialect", TEXTS, ids=lambda dialect: dialect.engine)
def test_a_completion_stream_has_choices_in_every_chunk(ways: BothWays, dialect: Dialect) -> None:
    ways.resource = dialect.engine
    ways.engine.script = dialect.script()

    def call(client: openai.OpenAI) -> list[Any]:
        return list(client.completions.create(model="m", prompt=dialect.prompt, stream=True))

    heard = ways.call(client, call)
    assert "".join(chunk.choices[0].text for chunk in heard) == dialect.text
    assert ways.added_to_body() == {"stream_options": asked_of(ways.resource)}
    assert ways.event() == dialect.metered


@pytest.mark.parametrize("dialect", TEXTS, ids=lambda dialect: dialect.engine)
def test_a_completion_stream_with_usage_is_passed_on_whole(ways: BothWays, dialect: Dialect) -> None:
    ways.resource = dialect.engine
    ways.engine.script = dialect.script()

    def call(client: openai.OpenAI) -> list[Any]:
        options: Any = {"include_usage": True}
        return list(
            client.completions.create(model="m", prompt=dialect.prompt, stream=True, stream_options=options)
        )

    heard = ways.call(client, call)
    assert heard[-1].usage
    assert ways.added_to_body() == added_to({"include_usage": True}, ways.resource)
    assert ways.event() == dialect.metered


RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1763600000,
    "status": "completed",
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "gpt-5.1-2026-01-13",
    "output": [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Grüße", "annotations": [], "logprobs": []}],
        }
    ],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": {
        "input_tokens": 328,
        "input_tokens_details": {"cached_tokens": 256, "cache_write_tokens": 64},
        "output_tokens": 52,
        "output_tokens_details": {"reasoning_tokens": 40},
        "total_tokens": 380,
    },
}
RESPONSE_METERED = Metered(
    api="openai.responses",
    model="gpt-5.1-2026-01-13",
    prompt=328,
    completion=52,
    cached=256,
    cache_write=64,
    reasoning=40,
    finish_reason="completed",
)


def response_events() -> list[bytes]:
    """Make the events of a response's stream as OpenAI and vLLM send them."""
    begun = {**RESPONSE, "status": "in_progress", "output": [], "usage": None}
    message: dict[str, Any] = RESPONSE["output"][0]  # type: ignore[index]
    place = {"item_id": "msg_1", "output_index": 0}
    part = {**place, "content_index": 0}
    empty = {**message["content"][0], "text": ""}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": {**message, "status": "in_progress", "content": []},
        },
        {"type": "response.content_part.added", **part, "part": empty},
        {"type": "response.output_text.delta", **part, "delta": "Grü", "logprobs": []},
        {"type": "response.output_text.delta", **part, "delta": "ße", "logprobs": []},
        {"type": "response.output_text.done", **part, "text": "Grüße", "logprobs": []},
        {"type": "response.content_part.done", **part, "part": message["content"][0]},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": RESPONSE},
    ]
    return [response_event({**event, "sequence_number": number}) for number, event in enumerate(events)]


def response_event(event: Mapping[str, object]) -> bytes:
    return f"event: {event['type']}\n".encode() + data(json.dumps(event, ensure_ascii=False))


def test_a_response(ways: BothWays) -> None:
    ways.engine.script = engines.document(RESPONSE)
    heard = ways.call(client, lambda client: client.responses.create(model="m", input="hi"))
    assert heard.output_text == "Grüße"
    assert heard.usage
    assert heard.usage.input_tokens_details.cached_tokens == 256
    assert ways.added_to_body() is None
    assert ways.event() == RESPONSE_METERED


def test_a_response_stream(ways: BothWays) -> None:
    ways.engine.script = engines.stream(response_events())

    def call(client: openai.OpenAI) -> list[Any]:
        return list(client.responses.create(model="m", input="hi", stream=True))

    heard = ways.call(client, call)
    assert heard[-1].type == "response.completed"
    assert heard[-1].response.usage.total_tokens == 380
    assert ways.added_to_body() is None
    assert ways.event() == replace(RESPONSE_METERED, streamed=True)


def test_the_response_stream_helper(ways: BothWays) -> None:
    ways.engine.script = engines.stream(response_events())

    def call(client: openai.OpenAI) -> Any:
        with client.responses.stream(model="m", input="hi") as stream:
            return stream.get_final_response()

    heard = ways.call(client, call)
    assert heard.output_text == "Grüße"
    assert ways.event() == replace(RESPONSE_METERED, streamed=True)


def test_a_response_in_the_background_is_refused(ways: BothWays) -> None:
    def call(client: openai.OpenAI) -> object:
        return client.responses.create(model="m", input="hi", background=True)

    error = ways.call_proxy(client, fails(openai.BadRequestError, call))
    assert "(background)" in error.message
    assert error.code == "unbillable"
    assert ways.engine.requests == []
    ways.no_event()


def test_fetching_a_response_is_free(ways: BothWays) -> None:
    ways.engine.script = engines.document(RESPONSE)
    heard = ways.call(client, lambda client: client.responses.retrieve("resp_1"))
    assert heard.output_text == "Grüße"
    ways.no_event()


def test_embeddings_in_base64_which_the_client_asks_for_by_itself(ways: BothWays) -> None:
    vector = [0.25, -1.5, 3.0]

    def script(request: EngineRequest, line: Line) -> None:
        encoded = base64.b64encode(struct.pack("<3f", *vector)).decode()
        in_base64 = json.loads(request.body).get("encoding_format") == "base64"
        embedding = {"object": "embedding", "index": 0, "embedding": encoded if in_base64 else vector}
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        body = {"object": "list", "data": [embedding], "model": "text-embedding-3-small", "usage": usage}
        engines.document(body)(request, line)

    ways.engine.script = script
    heard = ways.call(client, lambda client: client.embeddings.create(model="m", input="Grüße"))
    assert heard.data[0].embedding == vector
    assert json.loads(ways.requests()[1].body)["encoding_format"] == "base64"
    assert ways.added_to_body() is None
    assert ways.event() == Metered(api="openai.embeddings", model="text-embedding-3-small", prompt=8)

    floats = ways.call(
        client, lambda client: client.embeddings.create(model="m", input="x", encoding_format="float")
    )
    assert floats.data[0].embedding == vector
    assert len(ways.events(2)) == 2


WAVE = ("a.wav", b"RIFF\x24\x00\x00\x00WAVE\xff\r\n--\x00")


def test_a_transcription(ways: BothWays) -> None:
    details = {"text_tokens": 10, "audio_tokens": 4}
    usage = {"type": "tokens", "input_tokens": 14, "input_token_details": details, "output_tokens": 48}
    ways.engine.script = engines.document({"text": "Grüße", "usage": {**usage, "total_tokens": 62}})

    def call(client: openai.OpenAI) -> Any:
        return client.audio.transcriptions.create(model="gpt-transcribe", file=WAVE, language="de")

    heard = ways.call(client, call)
    assert heard.text == "Grüße"
    direct, proxied = ways.requests()
    assert without_boundary(direct) == without_boundary(proxied)
    assert WAVE[1] in proxied.body
    assert ways.event() == Metered(
        api="openai.transcription",
        requested="gpt-transcribe",
        prompt=14,
        completion=48,
        prompt_audio=4,
    )


def test_a_transcription_counted_in_seconds_has_no_tokens(ways: BothWays) -> None:
    ways.engine.script = engines.document({"text": "hi", "usage": {"type": "duration", "seconds": 9}})
    heard = ways.call(client, lambda client: client.audio.transcriptions.create(model="m", file=WAVE))
    assert heard.usage
    assert heard.usage.type == "duration"
    assert ways.event() == Metered(api="openai.transcription")


def test_a_transcription_stream(ways: BothWays) -> None:
    usage = '{"type":"tokens","input_tokens":20,"output_tokens":10,"total_tokens":30}'
    events = [
        data('{"type":"transcript.text.delta","delta":"Grü"}'),
        data('{"type":"transcript.text.delta","delta":"ße"}'),
        data(f'{{"type":"transcript.text.done","text":"Grüße","usage":{usage}}}'),
        DONE,
    ]
    ways.engine.script = engines.stream(events)

    def call(client: openai.OpenAI) -> list[Any]:
        return list(client.audio.transcriptions.create(model="m", file=WAVE, stream=True))

    heard = ways.call(client, call)
    assert heard[-1].text == "Grüße"
    assert ways.event() == Metered(api="openai.transcription", prompt=20, completion=10, streamed=True)


def vllm_transcription(request: EngineRequest, line: Line) -> None:
    """Stream a transcription as vLLM does, with usage if the form asks for it."""
    head = '{"id":"trsc-1","object":"transcription.chunk","created":1763600000,"model":"whisper-large-v3",'
    line.send_stream_head()
    line.send_chunk(data(head + '"choices":[{"delta":{"content":" Grüße"}}]}'))
    line.send_chunk(data(head + '"choices":[{"delta":{"content":""},"finish_reason":"stop"}]}'))
    if b'name="stream_include_usage"\r\n\r\ntrue\r\n' in request.body:
        usage = '{"prompt_tokens":1504,"total_tokens":1520,"completion_tokens":16}'
        line.send_chunk(data(head + f'"choices":[],"usage":{usage}}}'))
    line.send_chunk(DONE)
    line.send(LAST_CHUNK)


@pytest.mark.parametrize("asked", [False, True], ids=["unasked", "asked"])
def test_a_transcription_stream_of_vllm_is_asked_for_usage_in_the_form(ways: BothWays, asked: bool) -> None:
    ways.resource = "vllm"
    ways.engine.script = vllm_transcription

    def call(client: openai.OpenAI) -> list[Any]:
        body = {"stream_include_usage": True} if asked else None
        return list(client.audio.transcriptions.create(model="m", file=WAVE, stream=True, extra_body=body))

    heard: list[Any] = ways.call(client, call)
    assert heard[0].choices[0]["delta"]["content"] == " Grüße"
    assert [bool(chunk.choices) for chunk in heard] == [True, True, *([False] if asked else [])]
    assert b'name="stream_include_usage"\r\n\r\ntrue\r\n' in ways.requests()[1].body
    assert ways.event() == Metered(
        api="openai.transcription",
        model="whisper-large-v3",
        prompt=1504,
        completion=16,
        finish_reason="stop",
        streamed=True,
    )


IMAGE_USAGE = {
    "input_tokens": 50,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
    "output_tokens": 272,
    "total_tokens": 322,
}


def test_images(ways: BothWays) -> None:
    ways.engine.script = engines.document(
        {"created": 1763600000, "data": [{"b64_json": "iVBORw0KGgo="}], "usage": IMAGE_USAGE}
    )
    heard = ways.call(client, lambda client: client.images.generate(model="m", prompt="a fox"))
    assert heard.data
    assert heard.data[0].b64_json == "iVBORw0KGgo="
    edited = ways.call(
        client,
        lambda client: client.images.edit(model="m", prompt="blue", image=("fox.png", b"\x89PNG\r\n")),
    )
    assert edited.usage
    expected = Metered(api="openai.images", prompt=50, completion=272)
    assert ways.events(2) == [expected, expected]


def test_an_image_stream(ways: BothWays) -> None:
    part = {"type": "image_generation.partial_image", "b64_json": "iVBORw0K", "partial_image_index": 0}
    whole = {"type": "image_generation.completed", "b64_json": "iVBORw0KGgo=", "usage": IMAGE_USAGE}
    ways.engine.script = engines.stream([response_event(part), response_event(whole)])

    def call(client: openai.OpenAI) -> list[Any]:
        return list(client.images.generate(model="m", prompt="a fox", stream=True, partial_images=1))

    heard = ways.call(client, call)
    assert heard[-1].usage.total_tokens == 322
    assert ways.event() == Metered(api="openai.images", prompt=50, completion=272, streamed=True)


@pytest.mark.parametrize("name", ["gpt-5.1", "llama3.2:3b", "meta-llama/Llama-3.1-8B-Instruct"])
def test_models_are_listed_and_looked_up_free(ways: BothWays, name: str) -> None:
    model = {"id": name, "object": "model", "created": 1763600000, "owned_by": "vllm", "root": name}
    ways.engine.script = engines.document({"object": "list", "data": [model]})
    assert [each.id for each in ways.call(client, lambda client: list(client.models.list()))] == [name]
    ways.engine.requests.clear()
    ways.engine.script = engines.document(model)
    assert ways.call(client, lambda client: client.models.retrieve(name)).id == name
    ways.requests()
    ways.no_event()


def test_a_client_without_identity_is_told_what_is_missing(ways: BothWays) -> None:
    with client(ways.proxy.url, {}) as opened:
        error = fails(openai.BadRequestError, chat)(opened)
    assert "X-Saturn-Auth-Id is missing" in error.message
    assert error.code == "identity"
    ways.no_event()


@pytest.mark.parametrize(
    ("error_type", "call", "status", "code"),
    [
        (openai.NotFoundError, lambda client: client.moderations.create(input="x"), 404, "unknown_route"),
        (openai.NotFoundError, lambda client: client.fine_tuning.jobs.list(), 404, "unknown_route"),
        (openai.APIStatusError, lambda client: client.models.delete("m"), 405, "method_not_allowed"),
        (
            openai.APIStatusError,
            lambda client: client.embeddings.create(model="m", input="x" * 200_000),
            413,
            "body_too_large",
        ),
        (
            openai.BadRequestError,
            lambda client: chat(client, stream=True, stream_options="usage"),
            400,
            "bad_body",
        ),
    ],
)
def test_a_refusal_is_the_clients_own_error(
    ways: BothWays,
    error_type: type[openai.APIStatusError],
    call: Callable[[openai.OpenAI], object],
    status: int,
    code: str,
) -> None:
    error = ways.call_proxy(client, fails(error_type, call))
    assert (error.status_code, error.code, error.type) == (
        status,
        code,
        "request_too_large" if status == 413 else "invalid_request_error",
    )
    assert ways.engine.requests == []
    ways.no_event()


@pytest.mark.parametrize(
    ("resource", "code"), [("particular", "model_not_served"), ("nowhere", "no_upstream")]
)
def test_what_a_resource_does_not_serve_is_not_found(ways: BothWays, resource: str, code: str) -> None:
    ways.resource = resource
    error = ways.call_proxy(client, fails(openai.NotFoundError, chat))
    assert error.code == code
    assert ways.engine.requests == []
    ways.no_event()


def refusing(status: str, message: str, headers: str = "") -> Script:
    """Answer with an error as vLLM writes it."""
    code = int(status[:3])
    error = {"message": message, "type": "BadRequestError", "param": "input_tokens", "code": code}
    content = json.dumps({"error": error}).encode()

    def script(_request: EngineRequest, line: Line) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}"
        line.send(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    return script


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        ("400 Bad Request", openai.BadRequestError),
        ("401 Unauthorized", openai.AuthenticationError),
        ("404 Not Found", openai.NotFoundError),
        ("422 Unprocessable Entity", openai.UnprocessableEntityError),
        ("429 Too Many Requests", openai.RateLimitError),
        ("503 Service Unavailable", openai.InternalServerError),
    ],
)
@pytest.mark.parametrize("call", [chat, chat_stream], ids=["plain", "stream"])
def test_an_engines_error_is_the_same_error(
    ways: BothWays, call: Any, status: str, error_type: type[openai.APIStatusError]
) -> None:
    ways.engine.script = refusing(status, "This model's maximum context length is 4096 tokens.")
    error = ways.call(client, fails(error_type, call))
    assert "4096 tokens" in error.message
    assert ways.event() == Metered(api="openai.chat", outcome="upstream_error", status=error.status_code)


def test_an_error_inside_a_stream_is_the_same_error(ways: BothWays) -> None:
    broken = data('{"error":{"message":"EngineCore died","type":"InternalServerError","code":500}}')
    ways.engine.script = engines.stream([*VLLM_TEXT[:3], broken, DONE])
    error = ways.call(client, fails(openai.APIError, chat_stream))
    assert error.message == "EngineCore died"
    assert ways.event() == Metered(
        api="openai.chat", model="served/llama", outcome="upstream_error", streamed=True
    )


def test_an_error_inside_a_response_stream_is_the_same_event(ways: BothWays) -> None:
    failed = {**RESPONSE, "status": "failed", "output": [], "usage": None}
    failed["error"] = {"code": "server_error", "message": "out of memory"}
    last = response_event({"type": "response.failed", "response": failed, "sequence_number": 6})
    ways.engine.script = engines.stream([*response_events()[:6], last])
    heard: list[Any] = ways.call(
        client, lambda client: list(client.responses.create(model="m", input="hi", stream=True))
    )
    assert heard[-1].response.error.message == "out of memory"
    assert ways.event() == Metered(
        api="openai.responses",
        model="gpt-5.1-2026-01-13",
        finish_reason="failed",
        outcome="upstream_error",
        streamed=True,
    )


def test_an_engine_that_breaks_off_is_a_connection_error(ways: BothWays) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(VLLM_TEXT[2])
        line.connection.close()

    ways.engine.script = script
    ways.call(client, lambda client: type(fails(openai.APIConnectionError, chat_stream)(client)))
    assert ways.event() == Metered(
        api="openai.chat", model="served/llama", outcome="upstream_error", streamed=True
    )


def test_every_attempt_of_a_client_that_tries_again_makes_an_event(ways: BothWays) -> None:
    """The client waits as long as the engine tells it to."""
    busy = refusing("429 Too Many Requests", "busy", "Retry-After-Ms: 1\r\n")
    down = refusing("503 Service Unavailable", "down", "Retry-After-Ms: 1\r\n")
    ways.engine.script = engines.in_turn(*(busy, down, engines.document(HELLO)) * 2)
    assert ways.call(retrying, chat).choices[0].message.content == "Grüße 🦙"
    assert len(ways.engine.requests) == 6
    assert ways.events(3) == [
        Metered(api="openai.chat", outcome="upstream_error", status=429),
        Metered(api="openai.chat", outcome="upstream_error", status=503),
        HELLO_METERED,
    ]


def test_a_refused_attempt_makes_no_event_and_is_not_tried_again(ways: BothWays) -> None:
    ways.resource = "particular"
    refused = ways.proxy.metric("phoebe_exchanges_refused_total")
    ways.call_proxy(retrying, fails(openai.NotFoundError, chat))
    assert ways.proxy.metric("phoebe_exchanges_refused_total") == refused + 1
    ways.no_event()


def silent_after(*events: bytes) -> Script:
    """Begin a stream and say no more."""

    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        for event in events:
            line.send_chunk(event)
        line.wait_until_closed()

    return script


def test_every_attempt_that_takes_too_long_is_aborted(ways: BothWays) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.wait_until_closed()

    def call(client: openai.OpenAI) -> object:
        return chat(client.with_options(max_retries=1, timeout=0.5))

    ways.engine.script = script
    ways.call(client, fails(openai.APITimeoutError, call))
    aborted = Metered(api="openai.chat", outcome="aborted", status=None)
    assert ways.events(2) == [aborted, aborted]


def test_a_stream_that_falls_silent_for_too_long_is_aborted(ways: BothWays) -> None:
    ways.engine.script = silent_after(VLLM_TEXT[2])
    ways.call(client, fails(openai.APITimeoutError, lambda client: chat_stream(client, timeout=1)))
    assert ways.event() == Metered(api="openai.chat", model="served/llama", outcome="aborted", streamed=True)


def test_a_stream_that_the_client_closes_is_aborted(ways: BothWays) -> None:
    def call(client: openai.OpenAI) -> str | None:
        with chat(client, stream=True) as stream:
            first: ChatCompletionChunk = next(stream)
            return first.choices[0].delta.content

    ways.engine.script = silent_after(VLLM_TEXT[2])
    assert ways.call(client, call) == "Grüße"
    assert ways.event() == Metered(api="openai.chat", model="served/llama", outcome="aborted", streamed=True)


async def test_a_stream_that_an_asynchronous_client_closes_is_aborted(ways: BothWays) -> None:
    async def call(client: openai.AsyncOpenAI) -> str:
        async with client.responses.stream(model="m", input="hi") as stream:
            async for event in stream:
                if event.type == "response.output_text.delta":
                    return event.delta
        return ""

    ways.engine.script = silent_after(*response_events()[:6])
    assert await ways.call_async(async_client, call) == "Grü"
    assert ways.event() == Metered(
        api="openai.responses", model="gpt-5.1-2026-01-13", outcome="aborted", streamed=True
    )
