"""Reranking in the shapes of Jina and Cohere, which vLLM, SGLang, llama.cpp and others serve.

Jina may give `total_tokens` alone; Cohere gives floats, or search units and no tokens; SGLang a bare array
with `meta_info` on each document. Sources: the Jina and Cohere API references; vLLM `entrypoints/pooling`;
SGLang `serving_rerank.py`; llama.cpp `tools/server`.
"""

from phoebe_addon.apis.families.openai_embeddings import POOLING_COUNTS, POOLING_REQUEST
from phoebe_addon.apis.families.sglang import META_INFO
from phoebe_addon.apis.family import AnswerFormat, ErrorShape, Family, Fold, at, mark, usage_at
from phoebe_addon.apis.usage import Counts

_COHERE_COUNTS = Counts(prompt=("input_tokens",), completion=("output_tokens",))
_ANSWER = AnswerFormat(
    usage=(
        usage_at(POOLING_COUNTS, "usage"),
        usage_at(_COHERE_COUNTS, "meta.billed_units", "meta.tokens"),
        META_INFO,
    ),
    fold=Fold.LAST,
    failures=(mark("error"),),
    results=(at(""),),
)

FAMILIES = (
    Family(
        "jina.rerank",
        ("POST /rerank", "POST /v1/rerank", "POST /reranking", "POST /v1/reranking"),
        POOLING_REQUEST,
        _ANSWER,
    ),
    Family("cohere.rerank", ("POST /v2/rerank",), POOLING_REQUEST, _ANSWER, errors=ErrorShape.COHERE),
)
