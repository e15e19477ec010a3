"""The OpenAI transcription and translation APIs. Requests are forms; what is counted in seconds, no tokens.

A stream of OpenAI's ends with `transcript.text.done`, which has the usage; one of vLLM's consists of chunks
with choices and reports usage if the form's field `stream_include_usage` asks for it.
Sources: the OpenAI API reference; vLLM `entrypoints/speech_to_text`.
"""

from phoebe_addon.apis.family import (
    AnswerFormat,
    Family,
    Fold,
    RequestFormat,
    TakeOut,
    Unbillable,
    UsageSwitch,
    at,
    mark,
    usage_at,
)
from phoebe_addon.apis.usage import Counts

TRANSCRIPTION_COUNTS = Counts(
    prompt=("input_tokens", "prompt_tokens"),
    cached=("input_token_details.cached_tokens", "prompt_tokens_details.cached_tokens"),
    prompt_audio=("input_token_details.audio_tokens", "prompt_tokens_details.audio_tokens"),
    completion=("output_tokens", "completion_tokens"),
)

_VLLM = frozenset({"vLLM", "vLLM-Omni"})
_UNBILLABLE = (
    Unbillable(
        "transcription_format",
        "as text, subtitles or `verbose_json` a transcription has no token counts; use `json`",
        place=at("response_format"),
        harmless=("", "json", "diarized_json"),
    ),
    Unbillable(
        "transcription_seconds",
        "this engine counts the seconds of a transcription, and tokens only if it is streamed",
        engines=_VLLM | {"SGLang"},
        streamed=False,
    ),
)

FAMILIES = (
    Family(
        "openai.transcription",
        ("POST /v1/audio/transcriptions", "POST /v1/audio/translations"),
        RequestFormat(
            form=True,
            unbillable=_UNBILLABLE,
            usage_switches=(
                UsageSwitch("stream_include_usage", None, ("usage",), TakeOut.CHUNK, engines=_VLLM),
                UsageSwitch(
                    "stream_continuous_usage_stats",
                    None,
                    ("usage",),
                    TakeOut.RUNNING,
                    continuous=True,
                    engines=_VLLM,
                ),
            ),
        ),
        AnswerFormat(
            usage=(usage_at(TRANSCRIPTION_COUNTS, "usage"),),
            fold=Fold.CHOICES,
            finish_reasons=(at("choices.*.finish_reason"),),
            ends=(mark("type", "transcript.text.done"),),
            failures=(mark("error"), mark("type", "error")),
        ),
    ),
)
