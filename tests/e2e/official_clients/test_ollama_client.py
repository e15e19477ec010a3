"""The official `ollama` client: what it gets through the proxy is what it gets from the engine."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import ollama
import pytest

from tests.harness import engine as engines
from tests.harness.both_ways import NO_TLS, BothWays, Metered, fails
from tests.harness.engine import LAST_CHUNK, EngineRequest, Line, Script

MESSAGES: Any = [{"role": "user", "content": "Say hello in German"}]
NDJSON = "application/x-ndjson"
JSON = "application/json; charset=utf-8"
CREATED = '"model":"llama3.2","created_at":"2026-11-20T12:00:00.123456Z"'
COUNTS = (
    '"total_duration":174560334,"load_duration":101397084,"prompt_eval_count":26,'
    '"prompt_eval_duration":13074791,"eval_count":3,"eval_duration":52479709'
)
CHAT_METERED = Metered(
    api="ollama.chat", model="llama3.2", prompt=26, completion=3, finish_reason="stop", streamed=True
)
GENERATE_METERED = replace(CHAT_METERED, api="ollama.generate")


def said(text: str) -> bytes:
    """Make a line of a chat."""
    return f'{{{CREATED},"message":{{"role":"assistant","content":"{text}"}},"done":false}}\n'.encode()


def generated(text: str) -> bytes:
    """Make a line of a generated text."""
    return f'{{{CREATED},"response":"{text}","done":false}}\n'.encode()


CHAT_END = (
    f'{{{CREATED},"message":{{"role":"assistant","content":""}},"done":true,"done_reason":"stop",{COUNTS}}}\n'
).encode()
GENERATE_END = (
    f'{{{CREATED},"response":"","done":true,"done_reason":"stop","context":[1,2],{COUNTS}}}\n'
).encode()


def lines(*pieces: bytes) -> Script:
    """Answer with lines of JSON, each a chunk of its own."""

    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head(content_type=NDJSON)
        for piece in pieces:
            line.send_chunk(piece)
        line.send(LAST_CHUNK)

    return script


def document(text: str | bytes, status: str = "200 OK") -> Script:
    """Answer with one document, under the media type that Ollama gives it."""
    return engines.document(text.encode() if isinstance(text, str) else text, status, JSON)


def client(url: str, headers: Mapping[str, str]) -> ollama.Client:
    return ollama.Client(host=url, headers=headers, verify=NO_TLS)


@asynccontextmanager
async def async_client(url: str, headers: Mapping[str, str]) -> AsyncIterator[ollama.AsyncClient]:
    opened = ollama.AsyncClient(host=url, headers=headers, verify=NO_TLS)
    try:
        yield opened
    finally:
        await opened.close()  # type: ignore[no-untyped-call]


def chat(client: ollama.Client) -> Any:
    return client.chat("m", MESSAGES)


def chat_stream(client: ollama.Client) -> list[ollama.ChatResponse]:
    return list(client.chat("m", MESSAGES, stream=True))


def test_a_chat(ways: BothWays) -> None:
    end = CHAT_END.replace(b'"content":""', '"content":"Grüße"'.encode())
    ways.engine.script = document(end)
    heard = ways.call(client, chat)
    assert (heard.message.content, heard.prompt_eval_count) == ("Grüße", 26)
    assert ways.added_to_body() is None
    assert ways.event() == replace(CHAT_METERED, streamed=False)


def test_a_chat_stream(ways: BothWays) -> None:
    ways.engine.script = lines(said("Grüße"), said(" 🦙"), CHAT_END)
    heard = ways.call(client, chat_stream)
    assert "".join(part.message.content or "" for part in heard) == "Grüße 🦙"
    assert (heard[-1].prompt_eval_count, heard[-1].eval_count) == (26, 3)
    assert ways.added_to_body() is None
    assert ways.event() == CHAT_METERED


def test_tools_and_cached_tokens(ways: BothWays) -> None:
    call = '{"function":{"name":"weather","arguments":{"eval_count":999}}}'
    tool = f'{{{CREATED},"message":{{"role":"assistant","content":"","tool_calls":[{call}]}},"done":false}}\n'
    end = CHAT_END.replace(b'"eval_count":3', b'"prompt_eval_cached_count":20,"eval_count":3')
    ways.engine.script = lines(tool.encode(), end)
    heard = ways.call(client, chat_stream)
    assert heard[0].message.tool_calls
    assert heard[0].message.tool_calls[0].function.arguments == {"eval_count": 999}
    assert ways.event() == replace(CHAT_METERED, cached=20)


def test_a_generated_text(ways: BothWays) -> None:
    ways.engine.script = document(GENERATE_END.replace(b'"response":""', b'"response":"Hi"'))
    assert ways.call(client, lambda client: client.generate("m", "Say hi")).response == "Hi"
    assert ways.event() == replace(GENERATE_METERED, streamed=False)


def test_a_generated_text_in_a_stream(ways: BothWays) -> None:
    ways.engine.script = lines(generated("Grü"), generated("ße"), GENERATE_END)
    heard = ways.call(client, lambda client: list(client.generate("m", "Say hello", stream=True)))
    assert "".join(part.response for part in heard) == "Grüße"
    assert ways.event() == GENERATE_METERED


def test_embeddings(ways: BothWays) -> None:
    ways.engine.script = document(
        '{"model":"all-minilm","embeddings":[[0.25,-0.5],[1.5,2]],"total_duration":14143917,'
        '"load_duration":1019500,"prompt_eval_count":8}'
    )
    heard = ways.call(client, lambda client: client.embed("m", ["Grüße", "b"]))
    assert heard.embeddings == [[0.25, -0.5], [1.5, 2.0]]
    assert ways.event() == Metered(api="ollama.embed", model="all-minilm", prompt=8)


@pytest.mark.parametrize("last", [b"\n", b""], ids=["newline", "no newline"])
async def test_the_asynchronous_client_streams(ways: BothWays, last: bytes) -> None:
    ways.engine.script = lines(said("Grüße"), CHAT_END.rstrip(b"\n") + last)

    async def call(client: ollama.AsyncClient) -> list[Any]:
        return [part async for part in await client.chat("m", MESSAGES, stream=True)]

    heard = await ways.call_async(async_client, call)
    assert heard[0].message.content == "Grüße"
    assert ways.event() == CHAT_METERED


async def test_the_asynchronous_client_asks_several_times_at_once(ways: BothWays) -> None:
    ways.engine.script = document(GENERATE_END)

    async def call(client: ollama.AsyncClient) -> list[Any]:
        return await asyncio.gather(*(client.generate("m", "Say hi") for _ in range(5)))

    heard = await ways.call_async(async_client, call)
    assert [part.eval_count for part in heard] == [3] * 5
    assert ways.events(5) == [replace(GENERATE_METERED, streamed=False)] * 5


def test_loading_a_model_is_an_exchange_without_counts(ways: BothWays) -> None:
    ways.engine.script = document(f'{{{CREATED},"response":"","done":true,"done_reason":"load"}}')
    assert ways.call(client, lambda client: client.generate("m")).done_reason == "load"
    assert ways.event() == Metered(api="ollama.generate", model="llama3.2", finish_reason="load")


def test_what_there_is_to_know_of_models_is_free(ways: BothWays) -> None:
    details = {"format": "gguf", "family": "llama", "parameter_size": "3.2B", "quantization_level": "Q4_K_M"}
    model = {"name": "llama3.2", "model": "llama3.2", "size": 1, "digest": "a8", "details": details}
    ways.engine.script = engines.document({"models": [model]})
    assert [each.model for each in ways.call(client, lambda client: client.list()).models] == ["llama3.2"]
    ways.engine.script = engines.document(
        {"modelfile": "FROM x", "details": details, "model_info": {"general.architecture": "llama"}}
    )
    shown = ways.call(client, lambda client: client.show("llama3.2"))
    assert shown.modelinfo == {"general.architecture": "llama"}
    ways.no_event()


@pytest.mark.parametrize("call", [chat, chat_stream, lambda client: client.list()])
def test_a_client_without_identity_is_told_what_is_missing(
    ways: BothWays, call: Callable[[ollama.Client], object]
) -> None:
    with client(ways.proxy.url, {}) as opened:
        error = fails(ollama.ResponseError, call)(opened)
    assert error.status_code == 400
    assert "X-Saturn-Auth-Id is missing" in error.error
    ways.no_event()


@pytest.mark.parametrize(
    ("resource", "call", "status", "why"),
    [
        ("undeclared", lambda client: client.embeddings("m", "x"), 404, "use /api/embed"),
        ("undeclared", lambda client: client.pull("m"), 404, "not an API this proxy meters"),
        ("undeclared", lambda client: client.generate("m", "x" * 200_000), 413, "larger than"),
        ("particular", chat_stream, 404, "'m' is not served by this resource"),
        ("nowhere", chat, 404, "No model server is known for the resource 'nowhere'"),
        ("nowhere", lambda client: client.list(), 404, "No model server is known for the resource 'nowhere'"),
    ],
)
def test_a_refusal_is_the_clients_own_error_with_the_message(
    ways: BothWays, resource: str, call: Callable[[ollama.Client], object], status: int, why: str
) -> None:
    ways.resource = resource
    error = ways.call_proxy(client, fails(ollama.ResponseError, call))
    assert error.status_code == status
    assert why in error.error
    assert ways.engine.requests == []
    ways.no_event()


@pytest.mark.parametrize("call", [chat, chat_stream], ids=["plain", "stream"])
def test_an_engines_error_is_the_same_error(ways: BothWays, call: Any) -> None:
    ways.engine.script = document(
        '{"error":"model \\"m\\" not found, try pulling it first"}', "404 Not Found"
    )
    error = ways.call(client, fails(ollama.ResponseError, call))
    assert error.error == 'model "m" not found, try pulling it first'
    assert ways.event() == Metered(api="ollama.chat", outcome="upstream_error", status=404)


def test_an_error_inside_a_stream_is_the_same_error(ways: BothWays) -> None:
    broken = {"error": "an error was encountered while running the model: unexpected EOF"}
    ways.engine.script = lines(said("Grüße"), json.dumps(broken).encode() + b"\n")
    error = ways.call(client, fails(ollama.ResponseError, chat_stream))
    assert error.error == broken["error"]
    assert ways.event() == Metered(
        api="ollama.chat", model="llama3.2", outcome="upstream_error", streamed=True
    )


def test_a_stream_that_the_client_leaves_is_aborted(ways: BothWays) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head(content_type=NDJSON)
        line.send_chunk(said("Grüße"))
        line.wait_until_closed()

    def call(client: ollama.Client) -> str | None:
        parts = client.chat("m", MESSAGES, stream=True)
        first = next(iter(parts))
        parts.close()  # type: ignore[attr-defined]  # it is a generator, whatever its type says
        return first.message.content

    ways.engine.script = script
    assert ways.call(client, call) == "Grüße"
    assert ways.event() == Metered(api="ollama.chat", model="llama3.2", outcome="aborted", streamed=True)
