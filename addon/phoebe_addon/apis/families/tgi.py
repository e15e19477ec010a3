"""The own API of Hugging Face's Text Generation Inference.

`/generate` gives counts in headers; its streams only in `details` of the last event, and those only if
`parameters.details` asks for them. No answer names a model. TEI serves its own API on `/` and `/invocations`
too, with its counts in its header. Sources: TGI `router/src/server.rs`, `lib.rs`; TEI `router`.
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
    mark,
    usage_at,
)
from phoebe_addon.apis.usage import Counts

_DETAILS = UsageSwitch("details", "parameters", ("details",), TakeOut.NULL)
_REQUEST = RequestFormat(members=frozenset({"inputs"}), names_model=False, usage_switches=(_DETAILS,))
_ANSWER = AnswerFormat(
    usage=(usage_at(Counts(prompt=("input_length",), completion=("generated_tokens",)), "details"),),
    fold=Fold.LAST,
    models=(),
    finish_reasons=(at("details.finish_reason"),),
    ends=(mark("generated_text"), mark("details")),
    failures=(mark("error"),),
    results=(at(""),),
    header_usage=Counts(prompt=("x-prompt-tokens", "x-compute-tokens"), completion=("x-generated-tokens",)),
)

FAMILIES = (
    # It never streams here, whatever the body says.
    Family(
        "tgi.generate",
        ("POST /generate",),
        replace(_REQUEST, streams=Streams.NEVER),
        _ANSWER,
        errors=ErrorShape.TGI,
    ),
    Family(
        "tgi.generate",
        ("POST /generate_stream",),
        replace(_REQUEST, streams=Streams.ALWAYS),
        _ANSWER,
        errors=ErrorShape.TGI,
    ),
    # Either of the two, as the body says; answers of the first kind come in an array.
    Family("tgi.generate", ("POST /",), _REQUEST, _ANSWER, errors=ErrorShape.TGI),
    Family("sagemaker.invocations", ("POST /invocations",), _REQUEST, _ANSWER, errors=ErrorShape.TGI),
)
