"""Answers of the APIs of pooling models, and of vLLM's tokens in and tokens out."""

from .case import DONE, SSE_UTF8, Case, Changed, Metered, Resource, Tokens, data, document, events, post
from .traps import Trap

GENERATE = "/inference/v1/generate"
TOKEN_IDS: dict[str, object] = {
    "model": "qwen3-8b",
    "token_ids": [1, 2, 3],
    "sampling_params": {"max_tokens": 4},
}
VLLM = Resource(engine="vllm", models=("qwen3-8b",))


def usage(count: int) -> str:
    """Make vLLM's usage of a prompt alone."""
    return (
        f'"usage":{{"prompt_tokens":{count},"total_tokens":{count},"completion_tokens":0,'
        '"prompt_tokens_details":null}'
    )


CASES = [
    *(
        Case(
            name=f"vLLM scores on {path}",
            engine="vllm",
            request=post(path, {"model": "bge", "text_1": "a", "text_2": ["b", "c"]}),
            answer=document(
                '{"id":"score-1","object":"list","created":1,"model":"bge","data":[{"index":0,"object":"score",'
                '"score":0.9},{"index":1,"object":"score","score":0.1}],' + usage(29) + "}"
            ),
            expected=Metered(api="vllm.score", model_id="bge", tokens=Tokens(29, 0)),
        )
        for path in ("/score", "/v1/score")
    ),
    Case(
        name="SGLang scores with usage",
        engine="sglang",
        request=post("/v1/score", {"model": "m", "query": "a", "items": ["b"], "label_token_ids": [1]}),
        answer=document(
            '{"scores":[[0.4]],"model":"/models/m","usage":{"prompt_tokens":8,"total_tokens":8,'
            '"completion_tokens":0,"prompt_tokens_details":null,"reasoning_tokens":0},"object":"scoring"}'
        ),
        expected=Metered(api="vllm.score", model_id="/models/m", tokens=Tokens(8, 0, reasoning=0)),
    ),
    Case(
        name="vLLM classifies",
        engine="vllm",
        request=post("/classify", {"model": "m", "input": ["a"]}),
        answer=document(
            '{"id":"classify-1","object":"list","created":1,"model":"m","data":[{"index":0,"label":"Default",'
            '"probs":[0.5,0.5],"num_classes":2}],' + usage(10) + "}"
        ),
        expected=Metered(api="vllm.classify", model_id="m", tokens=Tokens(10, 0)),
    ),
    Case(
        name="SGLang classifies in the shape of vLLM",
        engine="sglang",
        request=post("/v1/classify", {"model": "m", "input": "a"}),
        answer=document(
            '{"id":"classify-2","object":"list","created":1,"model":"m","data":[{"index":0,"label":"x",'
            '"probs":[1.0],"num_classes":1}],"usage":{"prompt_tokens":10,"total_tokens":10,'
            '"completion_tokens":0,"prompt_tokens_details":null,"reasoning_tokens":0}}'
        ),
        expected=Metered(api="vllm.classify", model_id="m", tokens=Tokens(10, 0, reasoning=0)),
    ),
    Case(
        name="SGLang rewards with a list, which adds up",
        engine="sglang",
        request=post("/classify", {"text": ["a", "b"]}),
        answer=document(
            '[{"embedding":[1.5],"meta_info":{"id":"a","prompt_tokens":20}},'
            '{"embedding":[-0.5],"meta_info":{"id":"b","prompt_tokens":22}}]'
        ),
        expected=Metered(api="vllm.classify", tokens=Tokens(42)),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="vLLM pools",
        engine="vllm",
        request=post("/pooling", {"model": "m", "input": "a", "encoding_format": "base64"}),
        answer=document(
            '{"id":"pool-1","object":"list","created":1,"model":"m","data":[{"index":0,"object":"pooling",'
            '"data":"AACAPw=="}],' + usage(3) + "}"
        ),
        expected=Metered(api="vllm.pooling", model_id="m", tokens=Tokens(3, 0)),
    ),
    Case(
        name="vLLM pools into raw bytes, with usage in a header",
        engine="vllm",
        request=post("/pooling", {"model": "m", "input": "a", "encoding_format": "bytes"}),
        answer=document(
            b"\x00\x00\x80?\xff\xfe\n",
            content_type="application/octet-stream",
            headers=(
                (
                    "metadata",
                    '{"id": "pool-2", "created": 1, "model": "m", "data": [], "usage": {"prompt_tokens": 3, '
                    '"total_tokens": 3}}',
                ),
            ),
        ),
        expected=Metered(api="vllm.pooling", model_id="m", tokens=Tokens(3)),
        traps=(Trap.USAGE_IN_A_METADATA_HEADER,),
    ),
    Case(
        name="vLLM takes tokens and gives tokens",
        engine="vllm",
        request=post(GENERATE, TOKEN_IDS),
        answer=document(
            '{"request_id":"generate-tokens-1","choices":[{"index":0,"logprobs":null,"finish_reason":"length",'
            '"token_ids":[4,5,6,7]}],"prompt_logprobs":null,"kv_transfer_params":null,"usage":'
            '{"prompt_tokens":3,"total_tokens":7,"completion_tokens":4,"prompt_tokens_details":'
            '{"cached_tokens":0}}}'
        ),
        resource=VLLM,
        expected=Metered(
            api="vllm.generate",
            model_id="qwen3-8b",
            tokens=Tokens(3, 4, cached=0),
            finish_reason="length",
        ),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="vLLM streams tokens, and is asked for usage",
        engine="vllm",
        request=post(
            GENERATE,
            {**TOKEN_IDS, "stream": True},
            {**TOKEN_IDS, "stream": True, "stream_options": {"include_usage": True}},
        ),
        answer=events(
            data(
                '{"request_id":"generate-tokens-2","choices":[{"index":0,"logprobs":null,"finish_reason":null,'
                '"token_ids":[4]}]}'
            ),
            data(
                '{"request_id":"generate-tokens-2","choices":[{"index":0,"logprobs":null,"finish_reason":"stop",'
                '"token_ids":[5]}]}'
            ),
            Changed(
                data(
                    '{"request_id":"generate-tokens-2","choices":[],"usage":{"prompt_tokens":3,'
                    '"total_tokens":5,"completion_tokens":2}}'
                )
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        resource=VLLM,
        expected=Metered(
            api="vllm.generate",
            model_id="qwen3-8b",
            tokens=Tokens(3, 2),
            finish_reason="stop",
            streamed=True,
        ),
        traps=(Trap.NO_NAME,),
    ),
]
