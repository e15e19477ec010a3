"""Answers of the OpenAI embeddings API."""

from .case import Case, Metered, Refused, Request, Resource, Tokens, document, filled, post
from .traps import Trap

API = "openai.embeddings"
PATH = "/v1/embeddings"


def embed(**more: object) -> Request:
    """Make a request, which goes on as it is."""
    return post(PATH, {"model": "m", "input": ["Grüße", "b"], **more})


METADATA = (
    '{"id": "embd-3", "created": 1763600000, "model": "e5", "data": [{"index": 0, "embed_dtype": "float32", '
    '"endianness": "native", "start": 0, "end": 16, "shape": [4]}], "usage": {"prompt_tokens": 14, '
    '"total_tokens": 14}}'
)
VECTORS = bytes(range(256))
BIG_VECTOR = ",".join(f"{number / 7:.8f}" for number in range(50_000))

CASES = [
    Case(
        name="OpenAI counts the prompt",
        engine="openai",
        request=embed(),
        answer=document(
            '{\n  "object": "list",\n  "data": [\n    {"object": "embedding", "index": 0, "embedding": '
            '[-0.006929283, 0.0023064255]}\n  ],\n  "model": "text-embedding-3-small",\n  "usage": '
            '{\n    "prompt_tokens": 8,\n    "total_tokens": 8\n  }\n}\n'
        ),
        expected=Metered(api=API, model_id="text-embedding-3-small", tokens=Tokens(8)),
    ),
    Case(
        name="vLLM counts a completion of zero",
        engine="vllm",
        request=embed(),
        answer=document(
            '{"id":"embd-1","object":"list","created":1,"model":"e5","data":[{"index":0,"object":"embedding",'
            '"embedding":[0.1]}],"usage":{"prompt_tokens":14,"total_tokens":14,"completion_tokens":0,'
            '"prompt_tokens_details":null}}'
        ),
        expected=Metered(api=API, model_id="e5", tokens=Tokens(14, 0)),
        traps=(Trap.CACHED_UNKNOWN,),
    ),
    Case(
        name="vLLM answers in raw bytes, with usage in a header",
        engine="vllm",
        request=embed(encoding_format="bytes"),
        answer=document(VECTORS, content_type="application/octet-stream", headers=(("metadata", METADATA),)),
        expected=Metered(api=API, model_id="e5", tokens=Tokens(14)),
        traps=(Trap.USAGE_IN_A_METADATA_HEADER,),
    ),
    Case(
        name="vLLM would answer in raw bytes alone, without usage",
        engine="vllm",
        request=embed(encoding_format="bytes_only"),
        expected=Refused(400),
        traps=(Trap.USAGE_IN_A_METADATA_HEADER,),
    ),
    Case(
        name="SGLang answers with the path of its model",
        engine="sglang",
        request=embed(),
        answer=document(
            '{"data":[{"embedding":[0.1],"index":0,"object":"embedding"}],"model":"/models/gte-qwen2",'
            '"object":"list","usage":{"prompt_tokens":4,"total_tokens":4,"completion_tokens":0,'
            '"prompt_tokens_details":null,"reasoning_tokens":0}}'
        ),
        expected=Metered(api=API, model_id="/models/gte-qwen2", tokens=Tokens(4, 0, reasoning=0)),
        traps=(Trap.CLIENT_NAMES_THE_MODEL,),
    ),
    Case(
        name="llama.cpp repeats the name it was sent, here alone",
        engine="llama.cpp",
        request=post("/v1/embeddings", {"model": "cheap", "input": "a"}),
        answer=document(
            '{"model":"cheap","object":"list","usage":{"prompt_tokens":6,"total_tokens":6},"data":['
            '{"embedding":[0.1],"index":0,"object":"embedding"}]}'
        ),
        resource=Resource(engine="llama.cpp"),
        expected=Metered(api=API, model_id="cheap", tokens=Tokens(6), model_untrusted=True),
        traps=(Trap.NAME_DEPENDS_ON_PATH,),
    ),
    Case(
        name="Dynamo answers embeddings in the OpenAI shape",
        engine="dynamo",
        request=embed(),
        answer=document(
            '{"object":"list","model":"m","data":[{"index":0,"object":"embedding","embedding":[0.1]}],'
            '"usage":{"prompt_tokens":4,"total_tokens":4}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(4)),
    ),
    *(
        Case(
            name=f"{engine} embeds on /embeddings, in the OpenAI shape",
            engine=engine,
            request=post("/embeddings", {"model": "m", "input": "a"}),
            answer=document(
                '{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.1]}],'
                '"usage":{"prompt_tokens":5,"total_tokens":5}}'
            ),
            resource=Resource(engine=engine, models=("m",)),
            expected=Metered(api=API, model_id="m", tokens=Tokens(5)),
        )
        for engine in ("tei", "infinity", "localai")
    ),
    Case(
        name="llama.cpp has an API of its own on /embeddings, without usage",
        engine="llama.cpp",
        request=post("/embeddings", {"input": "a"}),
        resource=Resource(engine="llama.cpp"),
        expected=Refused(400),
    ),
    Case(
        name="TEI takes embeddings without a model, and counts in a header as well",
        engine="tei",
        request=post(PATH, {"input": "a"}),
        answer=document(
            '{"object":"list","model":"bge","data":[],"usage":{"prompt_tokens":5,"total_tokens":5}}',
            headers=(("x-compute-tokens", "5"), ("x-compute-characters", "1")),
        ),
        resource=Resource(engine="tei", models=("bge",)),
        expected=Metered(
            api=API, model_id="bge", tokens=Tokens(5), usage_raw='{"prompt_tokens":5,"total_tokens":5}'
        ),
        traps=(Trap.COUNTS_IN_HEADERS,),
    ),
    Case(
        name="a total alone is the prompt's",
        engine="gateway",
        request=embed(),
        answer=document('{"object":"list","model":"m","data":[],"usage":{"total_tokens":77}}'),
        expected=Metered(api=API, model_id="m", tokens=Tokens(77)),
    ),
    Case(
        name="half a megabyte of numbers comes before usage",
        engine="vllm",
        request=embed(),
        answer=document(
            filled(
                '{"object":"list","data":[{"index":0,"object":"embedding","embedding":[«vector»]}],"model":"m",'
                '"usage":{"prompt_tokens":4096,"total_tokens":4096}}',
                vector=BIG_VECTOR,
            )
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(4096)),
        traps=(Trap.BIG_BODIES,),
    ),
    Case(
        name="five megabytes of text come before usage",
        engine="vllm",
        request=embed(encoding_format="base64"),
        answer=document(
            filled(
                '{"object":"list","data":[{"index":0,"object":"embedding","embedding":"«text»"}],"model":"m",'
                '"usage":{"prompt_tokens":131072,"total_tokens":131072}}',
                text="AACAPw==" * 640_000,
            )
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(131072)),
        traps=(Trap.BIG_BODIES,),
    ),
    Case(
        name="a compressed answer of half a megabyte is read",
        engine="gateway",
        request=embed(),
        answer=document(
            filled(
                '{"model":"m","data":[{"embedding":[«vector»]}],"usage":{"prompt_tokens":4096,'
                '"total_tokens":4096}}',
                vector=BIG_VECTOR,
            ),
            coding="br",
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(4096)),
        traps=(Trap.BIG_BODIES, Trap.COMPRESSED_ANSWER),
    ),
]
