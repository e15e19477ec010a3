"""A toy OpenAI-compatible engine for the demo. It has the wire behaviour of vLLM and no model.

What is real: paths, JSON shapes, error bodies, server-sent events in several chunks with delays between
them, usage in a stream only when `stream_options.include_usage` asks for it.
What is a toy: a token is a word; every answer repeats one sentence; a system prompt counts as cached from
the second time on that this process sees it. The same requests in the same order give the same counts.
"""

import argparse
import asyncio
import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from rig.chat_answers import CHAT, COMPLETIONS, DONE, Answer, Api, Json, event, usage_of

LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
QWEN = "Qwen/Qwen2.5-7B-Instruct"
FINE_TUNE = "ft:acme-support-7f3a"
UNPRICED = "toy/unpriced"
BROKEN = "toy/broken"  # answers every generation request with a 500
MODELS = (LLAMA, QWEN, FINE_TUNE, UNPRICED, BROKEN)

SENTENCE = "the engine counts every token that it reads and every token that it writes"
DEFAULT_WORDS = 24
WORDS_MAX = 4096
# Long enough that a client can leave in the middle of an answer, short enough that nobody waits for it.
CHUNK_DELAY_S = 0.01


@dataclass(frozen=True, slots=True)
class Generation:
    """One accepted request: what is answered, and how."""

    answer: Answer
    streamed: bool
    include_usage: bool


class RefusedError(Exception):
    """A request that is answered with an error body in OpenAI's shape."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind


class Engine:
    """The request handlers, and the system prompts seen so far."""

    def __init__(self, chunk_delay_s: float) -> None:
        self._chunk_delay_s = chunk_delay_s
        self._seen_system_prompts: set[str] = set()

    async def models(self, _request: Request) -> Response:
        """GET /v1/models."""
        data = [{"id": model, "object": "model", "created": 0, "owned_by": "toy"} for model in MODELS]
        return JSONResponse({"object": "list", "data": data})

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        return await self._serve(CHAT, request)

    async def completions(self, request: Request) -> Response:
        """POST /v1/completions."""
        return await self._serve(COMPLETIONS, request)

    async def _serve(self, api: Api, request: Request) -> Response:
        try:
            generation = self._accept(api, await _json_object(request))
        except RefusedError as refused:
            error = {"message": str(refused), "type": refused.kind, "param": None, "code": refused.status}
            return JSONResponse({"error": error}, status_code=refused.status)
        if generation.streamed:
            return StreamingResponse(self._events(generation), media_type="text/event-stream")
        await asyncio.sleep(self._chunk_delay_s)
        return JSONResponse(generation.answer.whole())

    def _accept(self, api: Api, body: Json) -> Generation:
        model = body.get("model")
        if not isinstance(model, str) or model not in MODELS:
            raise RefusedError(404, "NotFoundError", f"The model `{model}` does not exist.")
        if model == BROKEN:
            raise RefusedError(500, "InternalServerError", "EngineCore encountered an issue.")
        prompt_tokens, cached_tokens = self._read_chat(body) if api.chat else (_read_prompt(body), None)
        limit = _words_limit(body)
        words = tuple(itertools.islice(itertools.cycle(SENTENCE.split()), limit or DEFAULT_WORDS))
        answer = Answer(
            api=api,
            id=f"{api.id_prefix}-{uuid.uuid4().hex}",
            created=int(time.time()),
            model=model,
            pieces=[f"{word} " for word in words],
            finish_reason="length" if limit else "stop",
            usage=usage_of(prompt_tokens, len(words), cached_tokens),
        )
        options = body.get("stream_options")
        include_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        return Generation(answer, body.get("stream") is True, include_usage)

    def _read_chat(self, body: Json) -> tuple[int, int]:
        """All prompt tokens of a conversation, and the cached ones among them."""
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise RefusedError(400, "BadRequestError", "messages must be a list with at least one message.")
        texts = [_message_text(message) for message in messages]
        cached = 0
        if messages[0].get("role") == "system":
            if texts[0] in self._seen_system_prompts:
                cached = len(texts[0].split())
            self._seen_system_prompts.add(texts[0])
        return sum(len(text.split()) for text in texts), cached

    async def _events(self, generation: Generation) -> AsyncIterator[bytes]:
        for chunk in generation.answer.chunks(include_usage=generation.include_usage):
            yield event(chunk)
            await asyncio.sleep(self._chunk_delay_s)
        yield DONE


async def _json_object(request: Request) -> Json:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise RefusedError(400, "BadRequestError", "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise RefusedError(400, "BadRequestError", "The body is not a JSON object.")
    return body


def _message_text(message: object) -> str:
    content = message.get("content") if isinstance(message, Mapping) else None
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    raise RefusedError(400, "BadRequestError", "Each message needs content: text or a list of parts.")


def _read_prompt(body: Json) -> int:
    prompt = body.get("prompt")
    if not isinstance(prompt, str):
        raise RefusedError(400, "BadRequestError", "prompt must be text.")
    return len(prompt.split())


def _words_limit(body: Json) -> int | None:
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is None:
        return None
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= WORDS_MAX:
        raise RefusedError(
            400, "BadRequestError", f"max_tokens must be a whole number from 1 to {WORDS_MAX}."
        )
    return limit


def create_app(chunk_delay_s: float = CHUNK_DELAY_S) -> Starlette:
    """Makes the toy engine as an ASGI application; chunks of a stream are `chunk_delay_s` seconds apart."""
    engine = Engine(chunk_delay_s)
    return Starlette(
        routes=[
            Route("/v1/models", engine.models),
            Route("/v1/chat/completions", engine.chat, methods=["POST"]),
            Route("/v1/completions", engine.completions, methods=["POST"]),
        ]
    )


def main() -> None:
    """Serves the toy engine on loopback until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.engine", description="A toy OpenAI-compatible engine."
    )
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one, named in the log")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    arguments = parser.parse_args()
    # Streams of clients that hang are cut after 2 s, so that stopping the demo is quick.
    uvicorn.run(create_app(), host=arguments.host, port=arguments.port, timeout_graceful_shutdown=2)


if __name__ == "__main__":
    main()
