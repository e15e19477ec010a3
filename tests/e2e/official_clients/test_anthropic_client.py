"""The official `anthropic` client: what it gets through the proxy is what it gets from the engine.

It takes seconds to import, so only those who run these tests do so, and not all who collect them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.harness import engine as engines
from tests.harness.both_ways import NO_TLS, BothWays, Metered, fails
from tests.harness.engine import EngineRequest, Line, Script

from .anthropic_streams import (
    API,
    MESSAGE_STOP,
    STREAMS,
    TEXT,
    Dialect,
    message_delta,
    message_start,
    named,
    stream_metered,
)

if TYPE_CHECKING:
    import anthropic
    from anthropic.types import Message, RawMessageStreamEvent

MESSAGES: Any = [{"role": "user", "content": "Say hello in German"}]
CACHING_USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 200,
    "cache_read_input_tokens": 3000,
    "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 52},
    "output_tokens": 503,
    "output_tokens_details": {"thinking_tokens": 400},
    "server_tool_use": None,
    "service_tier": "standard",
}
HELLO = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-4-5-20251101",
    "content": [{"type": "text", "text": "Grüße"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": CACHING_USAGE,
}
HELLO_METERED = Metered(
    api=API,
    model="claude-opus-4-5-20251101",
    prompt=3210,
    completion=503,
    cached=3000,
    cache_write=200,
    reasoning=400,
    finish_reason="end_turn",
)


def retrying(url: str, headers: Mapping[str, str]) -> anthropic.Anthropic:
    import anthropic

    return anthropic.Anthropic(
        base_url=url,
        api_key="unused",
        default_headers=headers,
        http_client=anthropic.DefaultHttpxClient(verify=NO_TLS),
    )


def client(url: str, headers: Mapping[str, str]) -> anthropic.Anthropic:
    return retrying(url, headers).with_options(max_retries=0)


def async_client(url: str, headers: Mapping[str, str]) -> anthropic.AsyncAnthropic:
    import anthropic

    return anthropic.AsyncAnthropic(
        base_url=url,
        api_key="unused",
        default_headers=headers,
        max_retries=0,
        http_client=anthropic.DefaultAsyncHttpxClient(verify=NO_TLS),
    )


def error_called(name: str) -> type[anthropic.APIStatusError]:
    """Give one of the client's errors."""
    import anthropic

    found: type[anthropic.APIStatusError] = getattr(anthropic, name)
    return found


def create(client: anthropic.Anthropic, **more: Any) -> Any:
    return client.messages.create(model="m", max_tokens=1024, messages=MESSAGES, **more)


def create_stream(client: anthropic.Anthropic) -> list[RawMessageStreamEvent]:
    return list(create(client, stream=True))


def final_message(client: anthropic.Anthropic) -> Message:
    with client.messages.stream(model="m", max_tokens=1024, messages=MESSAGES) as stream:
        return stream.get_final_message()


def whole_prompt(message: Message) -> int:
    """Add up what the client reports of the prompt, as its documentation says to."""
    usage = message.usage
    return (
        usage.input_tokens + (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
    )


def test_a_message_whose_cache_is_counted_beside_its_input(ways: BothWays) -> None:
    ways.engine.script = engines.document(HELLO)
    heard = ways.call(client, create)
    assert heard.content[0].text == "Grüße"
    assert whole_prompt(heard) == HELLO_METERED.prompt
    assert ways.added_to_body() is None
    assert ways.event() == HELLO_METERED


def test_a_message_without_caching(ways: BothWays) -> None:
    ways.engine.script = engines.document({**HELLO, "usage": {"input_tokens": 12, "output_tokens": 6}})
    ways.call(client, create)
    assert ways.event() == Metered(
        api=API, model="claude-opus-4-5-20251101", prompt=12, completion=6, finish_reason="end_turn"
    )


def test_a_message_of_the_beta_api(ways: BothWays) -> None:
    ways.engine.script = engines.document(HELLO)

    def call(client: anthropic.Anthropic) -> Any:
        return client.beta.messages.create(
            model="m",
            max_tokens=1024,
            messages=MESSAGES,
            betas=["context-1m-2025-08-07"],
            extra_query={"beta": "true"},  # as earlier versions of the client do by themselves
        )

    ways.call(client, call)
    _, proxied = ways.requests()
    assert proxied.path == "/v1/messages?beta=true"
    assert proxied.headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert ways.event() == HELLO_METERED


@pytest.mark.parametrize("dialect", STREAMS, ids=lambda dialect: dialect.engine)
def test_a_stream(ways: BothWays, dialect: Dialect) -> None:
    ways.engine.script = engines.stream(dialect.events())
    heard = ways.call(client, create_stream)
    assert [event.type for event in heard[-2:]] == ["message_delta", "message_stop"]
    assert ways.added_to_body() is None
    assert ways.event() == dialect.metered


@pytest.mark.parametrize("dialect", STREAMS, ids=lambda dialect: dialect.engine)
def test_the_stream_helper_comes_to_the_same_counts_as_the_event(ways: BothWays, dialect: Dialect) -> None:
    ways.engine.script = engines.stream(dialect.events())
    heard = ways.call(client, final_message)
    assert "".join(block.text for block in heard.content if block.type == "text") == "Grüße 🦙"
    event = ways.event()
    assert (whole_prompt(heard), heard.usage.output_tokens) == (event.prompt, event.completion)
    assert heard.usage.cache_read_input_tokens == event.cached
    assert event == dialect.metered


async def test_the_asynchronous_client(ways: BothWays) -> None:
    ways.engine.script = engines.document(HELLO)

    async def call(client: anthropic.AsyncAnthropic) -> Any:
        return await client.messages.create(model="m", max_tokens=1024, messages=MESSAGES)

    await ways.call_async(async_client, call)
    assert ways.event() == HELLO_METERED


async def test_the_asynchronous_stream_helper(ways: BothWays) -> None:
    ways.engine.script = engines.stream(STREAMS[0].events())

    async def call(client: anthropic.AsyncAnthropic) -> list[Any]:
        async with client.messages.stream(model="m", max_tokens=1024, messages=MESSAGES) as stream:
            texts = [text async for text in stream.text_stream]
            return [texts, await stream.get_final_message()]

    texts, message = await ways.call_async(async_client, call)
    assert texts == ["Grüße", " 🦙"]
    assert whole_prompt(message) == STREAMS[0].metered.prompt
    assert ways.event() == STREAMS[0].metered


def test_tools_in_a_stream(ways: BothWays) -> None:
    """The arguments of a tool are JSON in a string, and may look like usage."""
    arguments = ('{\\"usage\\": {\\"input_tok', 'ens\\": 999}}')
    ways.engine.script = engines.stream(
        [
            message_start('{"input_tokens":472,"output_tokens":2}'),
            named(
                '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1",'
                '"name":"weather","input":{}}}'
            ),
            *(
                named(
                    '{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta",'
                    f'"partial_json":"{part}"}}}}'
                )
                for part in arguments
            ),
            named('{"type":"content_block_stop","index":0}'),
            message_delta('{"output_tokens":89}', "tool_use"),
            MESSAGE_STOP,
        ]
    )

    def call(client: anthropic.Anthropic) -> Message:
        tools: Any = [{"name": "weather", "input_schema": {"type": "object"}}]
        with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES, tools=tools) as stream:
            return stream.get_final_message()

    heard: Any = ways.call(client, call)
    assert heard.content[0].input == {"usage": {"input_tokens": 999}}
    assert ways.event() == stream_metered(472, 89, finish_reason="tool_use")


def test_tools_in_a_message(ways: BothWays) -> None:
    tool = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Köln"}}
    ways.engine.script = engines.document({**HELLO, "content": [tool], "stop_reason": "tool_use"})
    heard = ways.call(client, create)
    assert heard.content[0].input == {"city": "Köln"}
    assert ways.event() == replace(HELLO_METERED, finish_reason="tool_use")


def test_counting_tokens_is_free(ways: BothWays) -> None:
    ways.engine.script = engines.document({"input_tokens": 2095})

    def call(client: anthropic.Anthropic) -> Any:
        return client.messages.count_tokens(model="m", messages=MESSAGES)

    assert ways.call(client, call).input_tokens == 2095
    ways.requests()
    ways.no_event()


def test_models_are_listed_free(ways: BothWays) -> None:
    model = {"type": "model", "id": "claude", "display_name": "C", "created_at": "2026-01-01T00:00:00Z"}
    ways.engine.script = engines.document({"data": [model], "has_more": False, "first_id": "claude"})
    assert [each.id for each in ways.call(client, lambda client: list(client.models.list()))] == ["claude"]
    ways.no_event()


def counting(client: anthropic.Anthropic) -> object:
    return client.messages.count_tokens(model="m", messages=MESSAGES)


def batching(client: anthropic.Anthropic) -> object:
    return client.messages.batches.create(requests=[])


@pytest.mark.parametrize("call", [create, create_stream, final_message, counting, batching])
def test_a_client_without_identity_is_told_what_is_missing(ways: BothWays, call: Any) -> None:
    with client(ways.proxy.url, {}) as opened:
        error = fails(error_called("BadRequestError"), call)(opened)
    assert error.type == "invalid_request_error"
    assert "X-Saturn-Auth-Id is missing" in str(error.api_message)
    ways.no_event()


@pytest.mark.parametrize(
    ("resource", "call", "error_type", "kind"),
    [
        ("particular", create, "NotFoundError", "not_found_error"),
        ("nowhere", create, "NotFoundError", "not_found_error"),
        ("nowhere", counting, "NotFoundError", "not_found_error"),
        ("undeclared", batching, "NotFoundError", "not_found_error"),
        (
            "undeclared",
            lambda client: create(client, system="x" * 200_000),
            "APIStatusError",
            "request_too_large",
        ),
    ],
)
def test_a_refusal_is_the_clients_own_error(
    ways: BothWays,
    resource: str,
    call: Callable[[anthropic.Anthropic], object],
    error_type: str,
    kind: str,
) -> None:
    ways.resource = resource
    error = ways.call_proxy(client, fails(error_called(error_type), call))
    assert error.status_code == (413 if kind == "request_too_large" else 404)
    assert str(error.type) == kind
    assert error.api_message
    assert ways.engine.requests == []
    ways.no_event()


def refusing(status: str, kind: str, headers: str = "") -> Script:
    """Answer with an error as Anthropic writes it."""
    error = {"type": "error", "error": {"type": kind, "message": "not now"}, "request_id": "req_1"}
    content = json.dumps(error).encode()

    def script(_request: EngineRequest, line: Line) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nrequest-id: req_1\r\n{headers}"
        line.send(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)

    return script


@pytest.mark.parametrize(
    ("status", "kind", "error_type"),
    [
        ("400 Bad Request", "invalid_request_error", "BadRequestError"),
        ("403 Forbidden", "permission_error", "PermissionDeniedError"),
        ("429 Too Many Requests", "rate_limit_error", "RateLimitError"),
        ("529 Overloaded", "overloaded_error", "InternalServerError"),
    ],
)
def test_an_engines_error_is_the_same_error(ways: BothWays, status: str, kind: str, error_type: str) -> None:
    ways.engine.script = refusing(status, kind)
    error = ways.call(client, fails(error_called(error_type), create_stream))
    assert (error.type, error.request_id) == (kind, "req_1")
    assert ways.event() == Metered(api=API, outcome="upstream_error", status=error.status_code)


def test_an_error_inside_a_stream_is_the_same_error(ways: BothWays) -> None:
    broken = named('{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    start = message_start('{"input_tokens":50,"output_tokens":1}')
    ways.engine.script = engines.stream([start, *TEXT[:3], broken])
    error = ways.call(client, fails(error_called("APIStatusError"), final_message))
    assert error.type == "overloaded_error"
    assert ways.event() == stream_metered(50, 1, finish_reason="", outcome="upstream_error")


def test_an_engine_that_says_nothing_is_an_error_in_the_apis_own_shape(ways: BothWays) -> None:
    ways.engine.script = lambda _request, line: line.connection.close()
    error = ways.call_proxy(client, fails(error_called("InternalServerError"), create))
    assert (error.status_code, error.type) == (502, "api_error")
    assert ways.event() == Metered(api=API, outcome="upstream_error", status=None)


def test_every_attempt_of_a_client_that_tries_again_makes_an_event(ways: BothWays) -> None:
    overloaded = refusing("529 Overloaded", "overloaded_error", "Retry-After-Ms: 1\r\n")
    ways.engine.script = engines.in_turn(*(overloaded, engines.document(HELLO)) * 2)
    assert ways.call(retrying, create).content[0].text == "Grüße"
    assert ways.events(2) == [Metered(api=API, outcome="upstream_error", status=529), HELLO_METERED]


def test_a_stream_that_the_client_leaves_is_aborted_with_the_counts_of_its_start(ways: BothWays) -> None:
    def script(_request: EngineRequest, line: Line) -> None:
        line.send_stream_head()
        line.send_chunk(message_start('{"input_tokens":50,"cache_read_input_tokens":30,"output_tokens":1}'))
        for event in TEXT[:3]:
            line.send_chunk(event)
        line.wait_until_closed()

    def call(client: anthropic.Anthropic) -> str:
        with client.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
            return next(iter(stream.text_stream))

    ways.engine.script = script
    assert ways.call(client, call) == "Grüße"
    assert ways.event() == stream_metered(80, 1, cached=30, finish_reason="", outcome="aborted")
