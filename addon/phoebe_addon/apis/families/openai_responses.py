"""The OpenAI Responses API, as OpenAI, vLLM, SGLang, llama.cpp, Ollama and Dynamo speak it.

Usage is null until the terminal event; there is no `[DONE]`. Sources: the OpenAI API reference; vLLM
`entrypoints/openai/responses`; SGLang `serving_responses.py`; Ollama `openai/responses.go`.
"""

from phoebe_addon.apis.family import (
    AnswerFormat,
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

RESPONSES_COUNTS = Counts(
    prompt=("input_tokens",),
    cached=("input_tokens_details.cached_tokens",),
    cache_write=("input_tokens_details.cache_write_tokens",),
    prompt_audio=("input_tokens_details.audio_tokens",),
    completion=("output_tokens",),
    reasoning=("output_tokens_details.reasoning_tokens",),
    completion_audio=("output_tokens_details.audio_tokens",),
)

# Of the model that makes images for the answering one. Its name is not in the answer.
_IMAGE_COUNTS = Counts(prompt=("input_tokens",), cached=("cached_tokens",), completion=("output_tokens",))

FAMILIES = (
    Family(
        "openai.responses",
        ("POST /v1/responses",),
        RequestFormat(
            unbillable=(
                Unbillable(
                    "background",
                    "a response in the `background` reports its usage only when it is fetched",
                    place=at("background"),
                    harmless=(False,),
                ),
                # llama.cpp takes it, and then answers in a shape the API does not have.
                Unbillable("responses_n", "a response has one answer", place=at("n"), harmless=(1,)),
            ),
        ),
        AnswerFormat(
            usage=(usage_at(RESPONSES_COUNTS, "response.usage", "usage"),),
            fold=Fold.MERGE,
            models=(at("response.model"), at("model")),
            finish_reasons=(
                at("response.incomplete_details.reason"),
                at("response.status"),
                at("incomplete_details.reason"),
                at("status"),
            ),
            finish_reason_at_end=True,
            ends=(
                mark("type", "response.completed", "response.incomplete", "response.cancelled"),
                mark("status", "completed", "incomplete", "cancelled"),
            ),
            last_words=(
                mark(
                    "type",
                    "response.output_text.done",
                    "response.refusal.done",
                    "response.function_call_arguments.done",
                    "response.custom_tool_call_input.done",
                    "response.mcp_call_arguments.done",
                ),
            ),
            first_words=(mark("type", "response.output_item.added", "response.content_part.added"),),
            failures=(
                mark("type", "error", "response.failed"),
                mark("response.error"),
                mark("error"),
                mark("status", "failed"),
            ),
            unnamed_usage=(usage_at(_IMAGE_COUNTS, "response.tool_usage.image_gen", "tool_usage.image_gen"),),
        ),
        generates=True,
    ),
    # It makes a conversation shorter, at the price of a response, and is answered with one document.
    Family(
        "openai.responses",
        ("POST /v1/responses/compact",),
        RequestFormat(streams=Streams.NEVER),
        AnswerFormat(usage=(usage_at(RESPONSES_COUNTS, "usage"),), fold=Fold.LAST, failures=(mark("error"),)),
    ),
)
