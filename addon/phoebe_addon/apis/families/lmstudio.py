"""LM Studio's own chat API, version 1. Counts stand in `stats`.

The last event of a stream repeats the whole answer. `model_instance_id` is the name under which LM Studio has
loaded the model. Source: the LM Studio documentation, `developer/rest/chat` and
`developer/rest/streaming-events`.
"""

from phoebe_addon.apis.family import AnswerFormat, Family, Fold, RequestFormat, at, mark, usage_at
from phoebe_addon.apis.usage import Counts

_COUNTS = Counts(
    prompt=("input_tokens",),
    completion=("total_output_tokens",),
    reasoning=("reasoning_output_tokens",),
)

FAMILIES = (
    Family(
        "lmstudio.chat",
        ("POST /api/v1/chat",),
        RequestFormat(),
        AnswerFormat(
            usage=(usage_at(_COUNTS, "result.stats", "stats"),),
            fold=Fold.MERGE,
            models=(at("result.model_instance_id"), at("model_instance_id")),
            ends=(mark("type", "chat.end"),),
            last_words=(mark("type", "message.end"),),
            first_words=(
                mark(
                    "type", "message.start", "reasoning.start", "tool_call.start", "prompt_processing.start"
                ),
            ),
            failures=(mark("type", "error"), mark("error")),
        ),
        generates=True,
    ),
)
