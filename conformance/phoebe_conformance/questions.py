"""What an engine is asked in each API family: as little as shows how it reports usage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import cycle, islice

ANSWER_TOKENS_MAX = 16
"""The longest answer asked for; OpenAI's Responses API takes no less."""

SHORT_PROMPT = "Count from one to twenty in words, separated by commas."
UNKNOWN_MODEL = "phoebe-conformance/no-such-model"
"""A name that no engine serves."""

_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, slots=True)
class Wording:
    """What a question is made of. engine: the name of the engine that is asked; empty: it is not known."""

    model: str
    prompt: str = SHORT_PROMPT
    engine: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """How to ask in one API family.

    members: makes the request's members, but for `stream`. generates: it can be asked for a stream, and
    answers have generated tokens. headers: those the API needs.
    """

    api: str
    path: str
    members: Callable[[Wording], dict[str, object]]
    generates: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, wording: Wording, *, streamed: bool) -> dict[str, object]:
        """Make the request's body."""
        members = self.members(wording)
        return {**members, "stream": streamed} if self.generates else members


def long_prompt(words: int, salt: str) -> str:
    """Make a prompt of so many words, a token each for most models. salt: makes it like none before."""
    return f"Note {salt}: {' '.join(islice(cycle(_WORDS), words))}. Go on counting."


def _chat(wording: Wording) -> dict[str, object]:
    # OpenAI's newer models refuse the older name, and not every engine knows the newer one.
    limit = "max_completion_tokens" if wording.engine == "OpenAI" else "max_tokens"
    return {"model": wording.model, "messages": _messages(wording.prompt), limit: ANSWER_TOKENS_MAX}


def _messages(content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": content}]


def _anthropic(wording: Wording) -> dict[str, object]:
    content: object = wording.prompt
    if wording.engine == "Anthropic":
        # It caches only what it is told to.
        content = [{"type": "text", "text": wording.prompt, "cache_control": {"type": "ephemeral"}}]
    return {"model": wording.model, "messages": _messages(content), "max_tokens": ANSWER_TOKENS_MAX}


_OLLAMA_LIMIT = {"num_predict": ANSWER_TOKENS_MAX}

QUESTIONS = (
    Question("openai.chat", "/v1/chat/completions", _chat),
    Question(
        "openai.completions",
        "/v1/completions",
        lambda w: {"model": w.model, "prompt": w.prompt, "max_tokens": ANSWER_TOKENS_MAX},
    ),
    Question(
        "openai.responses",
        "/v1/responses",
        lambda w: {
            "model": w.model,
            "input": w.prompt,
            "max_output_tokens": ANSWER_TOKENS_MAX,
            "store": False,
        },
    ),
    Question("openai.embeddings", "/v1/embeddings", lambda w: {"model": w.model, "input": w.prompt}, False),
    Question("anthropic.messages", "/v1/messages", _anthropic, headers={"anthropic-version": "2023-06-01"}),
    Question(
        "ollama.chat",
        "/api/chat",
        lambda w: {"model": w.model, "messages": _messages(w.prompt), "options": _OLLAMA_LIMIT},
    ),
    Question(
        "ollama.generate",
        "/api/generate",
        lambda w: {"model": w.model, "prompt": w.prompt, "options": _OLLAMA_LIMIT},
    ),
    Question("ollama.embed", "/api/embed", lambda w: {"model": w.model, "input": w.prompt}, False),
    Question(
        "llamacpp.completion", "/completion", lambda w: {"prompt": w.prompt, "n_predict": ANSWER_TOKENS_MAX}
    ),
    Question(
        "sglang.generate",
        "/generate",
        lambda w: {"text": w.prompt, "sampling_params": {"max_new_tokens": ANSWER_TOKENS_MAX}},
    ),
)
"""Of the API families, those that can be checked."""


def find_question(api: str) -> Question | None:
    """Find the question of an API family; None: it can't be checked."""
    return next((question for question in QUESTIONS if question.api == api), None)
