"""The Anthropic Messages API, as Anthropic, vLLM, SGLang, llama.cpp, Ollama and others speak it.

Cached tokens stand beside `input_tokens`, not inside. A stream states usage in `message_start` and again, as
totals, in `message_delta`: for each count the last word holds (an engine may begin with an estimate).

`usage.iterations` states each sampling of an answer by itself. The totals beside it are not their sum: they
leave out what compacted the context, advisors and hops that declined, and of several samplings they may have
only the first one's input. Entries of advisors and of hops name their models. When one model hands over to
another in a stream, a block of the type `fallback` names the next one.
Sources: the Anthropic API reference; vLLM `entrypoints/anthropic`; SGLang `srt/entrypoints/anthropic`; Ollama
`anthropic/anthropic.go`; of the iterations, the types `BetaIterationsUsage` of Anthropic's Python library and
Anthropic's pages "Advisor tool", "Compaction" and "Refusals and fallback".
"""

from phoebe_addon.apis.family import (
    AnswerFormat,
    ErrorShape,
    Family,
    Fold,
    Handover,
    RequestFormat,
    at,
    mark,
    usage_at,
)
from phoebe_addon.apis.usage import Counts, Shares

_COUNTS = Counts(
    prompt=("input_tokens",),
    cached=("cache_read_input_tokens",),
    cache_write=("cache_creation_input_tokens",),
    completion=("output_tokens",),
    reasoning=("output_tokens_details.thinking_tokens",),
    cached_beside_prompt=True,
    # LocalAI and mistral.rs send it in streams and never correct it.
    zero_prompt_is_unsaid=True,
    shares=Shares(
        place="iterations",
        model="model",
        kind="type",
        unnamed_kinds=frozenset({"message", "compaction"}),
        sampled_kinds=frozenset({"message", "fallback_message"}),
    ),
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
            handover=Handover(mark("content_block.type", "fallback"), at("content_block.to.model")),
            finish_reasons=(at("delta.stop_reason"), at("stop_reason")),
            ends=(mark("type", "message_stop"),),
            last_words=(mark("type", "content_block_stop"),),
            first_words=(mark("type", "content_block_start"),),
            failures=(mark("type", "error"), mark("error")),
        ),
        errors=ErrorShape.ANTHROPIC,
        generates=True,
    ),
)
