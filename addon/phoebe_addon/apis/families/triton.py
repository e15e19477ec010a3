"""Triton's generate extension. Counts come only if the request asks for them, as members of every answer.

What asks for them may stand at the top of the request or inside `parameters`.

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


def _switch(member: str, answer_member: str) -> UsageSwitch:
    # The same input beside `parameters` and inside of them is an error.
    return UsageSwitch(
        member, None, (answer_member,), TakeOut.MEMBER, streams_only=False, elsewhere="parameters"
    )


_COUNTS = Counts(prompt=("num_input_tokens",), completion=("num_output_tokens",))
_REQUEST = RequestFormat(
    streams=Streams.NEVER,
    model_in_path=True,
    usage_switches=(
        _switch("return_num_input_tokens", "num_input_tokens"),
        _switch("return_num_output_tokens", "num_output_tokens"),
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
