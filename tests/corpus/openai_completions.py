"""Answers of the OpenAI completions API."""

from .case import (
    DONE,
    SSE_UTF8,
    Case,
    Changed,
    Metered,
    Request,
    Resource,
    Tokens,
    data,
    document,
    events,
    filled,
    post,
)
from .traps import Trap

API = "openai.completions"
PATH = "/v1/completions"


def plain(prompt: object = "x", **more: object) -> Request:
    """Make a request for one document, which goes on as it is."""
    return post(PATH, {"model": "m", "prompt": prompt, **more})


def unasked(prompt: object = "x", **more: object) -> Request:
    """Make a request for a stream by a client that does not ask for usage."""
    body = {"model": "m", "prompt": prompt, "stream": True, **more}
    return post(PATH, body, {**body, "stream_options": {"include_usage": True}})


def streamed(
    tokens: Tokens | None, finish_reason: str, outcome: str = "completed", model: str = "m"
) -> Metered:
    """Make what is expected of a stream."""
    return Metered(
        api=API, model_id=model, tokens=tokens, finish_reason=finish_reason, outcome=outcome, streamed=True
    )


def ollama_chunk(text: str, reason: str, usage: str = "") -> bytes:
    """Make a chunk as Ollama does, with a usage or without."""
    return data(
        filled(
            '{"id":"cmpl-3","object":"text_completion","created":1,"choices":[{"text":"«text»","index":0,'
            '"finish_reason":«reason»}],"model":"llama3.2","system_fingerprint":"fp_ollama"«usage»}',
            text=text,
            reason=reason,
            usage=usage,
        )
    )


def ollama_zeros(text: str, reason: str) -> Changed:
    """Make a chunk as Ollama does when usage is asked for, and as it would without being asked."""
    zeros = ',"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}'
    return Changed(ollama_chunk(text, reason, zeros), ollama_chunk(text, reason))


OLLAMA_FINAL = data(
    '{"id":"cmpl-3","object":"text_completion","created":1,"choices":[],"model":"llama3.2",'
    '"system_fingerprint":"fp_ollama","usage":{"prompt_tokens":26,"completion_tokens":2,"total_tokens":28}}'
)


def vllm_chunk(index: int, usage: str = "") -> bytes:
    """Make a chunk as vLLM does, with running usage or without."""
    return data(
        filled(
            '{"id":"cmpl-4","model":"m","choices":[{"index":«i»,"text":"x"}]«usage»}', i=index, usage=usage
        )
    )


CASES = [
    Case(
        name="an older model answers without details",
        engine="openai",
        request=plain(),
        answer=document(
            '{"id":"cmpl-1","object":"text_completion","created":1,"model":"gpt-3.5-turbo-instruct:0914",'
            '"choices":[{"text":"x","index":0,"logprobs":null,"finish_reason":"length"}],"usage":'
            '{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}'
        ),
        expected=Metered(
            api=API, model_id="gpt-3.5-turbo-instruct:0914", tokens=Tokens(5, 7), finish_reason="length"
        ),
    ),
    Case(
        name="vLLM answers several prompts with the cached tokens of the last",
        engine="vllm",
        request=plain(["a", "b"]),
        answer=document(
            '{"id":"cmpl-2","object":"text_completion","created":1,"model":"m","choices":['
            '{"index":0,"text":"x","logprobs":null,"finish_reason":"stop","stop_reason":null},'
            '{"index":1,"text":"y","logprobs":null,"finish_reason":"length","stop_reason":null}],'
            '"usage":{"prompt_tokens":164,"total_tokens":180,"completion_tokens":16,'
            '"prompt_tokens_details":{"cached_tokens":16}}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(164, 16, cached=16), finish_reason="length"),
        traps=(Trap.CACHED_OF_ONE_PROMPT,),
    ),
    Case(
        name="vLLM's running usage of several prompts adds up when the stream breaks off",
        engine="vllm",
        request=post(
            PATH,
            {"model": "m", "prompt": ["a", "b"], "stream": True},
            {
                "model": "m",
                "prompt": ["a", "b"],
                "stream": True,
                "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            },
        ),
        answer=events(
            *(
                Changed(vllm_chunk(index, f',"usage":{usage}'), vllm_chunk(index))
                for index, usage in (
                    (0, '{"prompt_tokens":3,"total_tokens":4,"completion_tokens":1}'),
                    (1, '{"prompt_tokens":5,"total_tokens":6,"completion_tokens":1}'),
                    (0, '{"prompt_tokens":3,"total_tokens":6,"completion_tokens":3}'),
                )
            ),
            cut=True,
        ),
        resource=Resource(engine="vllm", usage="continuous"),
        expected=streamed(Tokens(8, 4), "", "upstream_error"),
        traps=(Trap.RUNNING_PER_CHOICE, Trap.ABORT_IS_NEVER_REPORTED),
    ),
    Case(
        name="vLLM's running usage of two prompts in embeddings adds up when the stream breaks off",
        engine="vllm",
        request=post(
            PATH,
            {"model": "m", "prompt_embeds": ["AAAA", "BBBB"], "stream": True},
            {
                "model": "m",
                "prompt_embeds": ["AAAA", "BBBB"],
                "stream": True,
                "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            },
        ),
        answer=events(
            *(
                Changed(vllm_chunk(index, f',"usage":{usage}'), vllm_chunk(index))
                for index, usage in (
                    (0, '{"prompt_tokens":10,"total_tokens":11,"completion_tokens":1}'),
                    (1, '{"prompt_tokens":10,"total_tokens":11,"completion_tokens":1}'),
                    (0, '{"prompt_tokens":10,"total_tokens":12,"completion_tokens":2}'),
                    (1, '{"prompt_tokens":10,"total_tokens":12,"completion_tokens":2}'),
                )
            ),
            cut=True,
        ),
        resource=Resource(engine="vllm", usage="continuous"),
        expected=streamed(Tokens(20, 4), "", "upstream_error"),
        traps=(Trap.RUNNING_PER_CHOICE, Trap.ABORT_IS_NEVER_REPORTED),
    ),
    *(
        Case(
            name=f"running usage of {what} counts the prompt {'once' if prompt == 3 else 'for each'}",
            engine="vllm",
            request=post(
                PATH,
                {"model": "m", "prompt": token_ids, "stream": True, "stream_options": options},
            ),
            answer=events(
                data(
                    '{"id":"c","model":"m","choices":[{"index":0,"text":"x","finish_reason":"stop"}],"usage":'
                    '{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2}}'
                ),
                data(
                    '{"id":"c","model":"m","choices":[{"index":1,"text":"y","finish_reason":"stop"}],"usage":'
                    '{"prompt_tokens":3,"total_tokens":7,"completion_tokens":4}}'
                ),
                DONE,
            ),
            expected=streamed(Tokens(prompt, 6), "stop"),
            traps=(Trap.PROMPT_ONCE_PER_PROMPT, Trap.RUNNING_WITHOUT_FINAL),
        )
        for options in ({"include_usage": True, "continuous_usage_stats": True},)
        for what, token_ids, prompt in (
            ("one prompt of token ids", [1, 2, 3], 3),
            ("two prompts of token ids", [[1, 2, 3], [4, 5, 6]], 6),
        )
    ),
    Case(
        name="vLLM fails inside a stream, with spaces in its error",
        engine="vllm",
        request=unasked(),
        answer=events(
            data('{"id":"cmpl-5","model":"m","choices":[{"index":0,"text":"x","finish_reason":null}]}'),
            data(
                '{"error": {"message": "CUDA error", "type": "InternalServerError", "param": null, '
                '"code": 500}}'
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        expected=streamed(None, "", "upstream_error"),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="SGLang answers with reasoning at the top and no cached tokens unless told to",
        engine="sglang",
        request=plain(),
        answer=document(
            '{"id":"s","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"x",'
            '"logprobs":null,"finish_reason":"length","matched_stop":null}],"usage":{"prompt_tokens":6,'
            '"total_tokens":22,"completion_tokens":16,"prompt_tokens_details":null,"reasoning_tokens":0},'
            '"metadata":{"weight_version":"default"}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(6, 16, reasoning=0), finish_reason="length"),
        traps=(Trap.CACHED_UNKNOWN,),
    ),
    Case(
        name="TGI puts the usage of each prompt on its last chunk, and empty finish reasons on the others",
        engine="tgi",
        request=unasked(["a", "b"]),
        answer=events(
            *(
                b'data: {"object":"text_completion","id":"","created":1,"choices":[{"index":%d,"text":"%s",'
                b'"logprobs":null,"finish_reason":"%s"}],"model":"m","system_fingerprint":"3.3.6",'
                b'"usage":%s}\n\n' % chunk
                for chunk in (
                    (0, b"a", b"", b"null"),
                    (1, b"b", b"", b"null"),
                    (1, b"", b"eos_token", b'{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}'),
                    (0, b"\xc3\xa4", b"", b"null"),
                    (0, b"", b"stop_sequence", b'{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}'),
                )
            ),
            DONE,
        ),
        expected=streamed(Tokens(7, 10), "stop_sequence"),
        traps=(Trap.USAGE_PER_PROMPT, Trap.USAGE_ELSEWHERE),
    ),
    Case(
        name="TGI answers several prompts with the sum, and another finish reason than in a stream",
        engine="tgi",
        request=plain(["a", "b"]),
        answer=document(
            '{"object":"text_completion","id":"","created":1,"model":"m","system_fingerprint":"3.3.6",'
            '"choices":[{"index":0,"text":"x","logprobs":null,"finish_reason":"stop"},{"index":1,"text":"y",'
            '"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":10,'
            '"total_tokens":17}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(7, 10), finish_reason="stop"),
    ),
    Case(
        name="TensorRT-LLM sends a usage chunk for each prompt, each with an id of its own",
        engine="tensorrt-llm",
        request=unasked(["a", "b"]),
        answer=events(
            b'data: {"id":"cmpl-p0","model":"m","choices":[{"index":0,"text":"x",'
            b'"finish_reason":"stop"}]} \n\n',
            Changed(
                data(
                    '{"id":"cmpl-p0","model":"m","choices":[],"usage":{"prompt_tokens":3,"total_tokens":4,'
                    '"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":1}}}'
                )
            ),
            data('{"id":"cmpl-p1","model":"m","choices":[{"index":1,"text":"y","finish_reason":"length"}]}'),
            Changed(
                data(
                    '{"id":"cmpl-p1","model":"m","choices":[],"usage":{"prompt_tokens":4,"total_tokens":6,'
                    '"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":0}}}'
                )
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        expected=streamed(Tokens(7, 3, cached=1), "length"),
        traps=(Trap.FINAL_USAGE_PER_PROMPT,),
    ),
    Case(
        name="Ollama puts zeros on every chunk before the last, because it was asked",
        engine="ollama",
        request=unasked(),
        answer=events(ollama_zeros("a", "null"), ollama_zeros("", '"stop"'), Changed(OLLAMA_FINAL), DONE),
        expected=streamed(Tokens(26, 2), "stop", model="llama3.2"),
        traps=(Trap.ZERO_PLACEHOLDERS,),
    ),
    Case(
        name="a client that asked Ollama for usage gets its zeros too",
        engine="ollama",
        request=plain(stream=True, stream_options={"include_usage": True}),
        answer=events(ollama_zeros("a", "null").sent, ollama_zeros("", '"stop"').sent, OLLAMA_FINAL, DONE),
        expected=streamed(Tokens(26, 2), "stop", model="llama3.2"),
        traps=(Trap.ZERO_PLACEHOLDERS,),
    ),
    Case(
        name="Ollama's zeros are no usage when nothing else comes",
        engine="ollama",
        request=unasked(),
        answer=events(ollama_zeros("a", "null"), ollama_zeros("b", "null"), cut=True),
        expected=streamed(None, "", "upstream_error", model="llama3.2"),
        traps=(Trap.ZERO_PLACEHOLDERS, Trap.SWALLOWED_ERROR),
    ),
    Case(
        name="llama.cpp streams a completion with usage and timings on its last chunk",
        engine="llama.cpp",
        request=plain(stream=True, stream_options={"include_usage": True}),
        answer=events(
            data(
                '{"choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}],"created":1,'
                '"model":"qwen","system_fingerprint":"b7100","object":"text_completion","id":"chatcmpl-c"}'
            ),
            data(
                '{"choices":[{"text":"","index":0,"logprobs":null,"finish_reason":"stop"}],"created":1,'
                '"model":"qwen","system_fingerprint":"b7100","object":"text_completion","usage":'
                '{"completion_tokens":2,"prompt_tokens":12,"total_tokens":14,"prompt_tokens_details":'
                '{"cached_tokens":11}},"id":"chatcmpl-c","timings":{"cache_n":11,"prompt_n":1,"predicted_n":2}}'
            ),
            DONE,
        ),
        expected=streamed(Tokens(12, 2, cached=11), "stop", model="qwen"),
        traps=(Trap.USAGE_ELSEWHERE,),
    ),
    Case(
        name="Dynamo streams a completion with null details",
        engine="dynamo",
        request=unasked(),
        answer=events(
            data('{"id":"cmpl-n","choices":[{"text":"a","index":0,"finish_reason":"stop"}],"model":"m"}'),
            Changed(
                data(
                    '{"id":"cmpl-n","choices":[],"created":1,"model":"m","object":"text_completion","usage":'
                    '{"prompt_tokens":4,"completion_tokens":1,"total_tokens":5,"prompt_tokens_details":null,'
                    '"completion_tokens_details":null}}'
                )
            ),
            DONE,
        ),
        expected=streamed(Tokens(4, 1), "stop"),
    ),
]
