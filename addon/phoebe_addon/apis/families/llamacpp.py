"""llama.cpp's own completion API. The object with `stop: true` is the last; every one has running counts.

`tokens_cached` is what the slot holds, not what came from the cache; that is `timings.cache_n`. Several
prompts are answered with an array, or with events told apart by `index`.
Source: llama.cpp `tools/server/server-context.cpp`.
"""

from dataclasses import replace

from phoebe_addon.apis.families.openai_chat import TIMINGS
from phoebe_addon.apis.family import (
    AnswerFormat,
    Family,
    Fold,
    RequestFormat,
    Unbillable,
    at,
    counts_among,
    mark,
)
from phoebe_addon.apis.usage import Counts

_COUNTS = Counts(prompt=("tokens_evaluated",), completion=("tokens_predicted",))

FAMILIES = (
    Family(
        "llamacpp.completion",
        ("POST /completion", "POST /completions", "POST /infill"),
        RequestFormat(
            names_model=False,
            prompts=("prompt",),
            samples=(at("n_cmpl"), at("n")),
            unbillable=(
                Unbillable(
                    "response_fields",
                    "`response_fields` can leave the token counts out of the answer",
                    place=at("response_fields"),
                ),
            ),
        ),
        AnswerFormat(
            usage=(
                replace(
                    counts_among(_COUNTS, ""), members=("tokens_evaluated", "tokens_predicted", "timings")
                ),
                TIMINGS,
            ),
            fold=Fold.LAST,
            finish_reasons=(at("stop_type"),),
            ends=(mark("stop", True),),
            failures=(mark("error"),),
            results=(at(""),),
        ),
    ),
)
