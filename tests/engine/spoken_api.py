"""The APIs that llama.cpp speaks: how to ask in each, and where its answers say how many tokens they took."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

MODEL = "tiny/random-llama"
TOKENS = 12
LONG = 16000
"""More tokens than the engine makes in the time that a client takes to hang up."""

type Answer = Mapping[str, Any]
type Prompt = str | list[str]


class Counts(NamedTuple):
    """Tokens of an answer; prompt includes cached. cached: None if the engine does not say."""

    prompt: int
    cached: int | None
    completion: int


@dataclass(frozen=True, slots=True)
class SpokenApi:
    """name: the event's `api`. request: makes the body of a request. said: reads the counts of an answer."""

    name: str
    path: str
    request: Callable[[Prompt, int], dict[str, object]]
    said: Callable[[Answer], Counts]
    finish_reason: str

    def body(self, prompt: Prompt, tokens: int = TOKENS, /, **more: object) -> dict[str, object]:
        """Make a request whose answer is always the same and has this many tokens."""
        return {**self.request(prompt, tokens), "model": MODEL, "temperature": 0, **more}


def tokens_of(prompt: str) -> int:
    """Count the tokens of a bare prompt: the start, a space that is put before it, and its characters."""
    return 2 + len(prompt)


def _chat(prompt: Prompt, tokens: int) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": prompt}], "max_tokens": tokens}


def _said_in_openai(answer: Answer) -> Counts:
    usage = answer["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    return Counts(usage["prompt_tokens"], cached, usage["completion_tokens"])


def _said_in_anthropic(answer: Answer) -> Counts:
    usage = answer["usage"]
    cached = usage["cache_read_input_tokens"]
    return Counts(usage["input_tokens"] + cached, cached, usage["output_tokens"])


def _said_in_responses(answer: Answer) -> Counts:
    usage = answer["usage"]
    return Counts(
        usage["input_tokens"], usage["input_tokens_details"]["cached_tokens"], usage["output_tokens"]
    )


def _said_natively(answer: Answer) -> Counts:
    return Counts(answer["tokens_evaluated"], answer["timings"]["cache_n"], answer["tokens_predicted"])


CHAT = SpokenApi("openai.chat", "/v1/chat/completions", _chat, _said_in_openai, "length")
COMPLETIONS = SpokenApi(
    "openai.completions",
    "/v1/completions",
    lambda prompt, tokens: {"prompt": prompt, "max_tokens": tokens},
    _said_in_openai,
    "length",
)
MESSAGES = SpokenApi("anthropic.messages", "/v1/messages", _chat, _said_in_anthropic, "max_tokens")
RESPONSES = SpokenApi(
    "openai.responses",
    "/v1/responses",
    lambda prompt, tokens: {"input": prompt, "max_output_tokens": tokens},
    _said_in_responses,
    "completed",
)
NATIVE = SpokenApi(
    "llamacpp.completion",
    "/completion",
    lambda prompt, tokens: {"prompt": prompt, "n_predict": tokens},
    _said_natively,
    "limit",
)
SPOKEN_APIS = (CHAT, COMPLETIONS, MESSAGES, RESPONSES, NATIVE)
