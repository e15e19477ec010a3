"""Streams of the OpenAI chat API that fail, and what may happen to them on the way."""

from .case import (
    DONE,
    SSE_UTF8,
    Case,
    Changed,
    Framing,
    Metered,
    Tokens,
    data,
    events,
)
from .openai_chat import API, asked, streamed, unasked
from .openai_chat_streams import VLLM_CHUNKS, VLLM_FINAL, VLLM_STREAM, VLLM_TOKENS, VLLM_WHOLE
from .traps import Trap

FAILURES = [
    Case(
        name="vLLM fails inside a stream, and says that it is done",
        engine="vllm",
        request=unasked(),
        answer=events(
            *VLLM_CHUNKS[:3],
            data(
                '{"error":{"message":"EngineCore died","type":"InternalServerError","param":null,"code":500}}'
            ),
            DONE,
        ),
        expected=streamed("llama", None, finish_reason="", outcome="upstream_error"),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="SGLang sends usage after an error",
        engine="sglang",
        request=unasked(),
        answer=events(
            data(
                '{"id":"e","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}'
            ),
            data(
                '{"error": {"object": "error", "message": "Aborted by scheduler", "type": '
                '"InternalServerError", "param": null, "code": 500}}'
            ),
            Changed(
                data(
                    '{"id":"e","model":"m","choices":[],"usage":{"prompt_tokens":70,"total_tokens":71,'
                    '"completion_tokens":1,"prompt_tokens_details":null,"reasoning_tokens":0}}'
                )
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        expected=streamed("m", Tokens(70, 1, reasoning=0), finish_reason="", outcome="upstream_error"),
        traps=(Trap.ERROR_AND_USAGE, Trap.ERROR_IN_A_GOOD_STREAM),
    ),
    Case(
        name="llama.cpp ends its stream with an error and nothing more",
        engine="llama.cpp",
        request=unasked(),
        answer=events(
            data('{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"a"}}],"model":"qwen"}'),
            data('{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}'),
        ),
        expected=streamed("qwen", None, finish_reason="", outcome="upstream_error"),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="TGI fails inside a stream",
        engine="tgi",
        request=unasked(),
        answer=events(
            b'data: {"error":{"message":"Request failed during generation: Server error: CANCELLED",'
            b'"http_status_code":424}}\n\n',
            DONE,
        ),
        expected=Metered(api=API, outcome="upstream_error", streamed=True),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="TensorRT-LLM drops the connection when its executor fails",
        engine="tensorrt-llm",
        request=unasked(),
        answer=events(
            b'data: {"id":"t","model":"m","choices":[{"index":0,"delta":{"content":"a"}}]} \n\n', cut=True
        ),
        expected=streamed("m", None, finish_reason="", outcome="upstream_error"),
        traps=(Trap.DROPPED_CONNECTION,),
    ),
    Case(
        name="Ollama swallows an error: an empty chunk without a name, and the end",
        engine="ollama",
        request=unasked("llama3.2"),
        answer=events(
            data(
                '{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"llama3.2","choices":'
                '[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null}]}'
            ),
            data(
                '{"id":"chatcmpl-9","object":"chat.completion.chunk","created":-62135596800,"model":"",'
                '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
            ),
        ),
        expected=streamed("llama3.2", None, finish_reason="", outcome="upstream_error"),
        traps=(Trap.SWALLOWED_ERROR, Trap.EMPTY_NAME),
    ),
    Case(
        name="a stream is cut inside the count of its usage",
        engine="vllm",
        request=unasked(),
        answer=events(*VLLM_CHUNKS, Changed(VLLM_FINAL.partition(b"213")[0]), cut=True),
        expected=streamed("llama", None, outcome="upstream_error"),
        traps=(Trap.CUT_INSIDE_A_NUMBER,),
    ),
    Case(
        name="a stream's last event lacks its blank line",
        engine="gateway",
        request=asked(),
        answer=events(*VLLM_CHUNKS, VLLM_FINAL, b"data: [DONE]"),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.CUT_INSIDE_A_NUMBER,),
    ),
    Case(
        name="a stream that ends with its connection is complete if it says so",
        engine="old-gateway",
        request=unasked(),
        answer=events(*VLLM_STREAM, framing=Framing.CLOSE),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.CLOSE_LOOKS_COMPLETE,),
    ),
    Case(
        name="a stream that ends with its connection was cut if it does not say that it is complete",
        engine="old-gateway",
        request=unasked(),
        answer=events(*VLLM_CHUNKS[:3], framing=Framing.CLOSE),
        expected=streamed("llama", None, finish_reason="", outcome="upstream_error"),
        traps=(Trap.CLOSE_LOOKS_COMPLETE,),
    ),
]

TRANSPORT = [
    Case(
        name="lines end in CRLF",
        engine="gateway",
        request=unasked(),
        answer=events(
            *(chunk.replace(b"\n", b"\r\n") for chunk in VLLM_CHUNKS),
            Changed(VLLM_FINAL.replace(b"\n", b"\r\n")),
            DONE.replace(b"\n", b"\r\n"),
        ),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.EVENT_AND_DATA_LINES,),
    ),
    Case(
        name="lines end in CR",
        engine="gateway",
        request=unasked(),
        answer=events(
            *(chunk.replace(b"\n", b"\r") for chunk in VLLM_CHUNKS),
            Changed(VLLM_FINAL.replace(b"\n", b"\r")),
            DONE.replace(b"\n", b"\r"),
        ),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.EVENT_AND_DATA_LINES,),
    ),
    Case(
        name="a byte order mark, named events, ids and data over several lines",
        engine="gateway",
        request=unasked(),
        answer=events(
            b'\xef\xbb\xbfevent: chunk\nid: 1\ndata: {"id":"v","model":"m",\ndata:\ndata: "choices":'
            b'[{"index":0,"finish_reason":"stop"}]}\nretry: 100\n\n',
            Changed(
                b'id: 2\ndata:{"id":"v","choices":[],\ndata:  "usage":{"prompt_tokens":\ndata: 21,'
                b'"completion_tokens":3}}\n\n'
            ),
            DONE,
        ),
        expected=streamed("m", Tokens(21, 3)),
        traps=(Trap.EVENT_AND_DATA_LINES, Trap.LOOSE_SPACES),
    ),
    Case(
        name="content looks like usage, and usage is written with an escape",
        engine="gateway",
        request=unasked(),
        answer=events(
            data(
                '{"id":"x","model":"m","choices":[{"index":0,"delta":{"content":'
                '"data: {\\"choices\\":[],\\"usage\\":{\\"prompt_tokens\\":999}}\\n\\ndata: [DONE]\\n\\n"},'
                '"finish_reason":null}]}'
            ),
            data(
                '{"id":"x","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{"usage":'
                '{"prompt_tokens":998}}]},"finish_reason":"stop"}]}'
            ),
            Changed(
                data(
                    '{"id":"x","model":"m","choices":[],"us\\u0061ge":{"prompt\\u005ftokens":4,'
                    '"completion_tokens":5}}'
                )
            ),
            DONE,
        ),
        expected=streamed("m", Tokens(4, 5)),
        traps=(Trap.ESCAPES,),
    ),
    Case(
        name="an event of 120 kB comes before usage",
        engine="vllm",
        request=unasked(),
        answer=events(
            data(
                '{"id":"b","model":"m","choices":[{"index":0,"delta":{"content":"a"},"token_ids":['
                + ",".join(str(number) for number in range(100_000, 117_000))
                + '],"finish_reason":"stop"}]}'
            ),
            Changed(data('{"id":"b","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":17000}}')),
            DONE,
        ),
        expected=streamed("m", Tokens(4, 17000)),
        traps=(Trap.BIG_BODIES,),
    ),
    *(
        Case(
            name=f"a stream compressed with {coding} is passed on as it is when nothing is taken out",
            engine="gateway",
            request=asked(),
            answer=events(*VLLM_WHOLE, coding=coding),
            expected=streamed("llama", VLLM_TOKENS),
            traps=(Trap.COMPRESSED_ANSWER,),
        )
        for coding in ("gzip", "deflate", "br", "zstd")
    ),
    *(
        Case(
            name=f"a stream compressed with {coding} is passed on decoded when something is taken out",
            engine="gateway",
            request=unasked(),
            answer=events(*VLLM_STREAM, coding=coding),
            expected=streamed("llama", VLLM_TOKENS),
            traps=(Trap.COMPRESSED_ANSWER,),
        )
        for coding in ("gzip", "deflate", "br", "zstd")
    ),
    *(
        Case(
            name=f"a stream asked for with {value!r} is a stream",
            engine="vllm",
            request=unasked(stream=value),
            answer=events(*VLLM_STREAM),
            expected=streamed("llama", VLLM_TOKENS),
            traps=(Trap.REQUEST_IS_NOT_PLAIN,),
        )
        for value in ("true", 1)
    ),
]

CASES = [*FAILURES, *TRANSPORT]
