"""Triton's generate extension. Counts come only if the request asks for them, as members of every answer.

In a stream each answer counts only its own output tokens; the number of input tokens is repeated. The model
is in the path. Sources: Triton server `docs/protocol/extension_generate.md`; its vLLM backend
`additional_outputs.md`.
"""

from dataclasses import replace

from phoebe_addon.apis.family import (
    AnswerFormat,
    ErrorShape,
    Family,
    Fold,
    RequestFormat,
    Streams,
    TakeOut,
    UsageSwitch,
    at,
    counts_among,
    mark,
)
from phoebe_addon.apis.usage import Counts

_COUNTS = Counts(prompt=("num_input_tokens",), completion=("num_output_tokens",))
_REQUEST = RequestFormat(
    streams=Streams.NEVER,
    model_in_path=True,
    usage_switches=(
        UsageSwitch(
            "return_num_input_tokens", None, ("num_input_tokens",), TakeOut.MEMBER, streams_only=False
        ),
        UsageSwitch(
            "return_num_output_tokens", None, ("num_output_tokens",), TakeOut.MEMBER, streams_only=False
        ),
    ),
)
_ANSWER = AnswerFormat(
    usage=(counts_among(_COUNTS, "", added=("completion",)),),
    fold=Fold.MERGE,
    models=(at("model_name"),),
    finish_reasons=(at("finish_reason"),),
    ends_with_body=True,
    failures=(mark("error"),),
)

FAMILIES = (
    Family(
        "triton.generate",
        ("POST /v2/models/{model}/generate", "POST /v2/models/{model}/versions/{version}/generate"),
        _REQUEST,
        _ANSWER,
        errors=ErrorShape.TEXT,
    ),
    Family(
        "triton.generate",
        (
            "POST /v2/models/{model}/generate_stream",
            "POST /v2/models/{model}/versions/{version}/generate_stream",
        ),
        replace(_REQUEST, streams=Streams.ALWAYS),
        _ANSWER,
        errors=ErrorShape.TEXT,
    ),
)
