"""Streams of the OpenAI completions APIs as each engine writes them, with usage asked for and without.

Written after the engines' sources and shortened. What differs beyond the usage chunk: OpenAI has a null usage
on every chunk once it is asked for; Ollama has zeros there in completions; llama.cpp puts its timings on
whichever chunk is the last.
"""

import json
from dataclasses import dataclass

from tests.harness.both_ways import Metered
from tests.harness.engine import LAST_CHUNK, EngineRequest, Line, Script

CHAT = "openai.chat"
COMPLETIONS = "openai.completions"
DONE = b"data: [DONE]\n\n"
UTF8 = "text/event-stream; charset=utf-8"
"""What Starlette makes of the media type; servers in Rust, Go and C++ leave the charset out."""
PLAIN = "text/event-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How an engine streams one answer.

    engine: its resource. unasked: the events if the request does not ask for usage; asked: if it does.
    text: what the client makes of it. prompt: what the client asks to complete, one prompt or several.
    """

    engine: str
    unasked: tuple[bytes, ...]
    asked: tuple[bytes, ...]
    text: str
    metered: Metered
    content_type: str = PLAIN
    prompt: str | list[str] = "Say hello"

    def script(self) -> Script:
        """Answer as the engine does, by what the request asks for."""

        def answer(request: EngineRequest, line: Line) -> None:
            options = json.loads(request.body).get("stream_options") or {}
            line.send_stream_head(content_type=self.content_type)
            for event in self.asked if options.get("include_usage") else self.unasked:
                line.send_chunk(event)
            line.send(LAST_CHUNK)

        return answer


def data(text: str) -> bytes:
    """Make an event."""
    return f"data: {text}\n\n".encode()


def chat_metered(model: str, prompt: int, completion: int, **more: object) -> Metered:
    """Make what is expected of a chat."""
    counts = {"prompt": prompt, "completion": completion}
    facts = {"finish_reason": "stop", "streamed": True, **counts, **more}
    return Metered(api=CHAT, model=model, **facts)  # type: ignore[arg-type]


def text_metered(model: str, prompt: int, completion: int, **more: object) -> Metered:
    """Make what is expected of a completion."""
    counts = {"prompt": prompt, "completion": completion}
    facts = {"finish_reason": "stop", "streamed": True, **counts, **more}
    return Metered(api=COMPLETIONS, model=model, **facts)  # type: ignore[arg-type]


def vllm_chunk(members: str) -> bytes:
    """Make a chunk of vLLM's."""
    return data(
        '{"id":"chatcmpl-8f1c","object":"chat.completion.chunk","created":1763600000,'
        f'"model":"served/llama",{members}}}'
    )


VLLM_TEXT = (
    vllm_chunk(
        '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,'
        '"finish_reason":null}],"prompt_token_ids":null'
    ),
    b": keep-alive\n\n",
    vllm_chunk(
        '"choices":[{"index":0,"delta":{"content":"Grüße"},"logprobs":null,"finish_reason":null,'
        '"token_ids":null}]'
    ),
    vllm_chunk(
        '"choices":[{"index":0,"delta":{"content":" 🦙"},"logprobs":null,"finish_reason":"stop",'
        '"stop_reason":null,"token_ids":null}]'
    ),
)
VLLM_USAGE = vllm_chunk(
    '"choices":[],"usage":{"prompt_tokens":48,"total_tokens":51,"completion_tokens":3,'
    '"prompt_tokens_details":{"cached_tokens":32}}'
)
VLLM = Dialect(
    engine="vllm",
    unasked=(*VLLM_TEXT, DONE),
    asked=(*VLLM_TEXT, VLLM_USAGE, DONE),
    text="Grüße 🦙",
    metered=chat_metered("served/llama", 48, 3, cached=32),
    content_type=UTF8,
)


def openai_chunk(choices: str, usage: str, padding: str) -> bytes:
    """Make a chunk of OpenAI's. usage: empty if it was not asked for."""
    return data(
        '{"id":"chatcmpl-CVFj","object":"chat.completion.chunk","created":1763600000,'
        '"model":"gpt-5.1-2026-01-13","service_tier":"default","system_fingerprint":null,'
        f'"choices":{choices}{usage},"obfuscation":"{padding}"}}'
    )


def openai_text(usage: str) -> tuple[bytes, ...]:
    """Make the chunks with text."""
    return (
        openai_chunk(
            '[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,'
            '"finish_reason":null}]',
            usage,
            "kSx18",
        ),
        openai_chunk(
            '[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}]', usage, "GpQ"
        ),
        openai_chunk('[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]', usage, "p"),
    )


OPENAI = Dialect(
    engine="openai",
    unasked=(*openai_text(""), DONE),
    asked=(
        *openai_text(',"usage":null'),
        openai_chunk(
            "[]",
            ',"usage":{"prompt_tokens":9,"completion_tokens":40,"total_tokens":49,"prompt_tokens_details":'
            '{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":38,'
            '"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}',
            "",
        ),
        DONE,
    ),
    text="Hi",
    metered=chat_metered(
        "gpt-5.1-2026-01-13", 9, 40, cached=0, reasoning=38, prompt_audio=0, completion_audio=0
    ),
    content_type=UTF8,
)


def sglang_chunk(members: str) -> bytes:
    """Make a chunk of SGLang's."""
    return data(
        f'{{"id":"4c1f","object":"chat.completion.chunk","created":1763600000,"model":"m",{members}}}'
    )


SGLANG_TEXT = (
    sglang_chunk(
        '"choices":[{"index":0,"delta":{"role":"assistant","content":"","reasoning_content":null,'
        '"tool_calls":null},"logprobs":null,"finish_reason":null,"matched_stop":null}],"usage":null'
    ),
    sglang_chunk('"choices":[{"index":0,"delta":{"content":"Grü"},"finish_reason":null}]'),
    sglang_chunk('"choices":[{"index":0,"delta":{"content":"ße"},"finish_reason":null}]'),
    sglang_chunk('"choices":[{"index":0,"delta":{},"finish_reason":"stop","matched_stop":128009}]'),
)
SGLANG_USAGE = sglang_chunk(
    '"choices":[],"usage":{"prompt_tokens":44,"total_tokens":60,"completion_tokens":16,'
    '"prompt_tokens_details":{"cached_tokens":43},"reasoning_tokens":7}'
)
SGLANG_METERED = chat_metered("m", 44, 16, cached=43, reasoning=7, untrusted=True)
SGLANG = Dialect(
    engine="sglang",
    unasked=(*SGLANG_TEXT, DONE),
    asked=(*SGLANG_TEXT, SGLANG_USAGE, DONE),
    text="Grüße",
    metered=SGLANG_METERED,
    content_type=UTF8,
)
# Clients get these chunks only if they ask for what is in them, and then without choices.
SGLANG_EXTENSIONS = (
    sglang_chunk('"choices":[],"usage":null,"sglext":{"routed_experts":"AAEC"}'),
    b"event: sglext_ids\n" + sglang_chunk('"choices":[],"sglext":{"input_ids":[1,2],"output_ids":[3]}'),
)
SGLANG_EXTENDED = Dialect(
    engine="sglang",
    unasked=(*SGLANG_TEXT, *SGLANG_EXTENSIONS, DONE),
    asked=(*SGLANG_TEXT, *SGLANG_EXTENSIONS, SGLANG_USAGE, DONE),
    text="Grüße",
    metered=SGLANG_METERED,
    content_type=UTF8,
)


def llamacpp_chunk(choices: str, more: str = "") -> bytes:
    """Make a chunk of llama.cpp's."""
    return data(
        f'{{"choices":{choices},"created":1763600000,"id":"chatcmpl-Lx2","model":"qwen3-4b",'
        f'"system_fingerprint":"b7100-00efb3e","object":"chat.completion.chunk"{more}}}'
    )


LLAMACPP_TEXT = (
    llamacpp_chunk('[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}]'),
    llamacpp_chunk('[{"finish_reason":null,"index":0,"delta":{"content":"Hé"}}]'),
)
LLAMACPP_END = '[{"finish_reason":"length","index":0,"delta":{}}]'
LLAMACPP_TIMINGS = (
    ',"timings":{"cache_n":80,"prompt_n":10,"prompt_ms":30.1,"prompt_per_token_ms":3.0,'
    '"prompt_per_second":332.2,"predicted_n":5,"predicted_ms":75.5,"predicted_per_token_ms":15.1,'
    '"predicted_per_second":66.2}'
)
LLAMACPP = Dialect(
    engine="llama.cpp",
    unasked=(*LLAMACPP_TEXT, llamacpp_chunk(LLAMACPP_END, LLAMACPP_TIMINGS), DONE),
    asked=(
        *LLAMACPP_TEXT,
        llamacpp_chunk(LLAMACPP_END),
        llamacpp_chunk(
            "[]",
            ',"usage":{"completion_tokens":5,"prompt_tokens":90,"total_tokens":95,'
            '"prompt_tokens_details":{"cached_tokens":80}}' + LLAMACPP_TIMINGS,
        ),
        DONE,
    ),
    text="Hé",
    metered=chat_metered("qwen3-4b", 90, 5, cached=80, finish_reason="length"),
)


def tgi_chunk(members: str) -> bytes:
    """Make a chunk of TGI's: no space behind the colon in its second version."""
    return (
        'data:{"object":"chat.completion.chunk","id":"","created":1763600000,"model":"org/mistral",'
        f'"system_fingerprint":"2.4.1-native",{members}}}\n\n'
    ).encode()


TGI_TEXT = (
    tgi_chunk(
        '"choices":[{"index":0,"delta":{"role":"assistant","content":"Grüße"},"logprobs":null,'
        '"finish_reason":null}],"usage":null'
    ),
    b":\n\n",
    tgi_chunk(
        '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,'
        '"finish_reason":"stop"}],"usage":null'
    ),
)
TGI = Dialect(
    engine="tgi",
    unasked=(*TGI_TEXT, b"data:[DONE]\n\n"),
    asked=(
        *TGI_TEXT,
        tgi_chunk('"choices":[],"usage":{"prompt_tokens":37,"completion_tokens":20,"total_tokens":57}'),
        b"data:[DONE]\n\n",
    ),
    text="Grüße",
    metered=chat_metered("org/mistral", 37, 20, untrusted=True),
)


def ollama_chunk(choices: str, more: str = "") -> bytes:
    """Make a chunk of Ollama's."""
    return data(
        '{"id":"chatcmpl-677","object":"chat.completion.chunk","created":1763600000,"model":"llama3.2",'
        f'"system_fingerprint":"fp_ollama","choices":{choices}{more}}}'
    )


OLLAMA_TEXT = (
    ollama_chunk('[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]'),
    ollama_chunk('[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]'),
)
OLLAMA = Dialect(
    engine="ollama",
    unasked=(*OLLAMA_TEXT, DONE),
    asked=(
        *OLLAMA_TEXT,
        ollama_chunk("[]", ',"usage":{"prompt_tokens":26,"completion_tokens":2,"total_tokens":28}'),
        DONE,
    ),
    text="Hi",
    metered=chat_metered("llama3.2", 26, 2, untrusted=True),
)


def trt_chunk(members: str, end: str = "") -> bytes:
    """Make a chunk of TensorRT-LLM's. end: what stands before the blank line."""
    return data(
        '{"id":"chatcmpl-t","object":"chat.completion.chunk","created":1763600000,"model":"m",'
        f"{members}}}{end}"
    )


TRT_TEXT = (
    # Its first event ends in a space.
    trt_chunk(
        '"choices":[{"index":0,"delta":{"role":"assistant","content":"","tool_calls":[]},'
        '"finish_reason":null}]',
        end=" ",
    ),
    trt_chunk('"choices":[{"index":0,"delta":{"content":"é"},"finish_reason":"stop","stop_reason":null}]'),
)
TENSORRT_LLM = Dialect(
    engine="tensorrt-llm",
    unasked=(*TRT_TEXT, DONE),
    asked=(
        *TRT_TEXT,
        trt_chunk(
            '"choices":[],"usage":{"prompt_tokens":33,"total_tokens":34,"completion_tokens":1,'
            '"prompt_tokens_details":{"cached_tokens":32}}'
        ),
        DONE,
    ),
    text="é",
    metered=chat_metered("m", 33, 1, cached=32, untrusted=True),
    content_type=UTF8,
)


def dynamo_chunk(choices: str, usage: str) -> bytes:
    """Make a chunk of Dynamo's."""
    return data(
        f'{{"id":"chatcmpl-d","choices":{choices},"created":1763600000,"model":"served/llama",'
        f'"object":"chat.completion.chunk","usage":{usage}}}'
    )


DYNAMO_TEXT = (
    b": keep-alive\n\n",
    dynamo_chunk(
        '[{"index":0,"delta":{"role":"assistant","content":"b"},"finish_reason":null,"logprobs":null}]',
        "null",
    ),
    dynamo_chunk('[{"index":0,"delta":{},"finish_reason":"stop","logprobs":null}]', "null"),
)
DYNAMO = Dialect(
    engine="dynamo",
    unasked=(*DYNAMO_TEXT, DONE),
    asked=(
        *DYNAMO_TEXT,
        dynamo_chunk(
            "[]",
            '{"prompt_tokens":13,"completion_tokens":2,"total_tokens":15,"prompt_tokens_details":'
            '{"audio_tokens":null,"cached_tokens":12},"completion_tokens_details":null}',
        ),
        DONE,
    ),
    text="b",
    metered=chat_metered("served/llama", 13, 2, cached=12),
)

CHATS = (VLLM, OPENAI, SGLANG, LLAMACPP, TGI, OLLAMA, TENSORRT_LLM, DYNAMO)


def text_chunk(choices: str, model: str = "served/llama", more: str = "", id_: str = "cmpl-1") -> bytes:
    """Make a chunk of a completion."""
    return data(
        f'{{"id":"{id_}","object":"text_completion","created":1763600000,"model":"{model}",'
        f'"choices":{choices}{more}}}'
    )


VLLM_TEXTS = (
    text_chunk('[{"index":0,"text":"a","logprobs":null,"finish_reason":null,"stop_reason":null}]'),
    text_chunk('[{"index":1,"text":"b","logprobs":null,"finish_reason":"length","stop_reason":null}]'),
    text_chunk('[{"index":0,"text":"c","logprobs":null,"finish_reason":"stop","stop_reason":null}]'),
)
TRT_TEXTS = (
    text_chunk('[{"index":0,"text":"x","finish_reason":"stop"}]', "m", id_="cmpl-p0"),
    text_chunk('[{"index":1,"text":"y","finish_reason":"stop"}]', "m", id_="cmpl-p1"),
)


def ollama_texts(usage: str) -> tuple[bytes, ...]:
    """Make the chunks with text. usage: empty if it was not asked for."""
    more = f',"system_fingerprint":"fp_ollama"{usage}'
    return (
        text_chunk('[{"text":"a","index":0,"finish_reason":null}]', "llama3.2", more),
        text_chunk('[{"text":"","index":0,"finish_reason":"stop"}]', "llama3.2", more),
    )


TGI_TEXTS = (
    text_chunk('[{"index":0,"text":"a","logprobs":null,"finish_reason":""}]', "m", ',"usage":null'),
    text_chunk('[{"index":1,"text":"b","logprobs":null,"finish_reason":""}]', "m", ',"usage":null'),
    text_chunk(
        '[{"index":0,"text":"","logprobs":null,"finish_reason":"eos_token"}]',
        "m",
        ',"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}',
    ),
    text_chunk(
        '[{"index":1,"text":"","logprobs":null,"finish_reason":"length"}]',
        "m",
        ',"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}',
    ),
)
LLAMACPP_TEXTS = (
    text_chunk('[{"text":"a","index":0,"logprobs":null,"finish_reason":null}]', "qwen"),
    text_chunk(
        '[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}]',
        "qwen",
        ',"usage":{"completion_tokens":2,"prompt_tokens":12,"total_tokens":14,"prompt_tokens_details":'
        '{"cached_tokens":11}},"timings":{"cache_n":11,"prompt_n":1,"predicted_n":2}',
    ),
)

TEXTS = (
    Dialect(
        engine="vllm",
        prompt=["one", "two"],
        unasked=(*VLLM_TEXTS, DONE),
        asked=(
            *VLLM_TEXTS,
            text_chunk("[]", more=',"usage":{"prompt_tokens":8,"total_tokens":11,"completion_tokens":3}'),
            DONE,
        ),
        text="abc",
        metered=text_metered("served/llama", 8, 3),
        content_type=UTF8,
    ),
    Dialect(
        engine="tensorrt-llm",
        prompt=["one", "two"],
        unasked=(*TRT_TEXTS, DONE),
        asked=(
            TRT_TEXTS[0],
            text_chunk(
                "[]",
                "m",
                ',"usage":{"prompt_tokens":3,"total_tokens":4,"completion_tokens":1,'
                '"prompt_tokens_details":{"cached_tokens":1}}',
                id_="cmpl-p0",
            ),
            TRT_TEXTS[1],
            text_chunk(
                "[]",
                "m",
                ',"usage":{"prompt_tokens":4,"total_tokens":6,"completion_tokens":2,'
                '"prompt_tokens_details":{"cached_tokens":0}}',
                id_="cmpl-p1",
            ),
            DONE,
        ),
        text="xy",
        metered=text_metered("m", 7, 3, cached=1, untrusted=True),
        content_type=UTF8,
    ),
    Dialect(
        engine="tgi",
        prompt=["one", "two"],
        unasked=(*TGI_TEXTS, DONE),
        asked=(*TGI_TEXTS, DONE),
        text="ab",
        metered=text_metered("m", 7, 10, finish_reason="length", untrusted=True),
    ),
    Dialect(
        engine="ollama",
        unasked=(*ollama_texts(""), DONE),
        asked=(
            *ollama_texts(',"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'),
            text_chunk(
                "[]", "llama3.2", ',"usage":{"prompt_tokens":26,"completion_tokens":2,"total_tokens":28}'
            ),
            DONE,
        ),
        text="a",
        metered=text_metered("llama3.2", 26, 2, untrusted=True),
    ),
    Dialect(
        engine="llama.cpp",
        unasked=(*LLAMACPP_TEXTS, DONE),
        asked=(*LLAMACPP_TEXTS, DONE),
        text="a",
        metered=text_metered("qwen", 12, 2, cached=11),
    ),
)
