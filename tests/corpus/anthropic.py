"""Answers of the Anthropic messages API, as Anthropic and many engines speak it."""

from .case import (
    SSE_UTF8,
    Case,
    Free,
    Metered,
    Request,
    Resource,
    Tokens,
    document,
    events,
    filled,
    named,
    post,
)
from .traps import Trap

API = "anthropic.messages"
PATH = "/v1/messages"


def asked(model: str = "m", **more: object) -> Request:
    """Make a request, which goes on as it is."""
    return post(
        PATH, {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": "hi"}], **more}
    )


def streamed(
    tokens: Tokens | None, finish_reason: str, outcome: str = "completed", model: str = "m"
) -> Metered:
    """Make what is expected of a stream."""
    return Metered(
        api=API,
        model_id=model,
        tokens=tokens,
        finish_reason=finish_reason,
        outcome=outcome,
        streamed=True,
        usage_partial=tokens is not None and tokens.prompt is None,
    )


def message(usage: str, model: str = "m", stop_reason: str = "end_turn") -> str:
    """Make a whole message."""
    return filled(
        '{"id":"msg_1","type":"message","role":"assistant","model":"«model»","content":[{"type":"text",'
        '"text":"Grüße"}],"stop_reason":"«reason»","stop_sequence":null,"usage":«usage»}',
        model=model,
        reason=stop_reason,
        usage=usage,
    )


def start(usage: str, model: str = "m") -> bytes:
    """Make the first event of a stream."""
    text = filled(
        '{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"«model»",'
        '"content":[],"stop_reason":null,"stop_sequence":null,"usage":«usage»}}',
        model=model,
        usage=usage,
    )
    return named("message_start", text)


def delta(usage: str, stop_reason: str = "end_turn") -> bytes:
    """Make the event that ends the message."""
    text = filled(
        '{"type":"message_delta","delta":{"stop_reason":"«reason»","stop_sequence":null},"usage":«usage»}',
        reason=stop_reason,
        usage=usage,
    )
    return named("message_delta", text)


BLOCK = (
    named(
        "content_block_start",
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
    ),
    named("ping", '{"type": "ping"}'),
    named(
        "content_block_delta",
        '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Grüße 🦙"}}',
    ),
    named("content_block_stop", '{"type":"content_block_stop","index":0}'),
)
STOP = named("message_stop", '{"type":"message_stop"}')

DOCUMENTS = [
    Case(
        name="Anthropic counts cache reads and writes outside its input",
        engine="anthropic",
        request=asked("claude-opus-4-5"),
        answer=document(
            message(
                '{"input_tokens":10,"cache_creation_input_tokens":200,"cache_read_input_tokens":3000,'
                '"cache_creation":{"ephemeral_5m_input_tokens":148,"ephemeral_1h_input_tokens":52},'
                '"output_tokens":503,"output_tokens_details":{"thinking_tokens":400},"server_tool_use":null,'
                '"service_tier":"standard"}',
                model="claude-opus-4-5-20251101",
                stop_reason="tool_use",
            )
        ),
        expected=Metered(
            api=API,
            model_id="claude-opus-4-5-20251101",
            tokens=Tokens(3210, 503, cached=3000, reasoning=400, cache_write=200),
            finish_reason="tool_use",
        ),
        traps=(Trap.CACHE_IS_OUTSIDE_INPUT,),
    ),
    Case(
        name="Anthropic counts a compaction outside the totals",
        engine="anthropic",
        request=asked("claude"),
        answer=document(
            message(
                '{"input_tokens":23000,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
                '"output_tokens":1000,"iterations":[{"type":"compaction","input_tokens":180000,'
                '"cache_creation_input_tokens":0,"cache_read_input_tokens":5000,"output_tokens":3500},'
                '{"type":"message","input_tokens":23000,"cache_creation_input_tokens":0,'
                '"cache_read_input_tokens":0,"output_tokens":1000}]}'
            )
        ),
        expected=Metered(
            api=API,
            model_id="m",
            tokens=Tokens(208000, 4500, cached=5000, cache_write=0),
            finish_reason="end_turn",
        ),
        traps=(Trap.ITERATIONS_OUTSIDE_TOTALS,),
    ),
    Case(
        name="vLLM leaves the cache out unless it was told to show it",
        engine="vllm",
        request=asked(),
        answer=document(message('{"input_tokens":25,"output_tokens":7}', stop_reason="max_tokens")),
        expected=Metered(api=API, model_id="m", tokens=Tokens(25, 7), finish_reason="max_tokens"),
        traps=(Trap.CACHED_UNKNOWN,),
    ),
    Case(
        name="llama.cpp of before counts the whole prompt as input",
        engine="llama.cpp",
        request=asked(),
        answer=document(message('{"input_tokens":120,"output_tokens":7}', model="qwen")),
        expected=Metered(api=API, model_id="qwen", tokens=Tokens(120, 7), finish_reason="end_turn"),
        traps=(Trap.INPUT_CHANGED_MEANING,),
    ),
    Case(
        name="llama.cpp of 2026 takes the cache off the input",
        engine="llama.cpp",
        request=asked(),
        answer=document(
            message('{"cache_read_input_tokens":100,"input_tokens":20,"output_tokens":7}', model="qwen")
        ),
        expected=Metered(
            api=API, model_id="qwen", tokens=Tokens(120, 7, cached=100), finish_reason="end_turn"
        ),
        traps=(Trap.INPUT_CHANGED_MEANING, Trap.CACHE_IS_OUTSIDE_INPUT),
    ),
    Case(
        name="TensorRT-LLM counts its cache outside the input",
        engine="tensorrt-llm",
        request=asked(),
        answer=document(
            message(
                '{"input_tokens":8,"output_tokens":7,"cache_creation_input_tokens":null,"cache_read_input_tokens":32}'
            )
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(40, 7, cached=32), finish_reason="end_turn"),
        traps=(Trap.CACHE_IS_OUTSIDE_INPUT,),
    ),
    Case(
        name="Ollama answers a message without its cache",
        engine="ollama",
        request=asked("llama3.2"),
        answer=document(message('{"input_tokens":26,"output_tokens":10}', model="llama3.2")),
        expected=Metered(api=API, model_id="llama3.2", tokens=Tokens(26, 10), finish_reason="end_turn"),
    ),
    Case(
        name="an overloaded server answers with an error",
        engine="anthropic",
        request=asked(stream=True),
        answer=document(
            '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}',
            status=529,
        ),
        expected=Metered(api=API, outcome="upstream_error", status=529),
        traps=(Trap.STREAM_REFUSED,),
    ),
    Case(
        name="counting the tokens of a message is free",
        engine="anthropic",
        request=post("/v1/messages/count_tokens", {"model": "m", "messages": []}),
        answer=document('{"input_tokens":2095}'),
        expected=Free(),
        traps=(Trap.COUNTS_THAT_ARE_NO_INFERENCE,),
    ),
]

STREAMS = [
    Case(
        name="Anthropic's last counts repeat those of the start",
        engine="anthropic",
        request=asked("claude", stream=True),
        answer=events(
            start(
                '{"input_tokens":2679,"cache_creation_input_tokens":40,"cache_read_input_tokens":1000,'
                '"cache_creation":{"ephemeral_5m_input_tokens":40,"ephemeral_1h_input_tokens":0},'
                '"output_tokens":3,"service_tier":"standard"}'
            ),
            *BLOCK,
            delta(
                '{"input_tokens":2679,"cache_creation_input_tokens":40,"cache_read_input_tokens":1000,'
                '"output_tokens":510,"server_tool_use":{"web_search_requests":1}}'
            ),
            STOP,
            content_type=SSE_UTF8,
        ),
        expected=streamed(Tokens(3719, 510, cached=1000, cache_write=40), "end_turn"),
        traps=(Trap.DELTA_REPEATS_START, Trap.KEEP_ALIVES, Trap.EVENT_AND_DATA_LINES),
    ),
    Case(
        name="nulls in the last counts leave those of the start, and the last of several counts is the last",
        engine="anthropic",
        request=asked("claude", stream=True),
        answer=events(
            start('{"input_tokens":50,"cache_read_input_tokens":7,"output_tokens":1}'),
            *BLOCK,
            delta(
                '{"input_tokens":null,"cache_creation_input_tokens":null,"cache_read_input_tokens":null,'
                '"output_tokens":20}',
                "pause_turn",
            ),
            delta('{"output_tokens":33}', "refusal"),
            STOP,
        ),
        expected=streamed(Tokens(57, 33, cached=7), "refusal"),
        traps=(Trap.DELTA_REPEATS_START,),
    ),
    Case(
        name="vLLM starts with the full prompt and splits the cache off at the end",
        engine="vllm",
        request=asked(stream=True),
        answer=events(
            start('{"input_tokens":1000,"output_tokens":0}'),
            *BLOCK,
            delta('{"input_tokens":40,"cache_read_input_tokens":960,"output_tokens":12}'),
            STOP,
            content_type=SSE_UTF8,
        ),
        expected=streamed(Tokens(1000, 12, cached=960), "end_turn"),
        traps=(Trap.INPUT_IS_CORRECTED, Trap.DELTA_REPEATS_START),
    ),
    Case(
        name="SGLang splits the cache off at the start and ends with the output alone",
        engine="sglang",
        request=asked(stream=True),
        answer=events(
            start(
                '{"input_tokens":40,"cache_creation_input_tokens":null,"cache_read_input_tokens":960,"output_tokens":0}'
            ),
            *BLOCK,
            delta('{"output_tokens":12}', "stop_sequence"),
            STOP,
            content_type=SSE_UTF8,
        ),
        expected=streamed(Tokens(1000, 12, cached=960), "stop_sequence"),
        traps=(Trap.INPUT_IS_CORRECTED,),
    ),
    Case(
        name="Ollama starts with an estimate from the text's length and corrects it downwards",
        engine="ollama",
        request=asked("llama3.2", stream=True),
        answer=events(
            start('{"input_tokens":900,"output_tokens":0}', model="llama3.2"),
            *BLOCK,
            delta('{"input_tokens":612,"output_tokens":44}'),
            STOP,
        ),
        expected=streamed(Tokens(612, 44), "end_turn", model="llama3.2"),
        traps=(Trap.INPUT_IS_CORRECTED,),
    ),
    Case(
        name="Dynamo starts with an estimate and corrects it upwards",
        engine="dynamo",
        request=asked(stream=True),
        answer=events(
            start('{"input_tokens":10,"output_tokens":0}'),
            *BLOCK,
            delta('{"input_tokens":14,"output_tokens":5,"cache_read_input_tokens":2}', "max_tokens"),
            STOP,
        ),
        expected=streamed(Tokens(16, 5, cached=2), "max_tokens"),
        traps=(Trap.INPUT_IS_CORRECTED,),
    ),
    Case(
        name="llama.cpp streams a message with the cache off its input",
        engine="llama.cpp",
        request=asked(stream=True),
        answer=events(
            start('{"cache_read_input_tokens":100,"input_tokens":20,"output_tokens":0}', model="qwen"),
            *BLOCK,
            delta('{"output_tokens":9}'),
            STOP,
        ),
        expected=streamed(Tokens(120, 9, cached=100), "end_turn", model="qwen"),
        traps=(Trap.INPUT_CHANGED_MEANING,),
    ),
    *(
        Case(
            name=f"DashScope's start includes the cache that its end adds{suffix}",
            engine="dashscope",
            request=asked("qwen-max", stream=True),
            answer=events(
                start('{"input_tokens":1500,"output_tokens":0}', model="qwen-max"),
                *BLOCK,
                delta('{"output_tokens":30,"cache_read_input_tokens":1400}'),
                STOP,
            ),
            resource=resource,
            expected=streamed(Tokens(prompt, 30, cached=1400), "end_turn", model="qwen-max"),
            traps=(Trap.START_INCLUDES_CACHE,),
        )
        for suffix, resource, prompt in (
            (", which the shape does not tell", Resource(), 2900),
            (", which its declaration tells", Resource(engine="dashscope"), 1500),
        )
    ),
    Case(
        name="a bad count at the end spoils what was counted at the start",
        engine="faulty",
        request=asked(stream=True),
        answer=events(
            start('{"input_tokens":50,"output_tokens":1}'), *BLOCK, delta('{"output_tokens":-3}'), STOP
        ),
        expected=streamed(None, "end_turn"),
    ),
    Case(
        name="a message fails in the middle of its stream",
        engine="anthropic",
        request=asked(stream=True),
        answer=events(
            start('{"input_tokens":50,"output_tokens":1}'),
            *BLOCK[:3],
            named("error", '{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'),
        ),
        expected=streamed(Tokens(50, 1), "", "upstream_error"),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="a stream that breaks off has the counts of its start",
        engine="anthropic",
        request=asked(stream=True),
        answer=events(
            start(
                '{"input_tokens":50,"cache_creation_input_tokens":0,"cache_read_input_tokens":30,'
                '"output_tokens":1}'
            ),
            *BLOCK[:3],
            cut=True,
        ),
        expected=streamed(Tokens(80, 1, cached=30, cache_write=0), "", "upstream_error"),
        traps=(Trap.ABORT_IS_NEVER_REPORTED,),
    ),
    Case(
        name="a compressed stream is read, and passed on as it is",
        engine="anthropic",
        request=asked(stream=True),
        answer=events(
            start('{"input_tokens":50,"output_tokens":1}'),
            *BLOCK,
            delta('{"output_tokens":17}'),
            STOP,
            coding="gzip",
        ),
        expected=streamed(Tokens(50, 17), "end_turn"),
        traps=(Trap.COMPRESSED_ANSWER,),
    ),
]

CASES = [
    *DOCUMENTS,
    *STREAMS,
    Case(
        name="LocalAI begins with a prompt of 0 tokens and never says the true one",
        engine="localai",
        request=asked(stream=True),
        answer=events(
            start('{"input_tokens":0,"output_tokens":0}'),
            named(
                "message_delta",
                '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"output_tokens":9}}',
            ),
            named("message_stop", '{"type":"message_stop"}'),
        ),
        expected=streamed(Tokens(None, 9), "end_turn"),
        traps=(Trap.PROMPT_NEVER_SAID,),
    ),
    Case(
        name="mistral.rs says the output alone at the end",
        engine="mistral.rs",
        request=asked(stream=True),
        answer=events(
            start('{"input_tokens":0,"output_tokens":0}'),
            named(
                "message_delta",
                '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}',
            ),
            named("message_stop", '{"type":"message_stop"}'),
        ),
        expected=streamed(Tokens(None, 9), "end_turn"),
        traps=(Trap.PROMPT_NEVER_SAID,),
    ),
    Case(
        name="GLM begins with nothing and says all at the end",
        engine="glm",
        request=asked(stream=True),
        answer=events(
            start('{"input_tokens":0,"output_tokens":0}'),
            named(
                "message_delta",
                '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":12,'
                '"cache_read_input_tokens":3,"output_tokens":9}}',
            ),
            named("message_stop", '{"type":"message_stop"}'),
        ),
        expected=streamed(Tokens(15, 9, cached=3), "end_turn"),
        traps=(Trap.INPUT_IS_CORRECTED,),
    ),
    Case(
        name="a delta with a prompt of 0 tokens does not take back what the start said",
        engine="gateway",
        request=asked(stream=True),
        answer=events(
            start('{"input_tokens":25,"output_tokens":1}'),
            named(
                "message_delta",
                '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":0,"output_tokens":9}}',
            ),
            named("message_stop", '{"type":"message_stop"}'),
        ),
        expected=streamed(Tokens(25, 9), "end_turn"),
        traps=(Trap.PROMPT_NEVER_SAID,),
    ),
    Case(
        name="a prompt that came from the cache, all of it, is no prompt of 0 tokens",
        engine="anthropic",
        request=asked(),
        answer=document(message('{"input_tokens":0,"cache_read_input_tokens":500,"output_tokens":9}')),
        expected=Metered(api=API, model_id="m", tokens=Tokens(500, 9, cached=500), finish_reason="end_turn"),
        traps=(Trap.PROMPT_NEVER_SAID,),
    ),
]
