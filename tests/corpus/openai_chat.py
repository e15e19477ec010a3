"""Answers of the OpenAI chat API, as many engines speak it."""

from dataclasses import replace

from .case import (
    Case,
    Framing,
    Metered,
    Refused,
    Request,
    Resource,
    Tokens,
    document,
    post,
)
from .traps import Trap

API = "openai.chat"
PATH = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Grüße, 世界"}]
CONTINUOUS = {"include_usage": True, "continuous_usage_stats": True}


def plain(model: str = "m", **more: object) -> Request:
    """Make a request for one document, which goes on as it is."""
    return post(PATH, {"model": model, "messages": MESSAGES, **more})


def unasked(model: str = "m", **more: object) -> Request:
    """Make a request for a stream by a client that does not ask for usage."""
    body = {"model": model, "messages": MESSAGES, "stream": True, **more}
    return post(PATH, body, {**body, "stream_options": {"include_usage": True}})


def asked(model: str = "m", **more: object) -> Request:
    """Make a request for a stream by a client that asks for usage itself: nothing is to be added."""
    options = {"include_usage": True}
    return plain(model, stream=True, stream_options=options, **more)


def asked_for(options: dict[str, object] | None, forwarded: dict[str, object]) -> Request:
    """Make a request for a stream with options of the client's own."""
    body = {"model": "m", "messages": MESSAGES, "stream": True, "stream_options": options}
    return post(PATH, body, {**body, "stream_options": forwarded})


def streamed(
    model: str, tokens: Tokens | None, finish_reason: str = "stop", outcome: str = "completed"
) -> Metered:
    """Make what is expected of a stream."""
    return Metered(
        api=API, model_id=model, tokens=tokens, finish_reason=finish_reason, outcome=outcome, streamed=True
    )


CASES = [
    Case(
        name="vLLM answers without details",
        engine="vllm",
        request=plain(),
        answer=document(
            '{"id":"chatcmpl-1","object":"chat.completion","created":1763600000,"model":"llama",'
            '"choices":[{"index":0,"message":{"role":"assistant","content":"hé","refusal":null,'
            '"annotations":null,"tool_calls":[],"reasoning":null},"logprobs":null,"finish_reason":"stop",'
            '"stop_reason":null,"token_ids":null}],"service_tier":null,"system_fingerprint":null,'
            '"usage":{"prompt_tokens":11,"total_tokens":16,"completion_tokens":5,"prompt_tokens_details":null},'
            '"prompt_logprobs":null,"prompt_token_ids":null,"kv_transfer_params":null}'
        ),
        expected=Metered(api=API, model_id="llama", tokens=Tokens(11, 5), finish_reason="stop"),
        traps=(Trap.CACHED_UNKNOWN, Trap.ASK_ONLY_STREAMS),
    ),
    Case(
        name="options for a stream that is none are the client's affair",
        engine="vllm",
        request=plain(stream=False, stream_options={"include_usage": False}),
        answer=document(
            '{"object":"error","message":"Stream options can only be defined when `stream=True`.","type":'
            '"BadRequestError","param":null,"code":400}',
            status=400,
        ),
        expected=Metered(api=API, outcome="upstream_error", status=400),
        traps=(Trap.ASK_ONLY_STREAMS,),
    ),
    Case(
        name="vLLM answers with every detail it has",
        engine="vllm",
        request=plain(),
        answer=document(
            '{"id":"chatcmpl-2","object":"chat.completion","created":1763600000,"model":"qwen",'
            '"choices":[{"index":0,"message":{"role":"assistant","content":"42"},"finish_reason":"stop"}],'
            '"usage":{"prompt_tokens":320,"total_tokens":420,"completion_tokens":100,'
            '"prompt_tokens_details":{"cached_tokens":256,"created_cache_tokens":48,"multimodal_tokens":12},'
            '"completion_tokens_details":{"reasoning_tokens":77}}}'
        ),
        expected=Metered(
            api=API,
            model_id="qwen",
            tokens=Tokens(320, 100, cached=256, reasoning=77, cache_write=48),
            finish_reason="stop",
        ),
    ),
    Case(
        name="OpenAI answers with audio, a cache write and a dated name",
        engine="openai",
        request=plain("gpt-audio"),
        answer=document(
            '{\n  "id": "chatcmpl-A",\n  "object": "chat.completion",\n  "created": 1763600000,\n'
            '  "model": "gpt-audio-2026-08-28",\n  "choices": [\n    {\n      "index": 0,\n'
            '      "message": {"role": "assistant", "content": null, "audio": {"id": "a", "data": "UklG"}},\n'
            '      "finish_reason": "stop"\n    }\n  ],\n  "usage": {\n    "prompt_tokens": 1900,\n'
            '    "completion_tokens": 120,\n    "total_tokens": 2020,\n    "prompt_tokens_details": '
            '{"cached_tokens": 1024, "cache_write_tokens": 512, "audio_tokens": 30, "image_tokens": 0, '
            '"text_tokens": 1870},\n    "completion_tokens_details": {"reasoning_tokens": 0, '
            '"audio_tokens": 101, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}\n  },\n'
            '  "service_tier": "default"\n}\n'
        ),
        expected=Metered(
            api=API,
            model_id="gpt-audio-2026-08-28",
            tokens=Tokens(
                1900, 120, cached=1024, reasoning=0, cache_write=512, prompt_audio=30, completion_audio=101
            ),
            finish_reason="stop",
        ),
        traps=(Trap.EMPTY_NAME,),
    ),
    Case(
        name="vLLM answers a batch with the sum over its conversations",
        engine="vllm",
        request=post(PATH + "/batch", {"model": "llama", "messages": [MESSAGES, MESSAGES]}),
        answer=document(
            '{"id":"chatcmpl-3","object":"chat.completion","created":1,"model":"llama","choices":['
            '{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"},'
            '{"index":1,"message":{"role":"assistant","content":"b"},"finish_reason":"length"}],'
            '"usage":{"prompt_tokens":30,"total_tokens":37,"completion_tokens":7,"prompt_tokens_details":null}}'
        ),
        expected=Metered(api=API, model_id="llama", tokens=Tokens(30, 7), finish_reason="length"),
    ),
    Case(
        name="vLLM answers several choices with the prompt counted once and a total that is no check",
        engine="vllm",
        request=plain(n=3),
        answer=document(
            '{"id":"chatcmpl-4","model":"llama","choices":['
            '{"index":0,"message":{"content":"a"},"finish_reason":"stop"},'
            '{"index":1,"message":{"content":"b"},"finish_reason":"stop"},'
            '{"index":2,"message":{"content":"c"},"finish_reason":"tool_calls"}],'
            '"usage":{"prompt_tokens":7,"completion_tokens":12,"total_tokens":33}}'
        ),
        expected=Metered(api=API, model_id="llama", tokens=Tokens(7, 12), finish_reason="tool_calls"),
        traps=(Trap.PROMPT_ONCE_PER_PROMPT,),
    ),
    Case(
        name="vLLM answers for an adapter with the adapter's name, and counts an encoder's prompt",
        engine="vllm",
        request=plain("base-alias"),
        answer=document(
            '{"id":"chatcmpl-5","model":"sql-adapter","choices":[{"index":0,"message":{"content":"a"},'
            '"finish_reason":"length"}],"usage":{"prompt_tokens":1510,"completion_tokens":3,'
            '"total_tokens":1513}}'
        ),
        expected=Metered(api=API, model_id="sql-adapter", tokens=Tokens(1510, 3), finish_reason="length"),
        traps=(Trap.ALIAS_AND_ADAPTER, Trap.PROMPT_IS_ADJUSTED),
    ),
    Case(
        name="SGLang has emitted more cached tokens than prompt tokens",
        engine="sglang",
        request=plain(),
        answer=document(
            '{"id":"s1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
            '"message":{"role":"assistant","content":"x","reasoning_content":null,"tool_calls":null},'
            '"logprobs":null,"finish_reason":"stop","matched_stop":128009}],"usage":{"prompt_tokens":59946,'
            '"total_tokens":59966,"completion_tokens":20,"prompt_tokens_details":{"cached_tokens":122884},'
            '"reasoning_tokens":0},"metadata":{"weight_version":"default"}}'
        ),
        expected=Metered(
            api=API,
            model_id="m",
            tokens=Tokens(59946, 20, cached=122884, reasoning=0),
            finish_reason="stop",
        ),
        traps=(Trap.CACHED_EXCEEDS_PROMPT,),
    ),
    Case(
        name="SGLang takes three tokens off the prompt but not off the cache",
        engine="sglang",
        request=plain("kimi-k3"),
        answer=document(
            '{"id":"s2","model":"kimi-k3","choices":[{"index":0,"message":{"content":"x"},'
            '"finish_reason":"stop"}],"usage":{"prompt_tokens":61,"total_tokens":63,"completion_tokens":2,'
            '"prompt_tokens_details":{"cached_tokens":64},"reasoning_tokens":0}}'
        ),
        expected=Metered(
            api=API, model_id="kimi-k3", tokens=Tokens(61, 2, cached=64, reasoning=0), finish_reason="stop"
        ),
        traps=(Trap.PROMPT_IS_ADJUSTED, Trap.CACHED_EXCEEDS_PROMPT),
    ),
    Case(
        name="SGLang repeats any name it was sent, so without declared models the name is not trusted",
        engine="sglang",
        request=plain("cheaper-model"),
        answer=document(
            '{"id":"s3","model":"cheaper-model","choices":[{"index":0,"message":{"content":"x"},'
            '"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"total_tokens":6,"completion_tokens":1,'
            '"prompt_tokens_details":null,"reasoning_tokens":0}}'
        ),
        resource=Resource(engine="sglang"),
        expected=Metered(
            api=API,
            model_id="cheaper-model",
            tokens=Tokens(5, 1, reasoning=0),
            finish_reason="stop",
            model_untrusted=True,
        ),
        traps=(Trap.CLIENT_NAMES_THE_MODEL,),
    ),
    Case(
        name="SGLang answers under a declared name with an adapter's, which is kept and not trusted",
        engine="sglang",
        request=plain("qwen3-8b"),
        answer=document(
            '{"id":"s4","model":"qwen3-8b:cheap-adapter","choices":[{"index":0,"message":{"content":"x"},'
            '"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"total_tokens":6,"completion_tokens":1}}'
        ),
        resource=Resource(engine="sglang", models=("qwen3-8b",)),
        expected=Metered(
            api=API,
            model_id="qwen3-8b:cheap-adapter",
            tokens=Tokens(5, 1),
            finish_reason="stop",
            model_untrusted=True,
        ),
        traps=(Trap.CLIENT_NAMES_THE_MODEL, Trap.ALIAS_AND_ADAPTER),
    ),
    Case(
        name="a name the resource does not declare is refused",
        engine="sglang",
        request=plain("another-model"),
        resource=Resource(engine="sglang", models=("qwen3-8b",)),
        expected=Refused(404),
        traps=(Trap.CLIENT_NAMES_THE_MODEL,),
    ),
    Case(
        name="TGI repeats the declared name and reports the second of two generations",
        engine="tgi",
        request=plain("mistral", tools=[{"type": "function", "function": {"name": "f"}}]),
        answer=document(
            '{"object":"chat.completion","id":"","created":1763600000,"model":"mistral",'
            '"system_fingerprint":"3.3.6-sha-db931fcf","choices":[{"index":0,"message":'
            '{"role":"assistant","content":"no tool"},"logprobs":null,"finish_reason":"stop"}],'
            '"usage":{"prompt_tokens":76,"completion_tokens":4,"total_tokens":80}}'
        ),
        resource=Resource(engine="tgi", models=("mistral",)),
        expected=Metered(api=API, model_id="mistral", tokens=Tokens(76, 4), finish_reason="stop"),
        traps=(Trap.HIDDEN_GENERATIONS, Trap.NAME_DEPENDS_ON_PATH),
    ),
    Case(
        name="TensorRT-LLM repeats the name and always reports cached tokens",
        engine="tensorrt-llm",
        request=plain(),
        answer=document(
            '{"id":"chatcmpl-t","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
            '"message":{"role":"assistant","content":"x"},"logprobs":null,"finish_reason":"stop",'
            '"stop_reason":null,"mm_embedding_handle":null,"disaggregated_params":null}],"usage":'
            '{"prompt_tokens":40,"total_tokens":49,"completion_tokens":9,'
            '"prompt_tokens_details":{"cached_tokens":0}},"prompt_token_ids":null}'
        ),
        resource=Resource(engine="tensorrt-llm"),
        expected=Metered(
            api=API,
            model_id="m",
            tokens=Tokens(40, 9, cached=0),
            finish_reason="stop",
            model_untrusted=True,
        ),
        traps=(Trap.NAME_DEPENDS_ON_PATH,),
    ),
    Case(
        name="llama.cpp of 2026 reports cached tokens in usage and timings",
        engine="llama.cpp",
        request=post("/chat/completions", {"messages": MESSAGES}),
        answer=document(
            '{"choices":[{"finish_reason":"stop","index":0,"message":{"role":"assistant","content":"ok"}}],'
            '"created":1763600000,"model":"qwen3-4b-q4_k_m","system_fingerprint":"b7100-00efb3e",'
            '"object":"chat.completion","usage":{"completion_tokens":20,"prompt_tokens":60,"total_tokens":80,'
            '"prompt_tokens_details":{"cached_tokens":44}},"id":"chatcmpl-L","timings":{"cache_n":44,'
            '"prompt_n":16,"prompt_ms":30.1,"prompt_per_token_ms":1.8,"prompt_per_second":531.5,'
            '"predicted_n":20,"predicted_ms":300.5,"predicted_per_token_ms":15.0,"predicted_per_second":66.5}}'
        ),
        expected=Metered(
            api=API, model_id="qwen3-4b-q4_k_m", tokens=Tokens(60, 20, cached=44), finish_reason="stop"
        ),
        traps=(Trap.NAME_DEPENDS_ON_PATH, Trap.TIMINGS_EXCLUDE_CACHE),
    ),
    Case(
        name="llama.cpp of before has its cached tokens in timings alone",
        engine="llama.cpp",
        request=plain(),
        answer=document(
            '{"choices":[{"finish_reason":"length","index":0,"message":{"role":"assistant","content":"ok"}}],'
            '"created":1,"model":"qwen","object":"chat.completion","usage":{"completion_tokens":20,'
            '"prompt_tokens":60,"total_tokens":80},"id":"chatcmpl-L","timings":{"cache_n":44,"prompt_n":16,'
            '"predicted_n":20}}'
        ),
        expected=Metered(api=API, model_id="qwen", tokens=Tokens(60, 20, cached=44), finish_reason="length"),
        traps=(Trap.TIMINGS_EXCLUDE_CACHE,),
    ),
    Case(
        name="llama.cpp answers several choices with the usage of the first",
        engine="llama.cpp",
        request=plain(n=2),
        answer=document(
            '{"choices":[{"finish_reason":"stop","index":0,"message":{"content":"a"}},'
            '{"finish_reason":"stop","index":1,"message":{"content":"b"}}],"created":1,"model":"qwen",'
            '"object":"chat.completion","usage":{"completion_tokens":8,"prompt_tokens":30,"total_tokens":38,'
            '"prompt_tokens_details":{"cached_tokens":0}},"id":"chatcmpl-L"}'
        ),
        expected=Metered(api=API, model_id="qwen", tokens=Tokens(30, 8, cached=0), finish_reason="stop"),
        traps=(Trap.FIRST_RESULT_ONLY,),
    ),
    Case(
        name="Ollama answers in the OpenAI shape without details",
        engine="ollama",
        request=plain("llama3.2"),
        answer=document(
            '{"id":"chatcmpl-677","object":"chat.completion","created":1763600000,"model":"llama3.2",'
            '"system_fingerprint":"fp_ollama","choices":[{"index":0,"message":{"role":"assistant",'
            '"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":26,"completion_tokens":10,'
            '"total_tokens":36}}\n'
        ),
        expected=Metered(api=API, model_id="llama3.2", tokens=Tokens(26, 10), finish_reason="stop"),
        traps=(Trap.CACHED_UNKNOWN,),
    ),
    Case(
        name="Dynamo answers with details that hold nulls, and an extension",
        engine="dynamo",
        request=plain(),
        answer=document(
            '{"id":"chatcmpl-d","choices":[{"index":0,"message":{"role":"assistant","content":"x"},'
            '"finish_reason":"stop","logprobs":null}],"created":1,"model":"m","object":"chat.completion",'
            '"usage":{"prompt_tokens":15,"completion_tokens":4,"total_tokens":19,"prompt_tokens_details":'
            '{"audio_tokens":null,"cached_tokens":null},"completion_tokens_details":null},'
            '"nvext":{"worker_id":{"prefill_worker_id":3},"timing":{"usage":{"prompt_tokens":1}}}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(15, 4), finish_reason="stop"),
        traps=(Trap.CACHED_UNKNOWN,),
    ),
    Case(
        name="xAI counts reasoning tokens outside the completion",
        engine="xai",
        request=plain("grok"),
        answer=document(
            '{"id":"x","model":"grok-4","choices":[{"index":0,"message":{"content":"2"},'
            '"finish_reason":"stop"}],"usage":{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,'
            '"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":94}}}'
        ),
        expected=Metered(
            api=API,
            model_id="grok-4",
            tokens=Tokens(32, 9, cached=4, reasoning=94),
            finish_reason="stop",
        ),
        traps=(Trap.REASONING_TWICE,),
    ),
    Case(
        name="Triton's OpenAI frontend answers without counts when its backend gave none",
        engine="triton",
        request=plain(),
        answer=document(
            '{"id":"cmpl-t","choices":[{"finish_reason":"stop","index":0,"message":{"content":"x",'
            '"tool_calls":null,"role":"assistant","function_call":null},"logprobs":null}],"created":1,'
            '"model":"m","system_fingerprint":null,"object":"chat.completion","usage":null}'
        ),
        expected=Metered(api=API, model_id="m", finish_reason="stop"),
    ),
    Case(
        name="an answer without a name gets that of the only declared model",
        engine="vllm",
        request=plain("only"),
        answer=document(
            '{"choices":[{"index":0,"message":{"content":"x"},"finish_reason":"stop"}],'
            '"usage":{"prompt_tokens":1,"completion_tokens":2}}'
        ),
        resource=Resource(engine="vllm", models=("only",)),
        expected=Metered(api=API, model_id="only", tokens=Tokens(1, 2), finish_reason="stop"),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="an integral float is a count",
        engine="gateway",
        request=plain(),
        answer=document(
            '{"model":"m","choices":[{"index":0,"finish_reason":"stop"}],"usage":{"prompt_tokens":812.0,'
            '"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":800.0}}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(812, 3, cached=800), finish_reason="stop"),
        traps=(Trap.COUNTS_ARE_FLOATS,),
    ),
    *(
        Case(
            name=f"a usage with {what} is kept as it came and not billed",
            engine="faulty",
            request=plain(),
            answer=document(
                f'{{"model":"m","choices":[{{"index":0,"finish_reason":"stop"}}],"usage": {usage}}}'
            ),
            expected=Metered(api=API, model_id="m", finish_reason="stop", usage_raw=usage),
        )
        for what, usage in (
            ("a negative count", '{"prompt_tokens":-1, "completion_tokens":5}'),
            ("a fraction", '{"prompt_tokens":7,"completion_tokens":2.5}'),
            ("a count in quotes", '{"prompt_tokens":"7","completion_tokens":2}'),
            ("a truth value", '{"prompt_tokens":true,"completion_tokens":2}'),
            ("a count beyond 2^53", '{"prompt_tokens":9007199254740993,"completion_tokens":2}'),
            (
                "a bad detail",
                '{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":-3}}',
            ),
        )
    ),
    Case(
        name="a compressed document is read, and passed on as it is",
        engine="gateway",
        request=plain(),
        answer=document(
            '{"id":"z","model":"m","choices":[{"index":0,"message":{"content":"aaaaaaaaaaaaaaaaaaaaaa"},'
            '"finish_reason":"stop"}],"usage":{"prompt_tokens":21,"completion_tokens":22}}',
            coding="gzip",
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(21, 22), finish_reason="stop"),
        traps=(Trap.COMPRESSED_ANSWER,),
    ),
    *(
        Case(
            name=f"a request compressed with {coding} is read",
            engine="sglang",
            request=replace(plain(), coding=coding, forwarded=({"model": "m", "messages": MESSAGES},)),
            answer=document(
                '{"id":"z","model":"m","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],'
                '"usage":{"prompt_tokens":21,"completion_tokens":22}}'
            ),
            expected=Metered(api=API, model_id="m", tokens=Tokens(21, 22), finish_reason="stop"),
            traps=(Trap.REQUEST_IS_NOT_PLAIN,),
        )
        for coding in ("zstd", "gzip")
    ),
    Case(
        name="a compressed request that is cut short is refused",
        engine="sglang",
        request=Request(PATH, b"\x1f\x8b\x08\x00", headers=(("Content-Encoding", "gzip"),)),
        expected=Refused(400),
        traps=(Trap.REQUEST_IS_NOT_PLAIN,),
    ),
    Case(
        name="a request in an unknown coding is refused",
        engine="sglang",
        request=Request(PATH, b"{}", headers=(("Content-Encoding", "lz77"),)),
        expected=Refused(400),
        traps=(Trap.REQUEST_IS_NOT_PLAIN,),
    ),
    Case(
        name="an error with status 200 is an error",
        engine="gateway",
        request=plain(),
        answer=document('{"error":{"message":"no healthy backend","code":503}}'),
        expected=Metered(api=API, outcome="upstream_error"),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="an engine answers a request for a stream with a document",
        engine="gateway",
        request=unasked(),
        answer=document(
            '{"id":"f","model":"m","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}],'
            '"usage":{"prompt_tokens":3,"completion_tokens":4}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(3, 4), finish_reason="stop"),
        traps=(Trap.STREAM_REFUSED,),
    ),
    Case(
        name="a refusal in JSON is passed on with its status",
        engine="vllm",
        request=unasked(),
        answer=document(
            '{"error":{"message":"This model\'s maximum context length is 4096 tokens.","type":'
            '"BadRequestError","param":"input_tokens","code":400}}',
            status=400,
        ),
        expected=Metered(api=API, outcome="upstream_error", status=400),
        traps=(Trap.STREAM_REFUSED,),
    ),
    Case(
        name="llama.cpp refuses a stream with a document before the first token",
        engine="llama.cpp",
        request=unasked(),
        answer=document(
            '{"error":{"code":500,"message":"context size has been exceeded","type":"server_error"}}',
            status=500,
        ),
        expected=Metered(api=API, outcome="upstream_error", status=500),
        traps=(Trap.STREAM_REFUSED,),
    ),
    Case(
        name="a document is cut inside a count",
        engine="vllm",
        request=plain(),
        answer=document(
            '{"id":"c","model":"m","choices":[{"index":0,"finish_reason":"stop"}],'
            '"usage":{"completion_tokens":2,"prompt_tokens":482',
            framing=Framing.CHUNKED,
            cut=True,
        ),
        expected=Metered(api=API, outcome="upstream_error"),
        traps=(Trap.CUT_INSIDE_A_NUMBER,),
    ),
    *(
        Case(
            name=f"{engine} gives cached tokens at the top of the usage",
            engine=engine,
            request=plain(),
            answer=document(
                '{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"OK"},'
                f'"finish_reason":"stop"}}],"usage":{{"prompt_tokens":310,"completion_tokens":7,{more}}}}}'
            ),
            expected=Metered(api=API, model_id="m", tokens=Tokens(310, 7, cached=256), finish_reason="stop"),
            traps=(Trap.CACHED_AT_THE_TOP,),
        )
        for engine, more in (
            ("moonshot", '"total_tokens":317,"cached_tokens":256'),
            ("deepseek", '"total_tokens":317,"prompt_cache_hit_tokens":256,"prompt_cache_miss_tokens":54'),
        )
    ),
    *(
        Case(
            name=f"the details {details} are none, and the counts beside them are good",
            engine="faulty",
            request=plain(),
            answer=document(
                '{"id":"c","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"OK"},'
                '"finish_reason":"stop"}],"usage":{"prompt_tokens":310,"completion_tokens":7,'
                f'"completion_tokens_details":{{"reasoning_tokens":2}},"prompt_tokens_details":{details}}}}}'
            ),
            expected=Metered(api=API, model_id="m", tokens=Tokens(310, 7, reasoning=2), finish_reason="stop"),
            traps=(Trap.BAD_DETAILS,),
        )
        for details in ("[]", '"none"', "0", "[256]", "true")
    ),
]
