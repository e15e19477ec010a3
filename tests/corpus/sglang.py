"""Answers of SGLang's own API."""

import json

from .case import DONE, Case, Metered, Request, Resource, Tokens, data, document, events, post
from .traps import Trap

API = "sglang.generate"
ONLY = Resource(engine="sglang", models=("qwen3-8b",))


def result(
    prompt: int,
    completion: int,
    cached: int,
    *,
    reason: str | None = None,
    reasoning: int | None = None,
    index: int | None = None,
) -> str:
    """Make one result, with the counts so far."""
    meta: dict[str, object] = {
        "id": f"r{prompt}",
        "finish_reason": {"type": reason, "matched": 2} if reason else None,
        "prompt_tokens": prompt,
        "weight_version": "default",
        "total_retractions": 0,
        "completion_tokens": completion,
        "cached_tokens": cached,
        "e2e_latency": 0.25,
    }
    if reasoning is not None:
        meta["reasoning_tokens"] = reasoning
    place = {} if index is None else {"index": index}
    made = {**place, "text": "Grüße"[:completion], "output_ids": list(range(completion)), "meta_info": meta}
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))


def asked(path: str = "/generate", method: str = "POST", **more: object) -> Request:
    """Make a request, which goes on as it is."""
    made = post(path, {"text": "a", "sampling_params": {"max_new_tokens": 16}, **more})
    return Request(made.path, made.body, method)


def streamed(tokens: Tokens, finish_reason: str, outcome: str = "completed") -> Metered:
    """Make what is expected of a stream of the only declared model."""
    return Metered(
        api=API,
        model_id="qwen3-8b",
        tokens=tokens,
        finish_reason=finish_reason,
        outcome=outcome,
        streamed=True,
    )


DECLARED = Resource(models=("m",))

CASES = [
    Case(
        name="a generation always counts cached tokens, and names no model",
        engine="sglang",
        request=asked(),
        answer=document(result(6, 16, 5, reason="length")),
        resource=DECLARED,
        expected=Metered(api=API, model_id="m", tokens=Tokens(6, 16, cached=5), finish_reason="length"),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="a generation counts its reasoning, for the only declared model",
        engine="sglang",
        request=asked(method="PUT"),
        answer=document(result(6, 16, 0, reason="stop", reasoning=11)),
        resource=ONLY,
        expected=Metered(
            api=API,
            model_id="qwen3-8b",
            tokens=Tokens(6, 16, cached=0, reasoning=11),
            finish_reason="stop",
        ),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="a stream's counts are cumulative",
        engine="sglang",
        request=asked(stream=True),
        answer=events(
            data(result(6, 1, 5)), data(result(6, 2, 5)), data(result(6, 3, 5, reason="stop")), DONE
        ),
        resource=ONLY,
        expected=streamed(Tokens(6, 3, cached=5), "stop"),
    ),
    Case(
        name="a stream that breaks off has its last counts",
        engine="sglang",
        request=asked(stream=True),
        answer=events(data(result(6, 1, 5)), data(result(6, 2, 5)), cut=True),
        resource=ONLY,
        expected=streamed(Tokens(6, 2, cached=5), "", "upstream_error"),
        traps=(Trap.ABORT_IS_NEVER_REPORTED, Trap.DROPPED_CONNECTION),
    ),
    Case(
        name="several prompts of SGLang's are answered with a list, which adds up",
        engine="sglang",
        request=asked(text=["a", "b"]),
        answer=document(f"[{result(6, 4, 5, reason='length')},{result(9, 3, 0, reason='stop')}]"),
        resource=DECLARED,
        expected=Metered(api=API, model_id="m", tokens=Tokens(15, 7, cached=5), finish_reason="stop"),
    ),
    Case(
        name="several choices of each prompt count the prompt once",
        engine="sglang",
        request=asked(text=["a", "b"], sampling_params={"n": 2}),
        answer=document(
            f"[{result(6, 4, 5, reason='stop')},{result(6, 2, 5, reason='stop')},"
            f"{result(9, 3, 0, reason='stop')},{result(9, 1, 0, reason='stop')}]"
        ),
        resource=DECLARED,
        expected=Metered(api=API, model_id="m", tokens=Tokens(15, 10, cached=5), finish_reason="stop"),
        traps=(Trap.PROMPT_ONCE_PER_PROMPT,),
    ),
    Case(
        name="a stream of several choices counts the prompt once",
        engine="sglang",
        request=asked(stream=True, sampling_params={"n": 2}),
        answer=events(
            data(result(6, 1, 5, index=0)),
            data(result(6, 1, 5, index=1)),
            data(result(6, 3, 5, reason="stop", index=0)),
            data(result(6, 2, 5, reason="length", index=1)),
            DONE,
        ),
        resource=ONLY,
        expected=streamed(Tokens(6, 5, cached=5), "length"),
        traps=(Trap.PROMPT_ONCE_PER_PROMPT,),
    ),
    Case(
        name="a stream of several prompts adds up",
        engine="sglang",
        request=asked(stream=True, text=["a", "b"]),
        answer=events(
            data(result(6, 1, 5, index=0)),
            data(result(9, 1, 0, index=1)),
            data(result(9, 2, 0, reason="length", index=1)),
            data(result(6, 3, 5, reason="stop", index=0)),
            DONE,
        ),
        resource=ONLY,
        expected=streamed(Tokens(15, 5, cached=5), "stop"),
    ),
    Case(
        name="a stream of SGLang's own fails",
        engine="sglang",
        request=asked(stream=True),
        answer=events(data(result(6, 1, 5)), data('{"error":{"message":"the request was aborted"}}'), DONE),
        resource=ONLY,
        expected=streamed(Tokens(6, 1, cached=5), "", "upstream_error"),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="predictions for Vertex are generations in a wrapper",
        engine="sglang",
        request=post(
            "/vertex_generate",
            {"instances": [{"text": "a"}, {"text": "b"}], "parameters": {"sampling_params": {}}},
        ),
        answer=document(
            f'{{"predictions":[{result(6, 4, 5, reason="length")},{result(9, 3, 0, reason="stop")}]}}'
        ),
        resource=ONLY,
        expected=Metered(api=API, model_id="qwen3-8b", tokens=Tokens(15, 7, cached=5), finish_reason="stop"),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
    ),
    Case(
        name="an embedding is counted in its meta information",
        engine="sglang",
        request=post("/encode", {"text": "a"}),
        answer=document(
            '{"embedding":[0.1,0.2],"meta_info":{"id":"e","finish_reason":{"type":"length","length":0},'
            '"prompt_tokens":7,"weight_version":"default","e2e_latency":0.1}}'
        ),
        resource=ONLY,
        expected=Metered(api="sglang.encode", model_id="qwen3-8b", tokens=Tokens(7), finish_reason="length"),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="one bad count among several results spoils all",
        engine="faulty",
        request=asked(text=["a", "b"]),
        answer=document(f"[{result(6, 4, 5, reason='stop')},{result(-9, 3, 0, reason='stop')}]"),
        resource=DECLARED,
        expected=Metered(api=API, finish_reason="stop"),
    ),
    Case(
        name="several embeddings add up",
        engine="sglang",
        request=post("/encode", {"text": ["a", "b"]}),
        answer=document(
            '[{"embedding":[0.1],"meta_info":{"id":"e","finish_reason":null,"prompt_tokens":7}},'
            '{"embedding":[0.1],"meta_info":{"id":"f","finish_reason":null,"prompt_tokens":5}}]'
        ),
        resource=ONLY,
        expected=Metered(api="sglang.encode", model_id="qwen3-8b", tokens=Tokens(12)),
    ),
]
