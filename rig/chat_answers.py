"""The wire form of OpenAI-compatible answers, as vLLM writes it: what toy engines answer is made here.

How bytes get to a client (on which server, in which pieces, how fast, cut off where) is up to each engine.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

type Json = dict[str, object]

DONE = b"data: [DONE]\n\n"
"""What ends a stream."""


@dataclass(frozen=True, slots=True)
class Api:
    """How one of the two API families spells its answers."""

    id_prefix: str
    whole_object: str
    stream_object: str
    chat: bool

    def choice(self, text: str, finish_reason: str) -> Json:
        """The choice of a whole answer."""
        message: Json = {"role": "assistant", "content": text, "refusal": None, "tool_calls": []}
        content: Json = {"message": message} if self.chat else {"text": text}
        return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}

    def piece(self, text: str, finish_reason: str | None = None) -> Json:
        """The choice of one chunk of a stream."""
        content: Json = {"delta": {"content": text}} if self.chat else {"text": text}
        return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason}


CHAT = Api("chatcmpl", "chat.completion", "chat.completion.chunk", chat=True)
COMPLETIONS = Api("cmpl", "text_completion", "text_completion", chat=False)
_ROLE: Json = {
    "index": 0,
    "delta": {"role": "assistant", "content": ""},
    "logprobs": None,
    "finish_reason": None,
}


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of an engine, which can be written whole or as a stream.

    created: Unix time in seconds. pieces: its text, by chunks of a stream. usage: as `usage_of` makes it.
    """

    api: Api
    id: str
    created: int
    model: str
    pieces: Sequence[str]
    finish_reason: str
    usage: Json

    def whole(self) -> Json:
        """The answer as one JSON object."""
        choice = self.api.choice("".join(self.pieces).strip(), self.finish_reason)
        return {**self._head(self.api.whole_object), "choices": [choice], "usage": self.usage}

    def chunks(self, *, include_usage: bool, running_usage: bool = False) -> Iterator[Json]:
        """The JSON objects of a stream: in chat the role, each piece, the finish reason, and the usage.

        running_usage: whether each chunk has the usage up to it, a token for each piece.
        """
        head = self._head(self.api.stream_object)
        choices = [self.api.piece(piece) for piece in self.pieces]
        if self.api.chat:
            choices.insert(0, _ROLE)
        choices.append(self.api.piece("", self.finish_reason))
        for number, choice in enumerate(choices, start=0 if self.api.chat else 1):
            usage: Json = {"usage": self._usage_up_to(number)} if running_usage else {}
            yield {**head, "choices": [choice], **usage}
        if include_usage:
            yield {**head, "choices": [], "usage": self.usage}

    def _usage_up_to(self, tokens: int) -> Json:
        prompt = self.usage["prompt_tokens"]
        assert isinstance(prompt, int)
        return usage_of(prompt, min(tokens, len(self.pieces)), None)

    def _head(self, object_name: str) -> Json:
        return {"id": self.id, "object": object_name, "created": self.created, "model": self.model}


def usage_of(prompt_tokens: int, completion_tokens: int, cached_tokens: int | None) -> Json:
    """A usage object. Cached tokens are part of the prompt tokens; None: the engine does not count them."""
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "completion_tokens": completion_tokens,
        "prompt_tokens_details": None if cached_tokens is None else {"cached_tokens": cached_tokens},
    }


def compact(document: object) -> bytes:
    """A JSON document in as few bytes as engines use for it."""
    return json.dumps(document, separators=(",", ":")).encode()


def event(document: object) -> bytes:
    """A server-sent event with a JSON document."""
    return b"data: " + compact(document) + b"\n\n"
