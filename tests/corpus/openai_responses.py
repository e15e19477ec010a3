"""Answers of the OpenAI responses API."""

from .case import (
    DONE,
    SSE_UTF8,
    Case,
    Free,
    Metered,
    Refused,
    Request,
    Tokens,
    data,
    document,
    events,
    named,
    post,
)
from .traps import Trap

API = "openai.responses"
PATH = "/v1/responses"


def asked(**more: object) -> Request:
    """Make a request, which goes on as it is."""
    return post(PATH, {"model": "m", "input": "hi", **more})


def event(name: str, members: str) -> bytes:
    """Make an event whose data repeats its name."""
    return named(name, f'{{"type":"{name}",{members}}}')


def streamed(
    tokens: Tokens | None, finish_reason: str, outcome: str = "completed", model: str = "m"
) -> Metered:
    """Make what is expected of a stream."""
    return Metered(
        api=API, model_id=model, tokens=tokens, finish_reason=finish_reason, outcome=outcome, streamed=True
    )


CREATED = event(
    "response.created",
    '"sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress",'
    '"error":null,"incomplete_details":null,"model":"m","output":[],"usage":null}',
)
IN_PROGRESS = event(
    "response.in_progress",
    '"sequence_number":1,"response":{"id":"resp_1","status":"in_progress","model":"m","usage":null}',
)
DELTA = event(
    "response.output_text.delta",
    '"sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Grüße 🦙"',
)

CASES = [
    Case(
        name="OpenAI answers with details",
        engine="openai",
        request=asked(),
        answer=document(
            '{\n  "id": "resp_0",\n  "object": "response",\n  "status": "completed",\n'
            '  "background": false,\n'
            '  "error": null,\n  "incomplete_details": null,\n  "model": "gpt-5.1-2026-01-13",\n'
            '  "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}],\n'
            '  "usage": {\n    "input_tokens": 328,\n    "input_tokens_details": {\n'
            '      "cached_tokens": 256,\n'
            '      "cache_write_tokens": 64\n    },\n    "output_tokens": 52,\n    "output_tokens_details": '
            '{\n      "reasoning_tokens": 40\n    },\n    "total_tokens": 380\n  },\n  "user": null\n}\n'
        ),
        expected=Metered(
            api=API,
            model_id="gpt-5.1-2026-01-13",
            tokens=Tokens(328, 52, cached=256, reasoning=40, cache_write=64),
            finish_reason="completed",
        ),
    ),
    Case(
        name="OpenAI streams usage in its terminal event alone",
        engine="openai",
        request=asked(stream=True),
        answer=events(
            CREATED,
            IN_PROGRESS,
            DELTA,
            event(
                "response.completed",
                '"sequence_number":9,"response":{"id":"resp_1","status":"completed","model":"m","usage":'
                '{"input_tokens":37,"input_tokens_details":{"cached_tokens":0},"output_tokens":11,'
                '"output_tokens_details":{"reasoning_tokens":0},"total_tokens":48}}',
            ),
            content_type=SSE_UTF8,
        ),
        expected=streamed(Tokens(37, 11, cached=0, reasoning=0), "completed"),
        traps=(Trap.TERMINAL_EVENT_ONLY, Trap.EVENT_AND_DATA_LINES),
    ),
    Case(
        name="a stream ends incomplete, and says why",
        engine="vllm",
        request=asked(stream=True),
        answer=events(
            CREATED,
            IN_PROGRESS,
            event(
                "response.incomplete",
                '"sequence_number":9,"response":{"id":"resp_1","status":"incomplete","incomplete_details":'
                '{"reason":"max_output_tokens"},"model":"m","usage":{"input_tokens":37,"input_tokens_details":'
                '{"cached_tokens":32,"input_tokens_per_turn":[],"cached_tokens_per_turn":[]},"output_tokens":16,'
                '"output_tokens_details":{"reasoning_tokens":16,"tool_output_tokens":0},"total_tokens":53}}',
            ),
        ),
        expected=streamed(Tokens(37, 16, cached=32, reasoning=16), "max_output_tokens"),
        traps=(Trap.TERMINAL_EVENT_ONLY,),
    ),
    Case(
        name="a document is incomplete, and says why",
        engine="openai",
        request=asked(),
        answer=document(
            '{"id":"resp_2","status":"incomplete","incomplete_details":{"reason":"content_filter"},"model":"m",'
            '"output":[],"usage":{"input_tokens":3,"output_tokens":1,"total_tokens":4}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(3, 1), finish_reason="content_filter"),
    ),
    Case(
        name="a stream fails after it counted",
        engine="sglang",
        request=asked(stream=True),
        answer=events(
            CREATED,
            event(
                "response.failed",
                '"sequence_number":3,"response":{"id":"resp_1","status":"failed","error":{"code":'
                '"server_error","message":"out of memory"},"model":"m","usage":{"input_tokens":37,'
                '"output_tokens":2,"total_tokens":39}}',
            ),
        ),
        expected=streamed(Tokens(37, 2), "failed", "upstream_error"),
        traps=(Trap.TERMINAL_EVENT_ONLY, Trap.ERROR_AND_USAGE),
    ),
    Case(
        name="a stream sends an error event",
        engine="openai",
        request=asked(stream=True),
        answer=events(
            CREATED,
            event("error", '"code":"server_error","message":"boom","param":null,"sequence_number":1'),
        ),
        expected=streamed(None, "", "upstream_error"),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="llama.cpp's first event has no model",
        engine="llama.cpp",
        request=asked(stream=True),
        answer=events(
            event(
                "response.created",
                '"response":{"id":"resp_3","object":"response","status":"in_progress"}',
            ),
            DELTA,
            event(
                "response.completed",
                '"response":{"id":"resp_3","object":"response","created_at":1,"status":"completed",'
                '"model":"qwen","output":[],"usage":{"input_tokens":60,"output_tokens":9,"total_tokens":69,'
                '"input_tokens_details":{"cached_tokens":59}}}',
            ),
        ),
        expected=streamed(Tokens(60, 9, cached=59), "completed", model="qwen"),
        traps=(Trap.TERMINAL_EVENT_ONLY,),
    ),
    Case(
        name="llama.cpp of before answers without details",
        engine="llama.cpp",
        request=asked(),
        answer=document(
            '{"completed_at":1,"created_at":1,"id":"resp_4","model":"qwen","object":"response","output":[],'
            '"status":"completed","usage":{"input_tokens":60,"output_tokens":9,"total_tokens":69}}'
        ),
        expected=Metered(api=API, model_id="qwen", tokens=Tokens(60, 9), finish_reason="completed"),
    ),
    Case(
        name="vLLM repeats its totals turn by turn",
        engine="vllm",
        request=asked(tools=[{"type": "code_interpreter"}]),
        answer=document(
            '{"id":"resp_5","object":"response","model":"gpt-oss-20b","status":"completed","output":[],'
            '"usage":{"input_tokens":700,"input_tokens_details":{"cached_tokens":320,'
            '"input_tokens_per_turn":[200,500],"cached_tokens_per_turn":[0,320]},"output_tokens":90,'
            '"output_tokens_details":{"reasoning_tokens":60,"tool_output_tokens":15,'
            '"output_tokens_per_turn":[40,50],"tool_output_tokens_per_turn":[15,0]},"total_tokens":790}}'
        ),
        expected=Metered(
            api=API,
            model_id="gpt-oss-20b",
            tokens=Tokens(700, 90, cached=320, reasoning=60),
            finish_reason="completed",
        ),
        traps=(Trap.TURNS_REPEAT_TOTALS,),
    ),
    Case(
        name="SGLang drops the details when nothing was cached",
        engine="sglang",
        request=asked(),
        answer=document(
            '{"id":"resp_6","model":"m","status":"completed","output":[],"usage":{"input_tokens":12,'
            '"input_tokens_details":null,"output_tokens":5,"output_tokens_details":{"reasoning_tokens":0},'
            '"total_tokens":17}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(12, 5, reasoning=0), finish_reason="completed"),
        traps=(Trap.CACHED_UNKNOWN,),
    ),
    Case(
        name="TensorRT-LLM answers with cached tokens",
        engine="tensorrt-llm",
        request=asked(),
        answer=document(
            '{"id":"resp_7","model":"m","status":"completed","output":[],"usage":{"input_tokens":12,'
            '"input_tokens_details":{"cached_tokens":8},"output_tokens":5,"output_tokens_details":'
            '{"reasoning_tokens":2},"total_tokens":17}}'
        ),
        expected=Metered(
            api=API, model_id="m", tokens=Tokens(12, 5, cached=8, reasoning=2), finish_reason="completed"
        ),
    ),
    Case(
        name="Dynamo streams a response and says that it is done besides",
        engine="dynamo",
        request=asked(stream=True),
        answer=events(
            CREATED,
            event(
                "response.completed",
                '"response":{"id":"resp_1","status":"completed","model":"m","usage":{"input_tokens":12,'
                '"input_tokens_details":{"cached_tokens":8},"output_tokens":5,"output_tokens_details":'
                '{"reasoning_tokens":0},"total_tokens":17}}',
            ),
            DONE,
        ),
        expected=streamed(Tokens(12, 5, cached=8, reasoning=0), "completed"),
    ),
    Case(
        name="Ollama's zeros in the details are reported as it says them",
        engine="ollama",
        request=asked(),
        answer=document(
            '{"id":"resp_8","object":"response","created_at":1,"completed_at":2,"status":"completed",'
            '"incomplete_details":null,"model":"llama3.2","output":[],"error":null,"usage":{"input_tokens":26,'
            '"output_tokens":9,"total_tokens":35,"input_tokens_details":{"cached_tokens":0},'
            '"output_tokens_details":{"reasoning_tokens":0}}}'
        ),
        expected=Metered(
            api=API,
            model_id="llama3.2",
            tokens=Tokens(26, 9, cached=0, reasoning=0),
            finish_reason="completed",
        ),
        traps=(Trap.HARD_CODED_ZEROS,),
    ),
    Case(
        name="a response is completed without usage",
        engine="gateway",
        request=asked(stream=True),
        answer=events(
            CREATED,
            event(
                "response.completed",
                '"response":{"id":"resp_1","status":"completed","model":"m","usage":null}',
            ),
        ),
        expected=streamed(None, "completed"),
        traps=(Trap.TERMINAL_EVENT_ONLY,),
    ),
    Case(
        name="vLLM's stream of typed events breaks off",
        engine="vllm",
        request=asked(stream=True),
        answer=events(CREATED, IN_PROGRESS, DELTA, cut=True),
        expected=streamed(None, "", "upstream_error"),
        traps=(Trap.TYPED_STREAM_BREAKS,),
    ),
    Case(
        name="a stream of typed events ends without its terminal event",
        engine="vllm",
        request=asked(stream=True),
        answer=events(CREATED, IN_PROGRESS, DELTA),
        expected=streamed(None, "", "upstream_error"),
        traps=(Trap.TYPED_STREAM_BREAKS,),
    ),
    Case(
        name="a data line tells the event's type when there is no event line",
        engine="gateway",
        request=asked(stream=True),
        answer=events(
            data(
                '{"type":"response.completed","response":{"status":"completed","model":"m","usage":'
                '{"input_tokens":1,"output_tokens":2}}}'
            )
        ),
        expected=streamed(Tokens(1, 2), "completed"),
        traps=(Trap.EVENT_AND_DATA_LINES,),
    ),
    Case(
        name="a response in the background is refused: its usage would come on later requests",
        engine="openai",
        request=asked(background=True),
        expected=Refused(400),
        traps=(Trap.USAGE_ON_EVERY_POLL,),
    ),
    Case(
        name="fetching a response is free, whatever usage it repeats",
        engine="vllm",
        request=Request("/v1/responses/resp_1", method="GET"),
        answer=document(
            '{"id":"resp_1","status":"completed","model":"m","usage":{"input_tokens":1,"output_tokens":2}}'
        ),
        expected=Free(),
        traps=(Trap.USAGE_ON_EVERY_POLL,),
    ),
    Case(
        name="replaying a response is free",
        engine="vllm",
        request=Request("/v1/responses/resp_1?stream=true&starting_after=4", method="GET"),
        answer=events(
            event(
                "response.completed",
                '"response":{"id":"resp_1","model":"m","usage":{"input_tokens":1,"output_tokens":2}}',
            )
        ),
        expected=Free(),
        traps=(Trap.USAGE_ON_EVERY_POLL,),
    ),
]
