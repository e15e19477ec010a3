"""Streams of the OpenAI chat API, as many engines speak it."""

from dataclasses import replace

from .case import (
    DONE,
    SSE_UTF8,
    Case,
    Changed,
    Request,
    Resource,
    Tokens,
    data,
    events,
    post,
)
from .openai_chat import CONTINUOUS, MESSAGES, PATH, asked, asked_for, plain, streamed, unasked
from .traps import Trap

VLLM_CHUNKS = (
    data(
        '{"id":"chatcmpl-81","object":"chat.completion.chunk","created":1763600000,"model":"llama",'
        '"choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,'
        '"finish_reason":null}],"prompt_token_ids":null}'
    ),
    b": keep-alive\n\n",
    data(
        '{"id":"chatcmpl-81","object":"chat.completion.chunk","created":1763600000,"model":"llama",'
        '"choices":[{"index":0,"delta":{"content":"Grüße 🦙"},"logprobs":null,"finish_reason":null,'
        '"token_ids":null}]}'
    ),
    data(
        '{"id":"chatcmpl-81","object":"chat.completion.chunk","created":1763600000,"model":"llama",'
        '"choices":[{"index":0,"delta":{"content":""},"logprobs":null,"finish_reason":"stop",'
        '"stop_reason":null,"token_ids":null}]}'
    ),
)
VLLM_FINAL = data(
    '{"id":"chatcmpl-81","object":"chat.completion.chunk","created":1763600000,"model":"llama","choices":[],'
    '"usage":{"prompt_tokens":48213,"total_tokens":48239,"completion_tokens":26,'
    '"prompt_tokens_details":{"cached_tokens":48208}}}'
)
VLLM_TOKENS = Tokens(prompt=48213, completion=26, cached=48208)
VLLM_STREAM = (*VLLM_CHUNKS, Changed(VLLM_FINAL), DONE)
VLLM_WHOLE = (*VLLM_CHUNKS, VLLM_FINAL, DONE)


def running(usage: str, index: int, content: str, reason: str = "null") -> Changed:
    """Make a chunk with the running usage of one choice, which is taken out again."""
    chunk = (
        '{"id":"chatcmpl-82","object":"chat.completion.chunk","created":1763600000,"model":"llama",'
        '"choices":[{"index":%d,"delta":{"content":"%s"},"logprobs":null,"finish_reason":%s}]%s}'
    )
    return Changed(
        data(chunk % (index, content, reason, f',"usage":{usage}')),
        data(chunk % (index, content, reason, "")),
    )


RUNNING = (
    running('{"prompt_tokens":9,"total_tokens":9,"completion_tokens":0}', 0, ""),
    running('{"prompt_tokens":9,"total_tokens":10,"completion_tokens":1}', 0, "ä"),
    running('{"prompt_tokens":9,"total_tokens":11,"completion_tokens":2}', 1, "b"),
    running('{"prompt_tokens":9,"total_tokens":11,"completion_tokens":2}', 0, "c", '"stop"'),
    running('{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3}', 1, "d", '"length"'),
)
RUNNING_FINAL = data(
    '{"id":"chatcmpl-82","object":"chat.completion.chunk","created":1763600000,"model":"llama","choices":[],'
    '"usage":{"prompt_tokens":9,"total_tokens":14,"completion_tokens":5,'
    '"prompt_tokens_details":{"cached_tokens":8}}}'
)
RUNNING_TOKENS = Tokens(prompt=9, completion=5, cached=8)
CONTINUOUS_VLLM = Resource(engine="vllm", usage="continuous")


def continuous_request(**options: object) -> Request:
    """Make a request for a stream of two choices on a resource that asks for running usage."""
    body: dict[str, object] = {"model": "llama", "messages": MESSAGES, "n": 2, "stream": True}
    given = {**body, "stream_options": options} if options else body
    return post(PATH, given, {**body, "stream_options": {**options, **CONTINUOUS}})


CASES = [
    Case(
        name="vLLM gives usage in its last chunk alone, which a client gets that asked for it",
        engine="vllm",
        request=asked(),
        answer=events(*VLLM_WHOLE, content_type=SSE_UTF8),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.KEY_ABSENT_OR_NULL, Trap.KEEP_ALIVES),
    ),
    Case(
        name="vLLM's usage chunk is taken out for a client that did not ask",
        engine="vllm",
        request=unasked(),
        answer=events(*VLLM_STREAM, content_type=SSE_UTF8),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.ADDED_CHUNK_IS_FOR_NOBODY, Trap.KEEP_ALIVES),
    ),
    Case(
        name="a client that asks for no usage does not get any, and is metered",
        engine="vllm",
        request=asked_for({"include_usage": False}, {"include_usage": True}),
        answer=events(*VLLM_STREAM),
        expected=streamed("llama", VLLM_TOKENS),
    ),
    Case(
        name="other options of the client's stay when usage is added to them",
        engine="openai",
        request=asked_for(
            {"include_obfuscation": False}, {"include_obfuscation": False, "include_usage": True}
        ),
        answer=events(*VLLM_STREAM),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.MERGE_OPTIONS,),
    ),
    Case(
        name="options that are null are as good as none",
        engine="vllm",
        request=asked_for(None, {"include_usage": True}),
        answer=events(*VLLM_STREAM),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.MERGE_OPTIONS,),
    ),
    Case(
        name="TensorRT-LLM sends usage to a client that gives any options, even none of them",
        engine="tensorrt-llm",
        request=asked_for({}, {"include_usage": True}),
        answer=events(*VLLM_WHOLE),
        resource=Resource(engine="tensorrt-llm", models=("m", "llama")),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.FORCED_USAGE_CHANGES_NOTHING_MORE, Trap.SERVER_FORCES_USAGE),
    ),
    Case(
        name="OpenAI sends a null usage with every chunk before the last",
        engine="openai",
        request=unasked("gpt-5.1"),
        answer=events(
            data(
                '{"id":"chatcmpl-B","object":"chat.completion.chunk","created":1,"model":"gpt-5.1-2026-01-13",'
                '"service_tier":"default","system_fingerprint":null,"choices":[{"index":0,"delta":'
                '{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],'
                '"usage":null,"obfuscation":"Rk3"}'
            ),
            data(
                '{"id":"chatcmpl-B","object":"chat.completion.chunk","created":1,"model":"gpt-5.1-2026-01-13",'
                '"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null,'
                '"obfuscation":"a"}'
            ),
            Changed(
                data(
                    '{"id":"chatcmpl-B","object":"chat.completion.chunk","created":1,'
                    '"model":"gpt-5.1-2026-01-13","choices":[],"usage":{"prompt_tokens":9,'
                    '"completion_tokens":50,"total_tokens":59,"prompt_tokens_details":{"cached_tokens":0,'
                    '"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":45,"audio_tokens":0,'
                    '"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"obfuscation":""}'
                )
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        expected=streamed(
            "gpt-5.1-2026-01-13",
            Tokens(9, 50, cached=0, reasoning=45, prompt_audio=0, completion_audio=0),
            finish_reason="length",
        ),
        traps=(Trap.KEY_ABSENT_OR_NULL, Trap.EMPTY_NAME),
    ),
    Case(
        name="running usage is asked for and taken out, and the final chunk has the cached tokens",
        engine="vllm",
        request=continuous_request(),
        answer=events(*RUNNING, Changed(RUNNING_FINAL), DONE, content_type=SSE_UTF8),
        resource=CONTINUOUS_VLLM,
        expected=streamed("llama", RUNNING_TOKENS, finish_reason="length"),
        traps=(Trap.CACHED_ONLY_AT_THE_END, Trap.RUNNING_PER_CHOICE, Trap.PROMPT_ONCE_PER_PROMPT),
    ),
    Case(
        name="running usage is taken out and final usage left to a client that asked for that",
        engine="vllm",
        request=continuous_request(include_usage=True),
        answer=events(*RUNNING, RUNNING_FINAL, DONE),
        resource=CONTINUOUS_VLLM,
        expected=streamed("llama", RUNNING_TOKENS, finish_reason="length"),
        traps=(Trap.MERGE_OPTIONS,),
    ),
    Case(
        name="a client that asked for running usage itself gets every byte",
        engine="vllm",
        request=plain("llama", stream=True, stream_options=CONTINUOUS),
        answer=events(*(part.sent for part in RUNNING), RUNNING_FINAL, DONE),
        resource=CONTINUOUS_VLLM,
        expected=streamed("llama", RUNNING_TOKENS, finish_reason="length"),
    ),
    Case(
        name="a stream that breaks off is billed by its running usage, choice by choice",
        engine="vllm",
        request=continuous_request(),
        answer=events(*RUNNING[:3], cut=True),
        resource=CONTINUOUS_VLLM,
        expected=streamed("llama", Tokens(9, 3), finish_reason="", outcome="upstream_error"),
        traps=(Trap.ABORT_IS_NEVER_REPORTED, Trap.RUNNING_PER_CHOICE, Trap.PROMPT_ONCE_PER_PROMPT),
    ),
    Case(
        name="a stream without running usage that breaks off has none",
        engine="vllm",
        request=unasked(),
        answer=events(*VLLM_CHUNKS[:3], cut=True),
        expected=streamed("llama", None, finish_reason="", outcome="upstream_error"),
        traps=(Trap.ABORT_IS_NEVER_REPORTED,),
    ),
    Case(
        name="a server that forces usage on every chunk changes what its clients get, and Phoebe does not",
        engine="vllm",
        request=asked_for({"include_usage": False}, {"include_usage": True}),
        answer=events(*(part.sent for part in RUNNING), Changed(RUNNING_FINAL), DONE),
        expected=streamed("llama", RUNNING_TOKENS, finish_reason="length"),
        traps=(Trap.SERVER_FORCES_USAGE, Trap.FORCED_USAGE_CHANGES_NOTHING_MORE),
    ),
    Case(
        name="SGLang gives running usage alone to a client that asked for that alone",
        engine="sglang",
        request=asked_for(
            {"continuous_usage_stats": True}, {"continuous_usage_stats": True, "include_usage": True}
        ),
        answer=events(
            data(
                '{"id":"g","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
                '"delta":{"content":"a"},"finish_reason":null}],"usage":{"prompt_tokens":6,'
                '"total_tokens":7,"completion_tokens":1,"prompt_tokens_details":null,"reasoning_tokens":0}}'
            ),
            data(
                '{"id":"g","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
                '"delta":{"content":null},"finish_reason":"stop","matched_stop":2}],"usage":{"prompt_tokens":6,'
                '"total_tokens":9,"completion_tokens":3,"prompt_tokens_details":null,"reasoning_tokens":1}}'
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        expected=streamed("m", Tokens(6, 3, reasoning=1)),
        traps=(Trap.RUNNING_WITHOUT_FINAL, Trap.REASONING_TWICE),
    ),
    Case(
        name="SGLang sends chunks without choices that are not usage",
        engine="sglang",
        request=unasked("default"),
        answer=events(
            b'event: sglext_ids\ndata: {"id":"h","object":"chat.completion.chunk","created":1,'
            b'"model":"default","choices":[],"usage":null,"sglext":{"prompt_ids":[1,2]}}\n\n',
            data(
                '{"id":"h","object":"chat.completion.chunk","created":1,"model":"default","choices":'
                '[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}'
            ),
            data(
                '{"id":"h","object":"chat.completion.chunk","created":1,"model":"default","choices":'
                '[{"index":0,"delta":{},"finish_reason":"tool_calls","matched_stop":null}]}'
            ),
            data(
                '{"id":"h","object":"chat.completion.chunk","created":1,"model":"default","choices":[],'
                '"usage":null,"sglext":{"routed_experts":"AA=="}}'
            ),
            Changed(
                data(
                    '{"id":"h","object":"chat.completion.chunk","created":1,"model":"default","choices":[],'
                    '"usage":{"prompt_tokens":44,"total_tokens":60,"completion_tokens":16,'
                    '"prompt_tokens_details":{"cached_tokens":43},"completion_tokens_details":'
                    '{"reasoning_tokens":7},"reasoning_tokens":7}}'
                )
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        expected=streamed("default", Tokens(44, 16, cached=43, reasoning=7), finish_reason="tool_calls"),
        traps=(Trap.NO_CHOICES_NO_USAGE, Trap.REASONING_TWICE, Trap.KEY_ABSENT_OR_NULL),
    ),
    Case(
        name="final usage of zeros is usage",
        engine="gateway",
        request=asked(),
        answer=events(
            data('{"id":"w","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'),
            data('{"id":"w","model":"m","choices":[],"usage":{"prompt_tokens":0,"completion_tokens":0}}'),
            DONE,
        ),
        expected=streamed("m", Tokens(0, 0)),
        traps=(Trap.ZERO_PLACEHOLDERS,),
    ),
    Case(
        name="a stream that nobody asked for is read, and nothing is taken out of it",
        engine="gateway",
        request=plain("llama"),
        answer=events(*VLLM_WHOLE),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.ADDED_CHUNK_IS_FOR_NOBODY,),
    ),
    Case(
        name="DeepSeek sends usage with the finish reason",
        engine="deepseek",
        request=unasked("deepseek-chat"),
        answer=events(
            data(
                '{"id":"d","model":"deepseek-chat","choices":[{"index":0,"delta":{"content":"a"},'
                '"finish_reason":null}],"usage":null}'
            ),
            data(
                '{"id":"d","model":"deepseek-chat","choices":[{"index":0,"delta":{"content":""},'
                '"finish_reason":"stop"}],"usage":{"prompt_tokens":17,"completion_tokens":9,"total_tokens":26,'
                '"prompt_tokens_details":{"cached_tokens":16},"prompt_cache_hit_tokens":16,'
                '"prompt_cache_miss_tokens":1}}'
            ),
            DONE,
        ),
        expected=streamed("deepseek-chat", Tokens(17, 9, cached=16)),
        traps=(Trap.USAGE_ELSEWHERE,),
    ),
    Case(
        name="Moonshot puts usage into the last choice",
        engine="moonshot",
        request=unasked("kimi"),
        answer=events(
            data(
                '{"id":"k","model":"kimi","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}'
            ),
            data(
                '{"id":"k","model":"kimi","choices":[{"index":0,"delta":{},"finish_reason":"stop",'
                '"usage":{"prompt_tokens":19,"completion_tokens":21,"total_tokens":40}}]}'
            ),
            DONE,
        ),
        expected=streamed("kimi", Tokens(19, 21)),
        traps=(Trap.USAGE_ELSEWHERE,),
    ),
    Case(
        name="Groq puts usage into a member of its own",
        engine="groq",
        request=unasked("llama"),
        answer=events(
            data(
                '{"id":"q","model":"llama","choices":[{"index":0,"delta":{"content":"a"},'
                '"finish_reason":null}],"x_groq":{"id":"req_1"}}'
            ),
            data(
                '{"id":"q","model":"llama","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],'
                '"x_groq":{"id":"req_1","usage":{"queue_time":0.01,"prompt_tokens":18,"prompt_time":0.001,'
                '"completion_tokens":6,"completion_time":0.02,"total_tokens":24,"total_time":0.03}}}'
            ),
            DONE,
        ),
        expected=streamed("llama", Tokens(18, 6)),
        traps=(Trap.USAGE_ELSEWHERE,),
    ),
    Case(
        name="Dynamo of before sends usage in every chunk unasked, first with a prompt of 0",
        engine="dynamo",
        request=unasked(),
        answer=events(
            data(
                '{"id":"n","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],'
                '"model":"m","usage":{"prompt_tokens":0,"completion_tokens":1,"total_tokens":1}}'
            ),
            data(
                '{"id":"n","choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}],'
                '"model":"m","usage":{"prompt_tokens":13,"completion_tokens":2,"total_tokens":15,'
                '"completion_tokens_details":{"reasoning_tokens":1}}}'
            ),
            DONE,
        ),
        expected=streamed("m", Tokens(13, 2, reasoning=1)),
        traps=(Trap.USAGE_UNASKED, Trap.USAGE_ELSEWHERE, Trap.REASONING_TWICE),
    ),
    Case(
        name="Dynamo annotates its stream with events whose payload is a comment",
        engine="dynamo",
        request=unasked(),
        answer=events(
            b'event: llm_metrics\n: {"input_tokens":13,"usage":{"prompt_tokens":99}}\n\n',
            data(
                '{"id":"n","choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}],'
                '"model":"m","usage":null}'
            ),
            Changed(
                data(
                    '{"id":"n","choices":[],"model":"m","usage":{"prompt_tokens":13,"completion_tokens":2,'
                    '"total_tokens":15,"prompt_tokens_details":{"audio_tokens":null,"cached_tokens":12},'
                    '"completion_tokens_details":null},"nvext":null}'
                )
            ),
            DONE,
        ),
        expected=streamed("m", Tokens(13, 2, cached=12)),
        traps=(Trap.KEEP_ALIVES, Trap.KEY_ABSENT_OR_NULL),
    ),
    Case(
        name="Dynamo's running usage has no cached tokens, its final usage has",
        engine="dynamo",
        request=post(
            PATH,
            {"model": "m", "stream": True},
            {"model": "m", "stream": True, "stream_options": CONTINUOUS},
        ),
        answer=events(
            Changed(
                data(
                    '{"id":"n","choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}],'
                    '"usage":{"prompt_tokens":13,"completion_tokens":1,"total_tokens":14},"model":"m"}'
                ),
                data(
                    '{"id":"n","choices":[{"index":0,"delta":{"content":"b"},"finish_reason":"stop"}],'
                    '"model":"m"}'
                ),
            ),
            Changed(
                data(
                    '{"id":"n","choices":[],"model":"m","usage":{"prompt_tokens":13,"completion_tokens":1,'
                    '"total_tokens":14,"prompt_tokens_details":{"cached_tokens":12}}}'
                )
            ),
            DONE,
        ),
        resource=Resource(engine="dynamo", usage="continuous"),
        expected=streamed("m", Tokens(13, 1, cached=12)),
        traps=(Trap.CACHED_ONLY_AT_THE_END,),
    ),
    Case(
        name="TGI writes no space after the colon and bare comments between",
        engine="tgi",
        request=unasked("tgi"),
        answer=events(
            b'data:{"object":"chat.completion.chunk","id":"","created":1,"model":"org/mistral",'
            b'"system_fingerprint":"2.4.1","choices":[{"index":0,"delta":{"role":"assistant","content":"a"},'
            b'"logprobs":null,"finish_reason":null}],"usage":null}\n\n:\n\n',
            b'data:{"object":"chat.completion.chunk","id":"","created":1,"model":"org/mistral",'
            b'"system_fingerprint":"2.4.1","choices":[{"index":0,"delta":{"role":"assistant","content":""},'
            b'"logprobs":null,"finish_reason":"length"}],"usage":null}\n\n',
            Changed(
                b'data:{"object":"chat.completion.chunk","id":"","created":1,"model":"org/mistral",'
                b'"system_fingerprint":"2.4.1","choices":[],"usage":{"prompt_tokens":37,'
                b'"completion_tokens":20,"total_tokens":57}}\n\n'
            ),
            b"data:[DONE]\n\n",
        ),
        expected=streamed("org/mistral", Tokens(37, 20), finish_reason="length"),
        traps=(Trap.LOOSE_SPACES, Trap.KEEP_ALIVES, Trap.NAME_DEPENDS_ON_PATH),
    ),
    Case(
        name="TensorRT-LLM's first event ends in a space",
        engine="tensorrt-llm",
        request=unasked(),
        answer=events(
            b'data: {"id":"t","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
            b'"delta":{"role":"assistant","content":"","tool_calls":[]},"finish_reason":null}]} \n\n',
            data(
                '{"id":"t","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
                '"delta":{"content":"é"},"finish_reason":"stop","stop_reason":null}]}'
            ),
            Changed(
                data(
                    '{"id":"t","object":"chat.completion.chunk","created":1,"model":"m","choices":[],'
                    '"usage":{"prompt_tokens":33,"total_tokens":34,"completion_tokens":1,'
                    '"prompt_tokens_details":{"cached_tokens":32}}}'
                )
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        expected=streamed("m", Tokens(33, 1, cached=32)),
        traps=(Trap.LOOSE_SPACES,),
    ),
    Case(
        name="llama.cpp adds timings to its usage chunk",
        engine="llama.cpp",
        request=unasked(),
        answer=events(
            data(
                '{"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],'
                '"created":1,"id":"chatcmpl-l","model":"qwen","system_fingerprint":"b7100",'
                '"object":"chat.completion.chunk"}'
            ),
            data(
                '{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"created":1,"id":"chatcmpl-l",'
                '"model":"qwen","system_fingerprint":"b7100","object":"chat.completion.chunk"}'
            ),
            Changed(
                data(
                    '{"choices":[],"created":1,"id":"chatcmpl-l","model":"qwen","system_fingerprint":"b7100",'
                    '"object":"chat.completion.chunk","usage":{"completion_tokens":5,"prompt_tokens":90,'
                    '"total_tokens":95},"timings":{"cache_n":80,"prompt_n":10,"predicted_n":5}}'
                )
            ),
            DONE,
        ),
        expected=streamed("qwen", Tokens(90, 5, cached=80)),
        traps=(Trap.TIMINGS_EXCLUDE_CACHE,),
    ),
    Case(
        name="llama.cpp gives timings alone: the prompt is what was cached and what was not",
        engine="llama.cpp",
        request=asked(),
        answer=events(
            data(
                '{"choices":[{"finish_reason":null,"index":0,"delta":{"content":"a"}}],"created":1,'
                '"id":"chatcmpl-l","model":"qwen","object":"chat.completion.chunk"}'
            ),
            data(
                '{"choices":[{"finish_reason":"length","index":0,"delta":{}}],"created":1,"id":"chatcmpl-l",'
                '"model":"qwen","object":"chat.completion.chunk","timings":{"cache_n":236,"prompt_n":1,'
                '"prompt_ms":30.958,"predicted_n":35,"predicted_ms":661.064}}'
            ),
            DONE,
        ),
        expected=streamed("qwen", Tokens(237, 35, cached=236), finish_reason="length"),
        traps=(Trap.TIMINGS_EXCLUDE_CACHE,),
    ),
    *(
        Case(
            name=f"llama.cpp sends a usage chunk for each choice under one id{suffix}",
            engine="llama.cpp",
            request=asked(n=2),
            answer=events(
                data('{"choices":[{"finish_reason":"stop","index":0,"delta":{}}],"id":"l","model":"qwen"}'),
                data(
                    '{"choices":[],"id":"l","model":"qwen","usage":{"completion_tokens":8,"prompt_tokens":30,'
                    '"total_tokens":38,"prompt_tokens_details":{"cached_tokens":0}}}'
                ),
                data('{"choices":[{"finish_reason":"stop","index":1,"delta":{}}],"id":"l","model":"qwen"}'),
                data(
                    '{"choices":[],"id":"l","model":"qwen","usage":{"completion_tokens":6,"prompt_tokens":30,'
                    '"total_tokens":36,"prompt_tokens_details":{"cached_tokens":0}}}'
                ),
                DONE,
            ),
            resource=resource,
            expected=streamed("qwen", tokens),
            traps=(Trap.FIRST_RESULT_ONLY,),
        )
        for suffix, resource, tokens in (
            ("; undeclared, the last one counts", Resource(), Tokens(30, 6, cached=0)),
            (", which add up when declared", Resource(engine="llama.cpp"), Tokens(30, 14, cached=0)),
        )
    ),
    Case(
        name="Ollama reports cached tokens in newer builds",
        engine="ollama",
        request=unasked("llama3.2"),
        answer=events(
            data(
                '{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"llama3.2",'
                '"system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant",'
                '"content":"a"},"finish_reason":null}]}'
            ),
            data(
                '{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"llama3.2",'
                '"system_fingerprint":"fp_ollama","choices":[{"index":0,"delta":{"role":"assistant",'
                '"content":""},"finish_reason":"stop"}]}'
            ),
            Changed(
                data(
                    '{"id":"chatcmpl-9","object":"chat.completion.chunk","created":1,"model":"llama3.2",'
                    '"system_fingerprint":"fp_ollama","choices":[],"usage":{"prompt_tokens":26,'
                    '"completion_tokens":2,"total_tokens":28,"prompt_tokens_details":{"cached_tokens":20}}}'
                )
            ),
            DONE,
        ),
        expected=streamed("llama3.2", Tokens(26, 2, cached=20)),
    ),
    *(
        Case(
            name=f"final usage comes on a choice that is {what}, because it was asked for",
            engine=engine,
            request=unasked(),
            answer=events(
                data(
                    '{"id":"t","model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}'
                ),
                data('{"id":"t","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'),
                Changed(
                    data(
                        f'{{"id":"t","model":"m","choices":[{choice}],"usage":{{"prompt_tokens":16111,'
                        '"completion_tokens":2,"total_tokens":16113,"prompt_tokens_details":{"cached_tokens":15872}}}'
                    )
                ),
                DONE,
            ),
            expected=streamed("m", Tokens(16111, 2, cached=15872)),
            traps=(Trap.EMPTY_CHOICE,),
        )
        for engine, what, choice in (
            ("tensorx", "empty", '{"index":0,"delta":{}}'),
            (
                "openrouter",
                "a role",
                '{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}',
            ),
        )
    ),
    Case(
        name="usage that comes unasked on a choice that is empty before the end stays",
        engine="gateway",
        request=unasked(),
        answer=events(
            data('{"id":"t","model":"m","choices":[{"index":0,"delta":{}}],"usage":{"prompt_tokens":3}}'),
            data('{"id":"t","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'),
            DONE,
        ),
        expected=replace(streamed("m", Tokens(3)), usage_partial=True),
        traps=(Trap.EMPTY_CHOICE, Trap.FORCED_USAGE_CHANGES_NOTHING_MORE),
    ),
]
