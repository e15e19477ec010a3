"""The OpenAI embeddings API.

vLLM can answer with raw bytes (`encoding_format: bytes`): usage is then in the header `metadata`, in JSON.
Sources: the OpenAI API reference; vLLM `entrypoints/pooling`.
"""

from phoebe_addon.apis.family import (
    AnswerFormat,
    Family,
    Fold,
    RequestFormat,
    Streams,
    Unbillable,
    mark,
    usage_at,
)
from phoebe_addon.apis.usage import Counts

POOLING_COUNTS = Counts(
    prompt=("prompt_tokens", "total_tokens"),
    cached=("prompt_tokens_details.cached_tokens",),
    completion=("completion_tokens",),
    reasoning=("reasoning_tokens",),  # SGLang
)
POOLING_REQUEST = RequestFormat(streams=Streams.NEVER)
POOLING_ANSWER = AnswerFormat(
    usage=(usage_at(POOLING_COUNTS, "usage"),),
    fold=Fold.CHOICES,
    failures=(mark("error"),),
    header_documents=("metadata",),
)

FAMILIES = (
    Family(
        "openai.embeddings",
        ("POST /v1/embeddings",),
        RequestFormat(
            streams=Streams.NEVER,
            # llama.cpp takes it for `input` and then answers as its own API does.
            unbillable=(Unbillable("content", "its answer has no token counts; use `input`"),),
        ),
        POOLING_ANSWER,
    ),
)
