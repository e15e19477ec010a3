"""SGLang's own API, which LMDeploy serves as well. Every answer has `meta_info` with running counts.

No answer names a model. Several prompts, or several samples of one, are answered with an array, or with
events told apart by `index`. Sources: SGLang `srt/entrypoints/http_server.py`,
`srt/managers/tokenizer_manager.py`; LMDeploy `serve/openai/endpoints/generate.py`.
"""

from dataclasses import replace

from phoebe_addon.apis.family import AnswerFormat, Family, Fold, RequestFormat, Streams, at, mark, usage_at
from phoebe_addon.apis.usage import Counts

_COUNTS = Counts(
    prompt=("prompt_tokens",),
    cached=("cached_tokens",),
    completion=("completion_tokens",),
    reasoning=("reasoning_tokens",),
)
META_INFO = replace(usage_at(_COUNTS, "meta_info"), members=_COUNTS.names())

_ANSWER = AnswerFormat(
    usage=(META_INFO,),
    fold=Fold.LAST,
    models=(),
    finish_reasons=(at("meta_info.finish_reason.type"), at("meta_info.finish_reason")),
    failures=(mark("error"),),
    results=(at(""), at("predictions")),
)

FAMILIES = (
    Family(
        "sglang.generate",
        ("POST /generate", "PUT /generate", "POST /vertex_generate"),
        RequestFormat(
            names_model=False,
            members=frozenset({"text", "input_ids", "input_embeds", "prompt", "instances"}),
            prompts=("text", "input_ids", "instances"),
            samples=(at("sampling_params.n"),),
        ),
        _ANSWER,
    ),
    Family(
        "sglang.encode",
        ("POST /encode", "PUT /encode"),
        RequestFormat(streams=Streams.NEVER, names_model=False, prompts=("text", "input_ids")),
        _ANSWER,
    ),
)
