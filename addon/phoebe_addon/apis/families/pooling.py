"""Scoring, classification and pooling as vLLM, SGLang, Infinity and LMDeploy serve them.

Usage is that of the OpenAI embeddings API. Generative scoring is vLLM's alone.

SGLang's own `/classify` answers with `meta_info` instead. Sources: vLLM `entrypoints/pooling`; SGLang
`srt/entrypoints/http_server.py`.
"""

from dataclasses import replace

from phoebe_addon.apis.families.openai_embeddings import POOLING_ANSWER, POOLING_REQUEST
from phoebe_addon.apis.families.sglang import META_INFO
from phoebe_addon.apis.family import Family, Fold, at

_ANSWER = replace(POOLING_ANSWER, usage=(*POOLING_ANSWER.usage, META_INFO), fold=Fold.LAST, results=(at(""),))

FAMILIES = (
    Family("vllm.score", ("POST /score", "POST /v1/score"), POOLING_REQUEST, _ANSWER),
    Family("vllm.classify", ("POST /classify", "POST /v1/classify"), POOLING_REQUEST, _ANSWER),
    Family("vllm.pooling", ("POST /pooling", "POST /v1/pooling"), POOLING_REQUEST, _ANSWER),
    Family("vllm.scoring", ("POST /generative_scoring",), POOLING_REQUEST, POOLING_ANSWER),
)
