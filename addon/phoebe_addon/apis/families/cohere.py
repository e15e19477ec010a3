"""The Cohere chat and embed APIs, version 2, as Cohere and vLLM serve them. Counts are floats.

`billed_units` and `tokens` tell the same twice. Sources: the Cohere API reference; vLLM `entrypoints/cohere`.
"""

from phoebe_addon.apis.family import (
    AnswerFormat,
    ErrorShape,
    Family,
    Fold,
    RequestFormat,
    Streams,
    at,
    mark,
    usage_at,
)
from phoebe_addon.apis.usage import Counts

_CHAT_COUNTS = Counts(
    prompt=("billed_units.input_tokens", "tokens.input_tokens"),
    cached=("cached_tokens",),
    completion=("billed_units.output_tokens", "tokens.output_tokens"),
)
_EMBED_COUNTS = Counts(prompt=("input_tokens",), prompt_besides=("image_tokens",))

FAMILIES = (
    Family(
        "cohere.chat",
        ("POST /v2/chat", "POST /cohere/v2/chat"),
        RequestFormat(),
        AnswerFormat(
            usage=(usage_at(_CHAT_COUNTS, "delta.usage", "usage"),),
            fold=Fold.MERGE,
            finish_reasons=(at("delta.finish_reason"), at("finish_reason")),
            ends=(mark("type", "message-end"),),
            last_words=(mark("type", "content-end", "tool-call-end"),),
            first_words=(mark("type", "content-start", "tool-call-start"),),
            failures=(mark("error"), mark("delta.error"), mark("delta.finish_reason", "ERROR")),
        ),
        errors=ErrorShape.COHERE,
        generates=True,
    ),
    Family(
        "cohere.embed",
        ("POST /v2/embed",),
        RequestFormat(streams=Streams.NEVER),
        AnswerFormat(
            usage=(usage_at(_EMBED_COUNTS, "meta.billed_units", "meta.tokens"),),
            fold=Fold.MERGE,
            failures=(mark("error"),),
        ),
        errors=ErrorShape.COHERE,
    ),
)
