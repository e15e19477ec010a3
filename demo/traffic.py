"""The demo's clients: they send a script of requests with the official `openai` package.

Each request is followed through to its end and checked from the client's side: the status that was
expected, and a stream that carries exactly the chunks the client asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import httpx
from openai import APIError, APIStatusError, AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient, Omit, omit
from openai.types import Completion, CompletionUsage
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessageParam,
    ChatCompletionStreamOptionsParam,
)

type Api = Literal["chat", "completions"]

SYSTEM_PROMPT = "You are a patient assistant who explains how inference is metered and billed"


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the script."""

    title: str
    auth_id: str
    resource_id: str | None
    model: str
    api: Api = "chat"
    base_model: str | None = None
    streamed: bool = False
    # What the client says in stream_options.include_usage; None: nothing.
    include_usage: bool | None = None
    max_tokens: int = 24
    # The client leaves after this many chunks; None: it stays to the end.
    leave_after: int | None = None
    expected_status: int = 200


@dataclass(frozen=True, slots=True)
class Seen:
    """What the client saw of one answer; `problem` is what it should not have seen, in words."""

    request: Request
    status: int | None
    chunks: int | None = None
    usage: CompletionUsage | None = None
    error_body: str | None = None
    problem: str | None = None


def open_client(base_url: str, api_key: str | None, *, by_key: bool = False) -> AsyncOpenAI:
    """An `openai` client that sends each request once and only to `base_url`, whatever proxies are set.

    by_key: as a customer of an edge, with a key and the name of a deployment in place of the identity.
    """
    return AsyncOpenAI(
        base_url=base_url,
        api_key=api_key or "none",
        max_retries=0,
        timeout=120,
        http_client=DefaultAsyncHttpxClient(
            trust_env=False, event_hooks={"request": [_as_customer] if by_key else []}
        ),
    )


async def send_all(client: AsyncOpenAI, script: Sequence[Request]) -> list[Seen]:
    """Sends the script one request after the other, so that the engine's cache sees a fixed order."""
    return [await send(client, request) for request in script]


async def send(client: AsyncOpenAI, request: Request) -> Seen:
    """Sends one request and follows the answer to its end, or as far as the script says."""
    try:
        seen = await _ask(client, request)
    except APIStatusError as error:
        seen = Seen(request, error.status_code, error_body=error.response.text)
    except APIError as error:
        return Seen(request, None, problem=f"no complete answer: {error}")
    if seen.status != request.expected_status:
        return replace(seen, problem=f"expected HTTP {request.expected_status}, got {seen.status}")
    return seen


async def _ask(client: AsyncOpenAI, request: Request) -> Seen:
    if request.streamed:
        async with await _open_stream(client, request) as stream:
            return await _follow(request, stream)
    answer: ChatCompletion | Completion
    if request.api == "chat":
        answer = await client.chat.completions.create(
            model=request.model,
            messages=_messages(request),
            max_tokens=request.max_tokens,
            extra_headers=_identity(request),
        )
    else:
        answer = await client.completions.create(
            model=request.model,
            prompt=request.title,
            max_tokens=request.max_tokens,
            extra_headers=_identity(request),
        )
    return Seen(request, 200, usage=answer.usage)


async def _open_stream(
    client: AsyncOpenAI, request: Request
) -> AsyncStream[ChatCompletionChunk] | AsyncStream[Completion]:
    options: ChatCompletionStreamOptionsParam | Omit = omit
    if request.include_usage is not None:
        options = {"include_usage": request.include_usage}
    if request.api == "chat":
        return await client.chat.completions.create(
            model=request.model,
            messages=_messages(request),
            max_tokens=request.max_tokens,
            extra_headers=_identity(request),
            stream=True,
            stream_options=options,
        )
    return await client.completions.create(
        model=request.model,
        prompt=request.title,
        max_tokens=request.max_tokens,
        extra_headers=_identity(request),
        stream=True,
        stream_options=options,
    )


async def _follow(
    request: Request, stream: AsyncStream[ChatCompletionChunk] | AsyncStream[Completion]
) -> Seen:
    chunks = 0
    usage: CompletionUsage | None = None
    async for chunk in stream:
        chunks += 1
        usage = chunk.usage or usage
        if not chunk.choices and not request.include_usage:
            return Seen(
                request, 200, chunks, problem="a chunk without choices that the client had not asked for"
            )
        if chunks == request.leave_after:
            return Seen(request, 200, chunks)
    problem = "the usage the client asked for is missing" if request.include_usage and usage is None else None
    return Seen(request, 200, chunks, usage, problem=problem)


def _messages(request: Request) -> list[ChatCompletionMessageParam]:
    return [
        {"role": "system", "content": SYSTEM_PROMPT},
        {"role": "user", "content": f"Say something about this: {request.title}"},
    ]


async def _as_customer(request: httpx.Request) -> None:
    headers = request.headers
    headers["Authorization"] = f"Bearer demo-{headers.pop('X-Saturn-Auth-Id')}"
    headers["X-Deployment"] = headers.pop("X-Saturn-Resource-Id", "")
    headers.pop("X-Saturn-Base-Model", None)


def _identity(request: Request) -> dict[str, str]:
    """The headers that a trusted edge sets after it has authenticated the caller."""
    headers = {"X-Saturn-Auth-Id": request.auth_id}
    if request.resource_id is not None:
        headers["X-Saturn-Resource-Id"] = request.resource_id
    if request.base_model is not None:
        headers["X-Saturn-Base-Model"] = request.base_model
    return headers
