"""The OpenAI speech API. Answers are audio and name no model.

With `stream_format: sse` the audio comes in events, of which the last has the usage. Audio alone has none,
but for two servers that give it in headers when they do not stream: vLLM-Omni, and older versions of
SGLang-Omni. Sources: the OpenAI API reference; vLLM-Omni pull request 4499; SGLang-Omni issue 174.
"""

from dataclasses import replace

from phoebe_addon.apis.families.openai_responses import RESPONSES_COUNTS
from phoebe_addon.apis.family import AnswerFormat, Family, Fold, RequestFormat, Unbillable, at, mark, usage_at
from phoebe_addon.apis.usage import Counts

_HEADER_COUNTS = Counts(
    prompt=("x-vllm-omni-num-tokens-in", "x-prompt-tokens"),
    completion=("x-vllm-omni-num-tokens-out", "x-completion-tokens"),
)
_IN_HEADERS = frozenset({"vLLM-Omni", "vLLM", "SGLang-Omni"})
_AUDIO = Unbillable(
    "speech_audio",
    "audio alone has no token counts; set `stream_format` to sse",
    place=at("stream_format"),
    harmless=("sse",),
    missing=True,
    sparing=_IN_HEADERS,
)
_UNBILLABLE = (_AUDIO, replace(_AUDIO, sparing=frozenset(), engines=_IN_HEADERS, streamed=True))

FAMILIES = (
    Family(
        "openai.speech",
        ("POST /v1/audio/speech",),
        RequestFormat(unbillable=_UNBILLABLE),
        AnswerFormat(
            usage=(usage_at(RESPONSES_COUNTS, "usage"),),
            fold=Fold.MERGE,
            ends=(mark("type", "speech.audio.done"),),
            failures=(mark("type", "error"), mark("error")),
            header_usage=_HEADER_COUNTS,
        ),
    ),
)
