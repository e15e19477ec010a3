"""The OpenAI images API. Answers name no model. Source: the OpenAI API reference."""

from phoebe_addon.apis.family import AnswerFormat, Family, Fold, RequestFormat, mark, usage_at
from phoebe_addon.apis.usage import Counts

_COUNTS = Counts(
    prompt=("input_tokens",),
    cached=("input_tokens_details.cached_tokens",),
    completion=("output_tokens",),
    reasoning=("output_tokens_details.reasoning_tokens",),
)
_ANSWER = AnswerFormat(
    usage=(usage_at(_COUNTS, "usage"),),
    fold=Fold.MERGE,
    ends=(mark("type", "image_generation.completed", "image_edit.completed"),),
    failures=(mark("error"), mark("type", "error")),
)

FAMILIES = (
    Family("openai.images", ("POST /v1/images/generations",), RequestFormat(), _ANSWER),
    Family(
        "openai.images",
        ("POST /v1/images/edits", "POST /v1/images/variations"),
        RequestFormat(form=True),
        _ANSWER,
    ),
)
