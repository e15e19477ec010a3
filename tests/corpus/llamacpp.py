"""Answers of llama.cpp's own API."""

from .case import Case, Free, Metered, Request, Tokens, data, document, events, filled, post
from .traps import Trap

API = "llamacpp.completion"


def asked(path: str = "/completion", **more: object) -> Request:
    """Make a request, which goes on as it is."""
    return post(path, {"prompt": "Grüße", "n_predict": 8, **more})


def final(index: int, evaluated: int, predicted: int, cache_n: int, stop_type: str) -> str:
    """Make a final result. What is called tokens_cached is the slot's fill, not the cache's hits."""
    return filled(
        '{"index":«index»,"content":"","tokens":[],"id_slot":0,"stop":true,"model":"qwen3-4b",'
        '"tokens_predicted":«predicted»,"tokens_evaluated":«evaluated»,"generation_settings":{"n_predict":8,'
        '"stream":true,"timings_per_token":false},"prompt":"Gr\\u00fc\\u00dfe","has_new_line":false,'
        '"truncated":false,"stop_type":"«reason»","stopping_word":"","tokens_cached":«slot»,"timings":'
        '{"cache_n":«cached»,"prompt_n":«rest»,"prompt_ms":8.2,"predicted_n":«predicted»,"predicted_ms":99.0}}',
        index=index,
        evaluated=evaluated,
        predicted=predicted,
        reason=stop_type,
        slot=evaluated + predicted - 1,
        cached=cache_n,
        rest=evaluated - cache_n,
    )


PIECES = tuple(
    data(
        filled(
            '{"index":0,"content":"«content»","tokens":[1],"stop":false,"id_slot":-1,"tokens_predicted":«n»,'
            '"tokens_evaluated":9}',
            content=content,
            n=number,
        )
    )
    for number, content in enumerate(("a", "ü"), 1)
)

STREAMED = {"prompt": "Grüße", "n_predict": 8, "stream": True}

CASES = [
    Case(
        name="the prompt is what was evaluated, cached part included",
        engine="llama.cpp",
        request=asked(),
        answer=document(final(0, 9, 8, 5, "limit"), content_type="application/json; charset=utf-8"),
        expected=Metered(api=API, model_id="qwen3-4b", tokens=Tokens(9, 8, cached=5), finish_reason="limit"),
        traps=(Trap.TIMINGS_EXCLUDE_CACHE,),
    ),
    Case(
        name="a stream is counted by its last event",
        engine="llama.cpp",
        request=post("/completions", STREAMED, {**STREAMED, "stream_options": {"include_usage": True}}),
        answer=events(*PIECES, data(final(0, 9, 2, 0, "eos"))),
        expected=Metered(
            api=API,
            model_id="qwen3-4b",
            tokens=Tokens(9, 2, cached=0),
            finish_reason="eos",
            streamed=True,
        ),
        traps=(Trap.TIMINGS_EXCLUDE_CACHE,),
    ),
    Case(
        name="an infill is counted as a completion is",
        engine="llama.cpp",
        request=post("/infill", {"input_prefix": "def f(", "input_suffix": "):", "stream": False}),
        answer=document(final(0, 31, 4, 30, "word")),
        expected=Metered(api=API, model_id="qwen3-4b", tokens=Tokens(31, 4, cached=30), finish_reason="word"),
    ),
    Case(
        name="several prompts of llama.cpp's are answered with a list, which adds up",
        engine="llama.cpp",
        request=post("/completion", {"prompt": ["a", "b"]}),
        answer=document(f"[{final(0, 9, 8, 5, 'limit')},{final(1, 3, 2, 0, 'eos')}]"),
        expected=Metered(api=API, model_id="qwen3-4b", tokens=Tokens(12, 10, cached=5), finish_reason="eos"),
    ),
    Case(
        name="an older build has no cache in its timings",
        engine="llama.cpp",
        request=asked(),
        answer=document(
            '{"content":"a","id_slot":0,"stop":true,"model":"qwen","tokens_predicted":3,"tokens_evaluated":7,'
            '"stop_type":"eos","tokens_cached":9,"timings":{"prompt_n":7,"predicted_n":3}}'
        ),
        expected=Metered(api=API, model_id="qwen", tokens=Tokens(7, 3), finish_reason="eos"),
        traps=(Trap.TIMINGS_EXCLUDE_CACHE, Trap.CACHED_UNKNOWN),
    ),
    Case(
        name="a stream of llama.cpp's own fails",
        engine="llama.cpp",
        request=asked(stream=True),
        answer=events(
            PIECES[0],
            data('{"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}'),
        ),
        expected=Metered(api=API, tokens=Tokens(9, 1), outcome="upstream_error", streamed=True),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="a stream of llama.cpp's own breaks off, and its pieces have counted so far",
        engine="llama.cpp",
        request=asked(stream=True),
        answer=events(*PIECES, cut=True),
        expected=Metered(api=API, tokens=Tokens(9, 2), outcome="upstream_error", streamed=True),
        traps=(Trap.ABORT_IS_NEVER_REPORTED,),
    ),
    Case(
        name="applying a template is free",
        engine="llama.cpp",
        request=post("/apply-template", {"messages": []}),
        answer=document('{"prompt":"<|im_start|>user"}'),
        expected=Free(),
    ),
    *(
        Case(
            name=f"{path} is free, whatever it counts",
            engine="llama.cpp",
            request=post(path, {"content": "a"}),
            answer=document('{"count":3,"max_model_len":4096,"tokens":[1,2,3]}'),
            expected=Free(),
            traps=(Trap.COUNTS_THAT_ARE_NO_INFERENCE,),
        )
        for path in ("/tokenize", "/detokenize")
    ),
]
