"""The OpenAI embeddings API.

vLLM can answer with raw bytes (`encoding_format: bytes`): usage is then in the header `metadata`, in JSON.
On `/embeddings` TEI, Infinity and LocalAI serve the same API; llama.cpp has one of its own there, without
usage. Sources: the OpenAI API reference; vLLM `entrypoints/pooling`; TEI `router/src/http/server.rs`;
Infinity `infinity_server.py`; LocalAI `core/http/routes/openai.go`; llama.cpp `tools/server`.
"""

from phoebe_addon.apis.families.tei import COMPUTE_TOKENS
from phoebe_addon.apis.family import (
    AnswerFormat,
    Family,
    Fold,
    RequestFormat,
    Streams,
    Unbillable,
    at,
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
BYTES_ONLY = Unbillable(
    "bytes_only",
    "`encoding_format: bytes_only` leaves the token counts out of the answer; use `bytes`",
    place=at("encoding_format"),
    harmful=("bytes_only",),
)
POOLING_REQUEST = RequestFormat(streams=Streams.NEVER, unbillable=(BYTES_ONLY,))
# llama.cpp takes it for `input` and then answers as its own API does.
_CONTENT = Unbillable(
    "llamacpp_embeddings", "the answer to `content` has no token counts; use `input`", place=at("content")
)
_OF_LLAMA_CPP = Unbillable(
    "llamacpp_embeddings",
    "this API of llama.cpp reports no token counts; use /v1/embeddings",
    engines=frozenset({"llama.cpp"}),
)
POOLING_ANSWER = AnswerFormat(
    usage=(usage_at(POOLING_COUNTS, "usage"),),
    fold=Fold.CHOICES,
    failures=(mark("error"),),
    header_usage=COMPUTE_TOKENS,
    header_documents=("metadata",),
)

FAMILIES = (
    Family(
        "openai.embeddings",
        ("POST /v1/embeddings",),
        RequestFormat(streams=Streams.NEVER, unbillable=(BYTES_ONLY, _CONTENT)),
        POOLING_ANSWER,
    ),
    Family(
        "openai.embeddings",
        ("POST /embeddings",),
        RequestFormat(streams=Streams.NEVER, unbillable=(BYTES_ONLY, _CONTENT, _OF_LLAMA_CPP)),
        POOLING_ANSWER,
    ),
)
