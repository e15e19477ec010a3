"""The OpenAI chat completions and completions APIs, as OpenAI and nearly every engine speak them.

Sources: the OpenAI API reference; vLLM `entrypoints/openai`; SGLang `srt/entrypoints/openai`; TGI `router`;
llama.cpp `tools/server`; TensorRT-LLM `serve`; Dynamo `lib/llm`.
"""

from dataclasses import replace

from phoebe_addon.apis.families.openai_embeddings import BYTES_ONLY
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

OPENAI_COUNTS = Counts(
    prompt=("prompt_tokens",),
    # Moonshot and DeepSeek give it at the top.
    cached=("prompt_tokens_details.cached_tokens", "cached_tokens", "prompt_cache_hit_tokens"),
    # vLLM calls them created.
    cache_write=("prompt_tokens_details.cache_write_tokens", "prompt_tokens_details.created_cache_tokens"),
    prompt_audio=("prompt_tokens_details.audio_tokens",),
    completion=("completion_tokens",),
    # SGLang gives it also at the top.
    reasoning=("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    completion_audio=("completion_tokens_details.audio_tokens",),
)

# llama.cpp: `prompt_n` leaves out what came from the cache.
TIMINGS = usage_at(
    Counts(prompt=("prompt_n",), cached=("cache_n",), completion=("predicted_n",), cached_beside_prompt=True),
    "timings",
)

CHOICES_ANSWER = AnswerFormat(
    usage=(
        usage_at(OPENAI_COUNTS, "usage", "choices.0.usage", "x_groq.usage"),  # the latter: Moonshot, Groq
        TIMINGS,
    ),
    fold=Fold.CHOICES,
    finish_reasons=(at("choices.*.finish_reason"),),
    failures=(mark("error"),),
)

# Streams of the OpenAI APIs report usage only if they are asked to, and then on a chunk of its own.
STREAM_USAGE = UsageSwitch("include_usage", "stream_options", ("usage",), TakeOut.CHUNK)
# vLLM, SGLang and others then report it on every chunk, which is exact also when the client goes away.
CONTINUOUS_USAGE = UsageSwitch(
    "continuous_usage_stats", "stream_options", ("usage",), TakeOut.RUNNING, continuous=True
)

_FIRST_RESULT = Unbillable(
    "llamacpp_several",
    "llama.cpp reports the token counts of the first of several results alone; ask for a stream, or for each",
    engines=frozenset({"llama.cpp"}),
    streamed=False,
    several=True,
)
CHOICES_REQUEST = RequestFormat(
    usage_switches=(STREAM_USAGE, CONTINUOUS_USAGE),
    prompts=("prompt",),
    more_prompts=("prompt_embeds",),  # vLLM
    samples=(at("n"),),
    unbillable=(_FIRST_RESULT,),
)

FAMILIES = (
    Family(
        "openai.chat",
        (
            "POST /v1/chat/completions",
            "POST /v1/chat/completions/batch",  # vLLM
        ),
        CHOICES_REQUEST,
        CHOICES_ANSWER,
        generates=True,
    ),
    Family(
        "openai.completions",
        ("POST /v1/completions",),
        CHOICES_REQUEST,
        CHOICES_ANSWER,
        generates=True,
    ),
    # One path for several APIs, told apart by the body: Amazon SageMaker's, as vLLM and SGLang serve it.
    Family(
        "sagemaker.invocations",
        ("POST /invocations",),
        replace(
            CHOICES_REQUEST,
            members=frozenset({"messages", "prompt", "prompt_embeds", "input"}),
            unbillable=(BYTES_ONLY,),
        ),
        CHOICES_ANSWER,
    ),
    # vLLM's tokens in, tokens out.
    Family(
        "vllm.generate",
        ("POST /inference/v1/generate",),
        CHOICES_REQUEST,
        CHOICES_ANSWER,
        generates=True,
    ),
)
