"""Reranking in the shapes of Jina and Cohere, which vLLM, SGLang, llama.cpp and others serve.

Jina may give `total_tokens` alone; Cohere gives floats, or search units and no tokens; SGLang a bare array
with `meta_info` on each document; TEI one without, and counts in a header. Sources: the Jina and Cohere API
references; vLLM `entrypoints/pooling`; SGLang `serving_rerank.py`; llama.cpp `tools/server`; TEI `router`.
"""

from phoebe_addon.apis.families.openai_embeddings import BYTES_ONLY, POOLING_COUNTS
from phoebe_addon.apis.families.sglang import META_INFO
from phoebe_addon.apis.families.tei import COMPUTE_TOKENS
from phoebe_addon.apis.family import (
    AnswerFormat,
    ErrorShape,
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

_COHERE_COUNTS = Counts(prompt=("input_tokens",), completion=("output_tokens",))
_TEXTS = Unbillable(
    "rerank_texts",
    "only TEI counts the tokens of `texts`, and this resource is not declared as one; use `documents`",
    place=at("texts"),
    sparing=frozenset({"TEI"}),
)
# The counts stand on each document, and those of the documents that are cut off are gone.
_TOP_N = Unbillable(
    "sglang_top_n",
    "SGLang leaves out the token counts of documents beyond `top_n`; cut the list yourself",
    place=at("top_n"),
    engines=frozenset({"SGLang"}),
)
_SEARCHES = Unbillable(
    "cohere_searches",
    "Cohere counts searches here, and no tokens",
    engines=frozenset({"Cohere"}),
)
_REQUEST = RequestFormat(streams=Streams.NEVER, unbillable=(BYTES_ONLY, _TEXTS, _TOP_N, _SEARCHES))
_ANSWER = AnswerFormat(
    usage=(
        usage_at(POOLING_COUNTS, "usage"),
        usage_at(_COHERE_COUNTS, "meta.billed_units", "meta.tokens"),
        META_INFO,
    ),
    fold=Fold.LAST,
    failures=(mark("error"),),
    results=(at(""),),
    header_usage=COMPUTE_TOKENS,
)

FAMILIES = (
    Family(
        "jina.rerank",
        ("POST /rerank", "POST /v1/rerank", "POST /reranking", "POST /v1/reranking"),
        _REQUEST,
        _ANSWER,
    ),
    Family("cohere.rerank", ("POST /v2/rerank",), _REQUEST, _ANSWER, errors=ErrorShape.COHERE),
)
