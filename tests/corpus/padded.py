"""Events and documents of many megabytes, because engines repeat what clients choose."""

import json

from .case import (
    DONE,
    JSON,
    SSE,
    Case,
    Changed,
    Metered,
    Resource,
    Tokens,
    data,
    document,
    events,
    named,
    post,
)
from .openai_chat import streamed, unasked
from .sglang import ONLY
from .traps import Trap

# More than was ever held in memory of one event or of one member.
PAD = "x" * 4_300_000
LOGPROBS = [[-0.5, 1234, None]] * 330_000
TRAPS = (Trap.CLIENTS_PAD, Trap.BIG_BODIES)


def _response(kind: str, status: str, usage: object) -> bytes:
    response = {
        "id": "resp_1",
        "model": "m",
        "status": status,
        "metadata": {"a": PAD},
        "output": [],
        "usage": usage,
    }
    return named(kind, json.dumps({"type": kind, "response": response}))


def _chunk(**members: object) -> bytes:
    return data(json.dumps({"id": PAD, "object": "chat.completion.chunk", "model": "qwen3-8b", **members}))


def _meta(**members: object) -> dict[str, object]:
    counts = {"prompt_tokens": 32000, "cached_tokens": 0, "completion_tokens": 7}
    return {"id": "r1", "finish_reason": {"type": "stop"}, **members, **counts}


USAGE = {"prompt_tokens": 900, "completion_tokens": 7, "total_tokens": 907}
STOP = [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]
GENERATED = Metered(
    api="sglang.generate", model_id="qwen3-8b", tokens=Tokens(32000, 7, cached=0), finish_reason="stop"
)

CASES = [
    Case(
        name="every event of a response repeats the client's metadata",
        engine="vllm",
        request=post("/v1/responses", {"model": "m", "input": "write", "stream": True}),
        answer=events(
            _response("response.created", "in_progress", None),
            named("response.output_text.delta", '{"type":"response.output_text.delta","delta":"all"}'),
            _response("response.completed", "completed", {"input_tokens": 9000, "output_tokens": 900}),
        ),
        expected=Metered(
            api="openai.responses",
            model_id="m",
            tokens=Tokens(9000, 900),
            finish_reason="completed",
            streamed=True,
        ),
        traps=TRAPS,
    ),
    Case(
        name="the client's own id fills the meta information of an event",
        engine="sglang",
        request=post("/generate", {"text": "x", "stream": True}),
        answer=events(data(json.dumps({"text": "hi", "meta_info": _meta(id=PAD)})), DONE),
        resource=ONLY,
        expected=Metered(
            api=GENERATED.api,
            model_id=GENERATED.model_id,
            tokens=GENERATED.tokens,
            finish_reason="stop",
            streamed=True,
        ),
        traps=TRAPS,
    ),
    Case(
        name="log probabilities fill the meta information of a document",
        engine="sglang",
        request=post("/generate", {"text": "x", "return_logprob": True}),
        answer=document(json.dumps({"text": "hi", "meta_info": _meta(input_token_logprobs=LOGPROBS)})),
        resource=ONLY,
        expected=GENERATED,
        traps=TRAPS,
    ),
    Case(
        name="the client's own id fills the chunk with the usage that it did not ask for",
        engine="sglang",
        request=unasked("qwen3-8b"),
        answer=events(_chunk(choices=STOP), Changed(_chunk(choices=[], usage=USAGE)), DONE),
        resource=ONLY,
        expected=streamed("qwen3-8b", Tokens(900, 7)),
        traps=TRAPS,
    ),
    Case(
        name="the client's own id fills a chunk with running usage",
        engine="sglang",
        request=post(
            "/v1/chat/completions",
            {"model": "qwen3-8b", "messages": [], "stream": True},
            {
                "model": "qwen3-8b",
                "messages": [],
                "stream": True,
                "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            },
        ),
        answer=events(
            Changed(_chunk(choices=STOP, usage=USAGE), _chunk(choices=STOP)),
            Changed(_chunk(choices=[], usage=USAGE)),
            DONE,
        ),
        resource=Resource("sglang", ONLY.models, "continuous"),
        expected=streamed("qwen3-8b", Tokens(900, 7)),
        traps=TRAPS,
    ),
    Case(
        name="the last event repeats the prompt",
        engine="llama.cpp",
        request=post("/completion", {"prompt": "x", "stream": True}),
        answer=events(
            data('{"index":0,"content":"hi","stop":false,"tokens_predicted":1,"tokens_evaluated":32000}'),
            data(
                '{"index":0,"content":"","stop":true,"model":"m","tokens_predicted":7,"tokens_evaluated":32000,'
                f'"prompt":"{PAD}","stop_type":"eos"}}'
            ),
        ),
        expected=Metered(
            api="llamacpp.completion",
            model_id="m",
            tokens=Tokens(32000, 7),
            finish_reason="eos",
            streamed=True,
        ),
        traps=TRAPS,
    ),
    Case(
        name="an image comes in the event that has the usage",
        engine="openai",
        request=post("/v1/images/generations", {"model": "m", "prompt": "a", "stream": True}),
        answer=events(
            named(
                "image_generation.completed",
                f'{{"type":"image_generation.completed","b64_json":"{PAD}","usage":{{"input_tokens":50,'
                '"output_tokens":4000,"total_tokens":4050,"input_tokens_details":{"text_tokens":50}}}',
            )
        ),
        resource=Resource(models=("m",)),
        expected=Metered(api="openai.images", model_id="m", tokens=Tokens(50, 4000), streamed=True),
        traps=TRAPS,
    ),
    Case(
        name="a padded stream is labelled JSON as well",
        engine="vllm",
        request=post("/v1/responses", {"model": "m", "input": "write", "stream": True}),
        answer=events(
            _response("response.completed", "completed", {"input_tokens": 9000, "output_tokens": 900}),
            content_type=JSON,
            really=SSE,
        ),
        expected=Metered(
            api="openai.responses",
            model_id="m",
            tokens=Tokens(9000, 900),
            finish_reason="completed",
            streamed=True,
        ),
        traps=(*TRAPS, Trap.LABEL_IS_WRONG),
    ),
]
