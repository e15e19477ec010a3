"""The Anthropic Messages API, as Anthropic, vLLM, SGLang, llama.cpp, Ollama and others speak it.

Cached tokens stand beside `input_tokens`, not inside. A stream states usage in `message_start` and again, as
totals, in `message_delta`: for each count the last word holds (an engine may begin with an estimate).
Sources: the Anthropic API reference; vLLM `entrypoints/anthropic`; SGLang `srt/entrypoints/anthropic`; Ollama
`anthropic/anthropic.go`.
"""

from phoebe_addon.apis.family import AnswerFormat, ErrorShape, Family, Fold, RequestFormat, at, mark, usage_at
from phoebe_addon.apis.usage import Counts

_COUNTS = Counts(
    prompt=("input_tokens",),
    cached=("cache_read_input_tokens",),
    cache_write=("cache_creation_input_tokens",),
    completion=("output_tokens",),
    reasoning=("output_tokens_details.thinking_tokens",),
    cached_beside_prompt=True,
    # LocalAI and mistral.rs send it in streams and never correct it.
    zero_prompt_is_unsaid=True,
    # Compacting the context is work of its own, which the totals leave out.
    parts="iterations",
)

FAMILIES = (
    Family(
        "anthropic.messages",
        ("POST /v1/messages",),
        RequestFormat(),
        AnswerFormat(
            usage=(usage_at(_COUNTS, "message.usage", "usage"),),
            fold=Fold.MERGE,
            models=(at("message.model"), at("model")),
            finish_reasons=(at("delta.stop_reason"), at("stop_reason")),
            ends=(mark("type", "message_stop"),),
            failures=(mark("type", "error"), mark("error")),
        ),
        errors=ErrorShape.ANTHROPIC,
    ),
)
