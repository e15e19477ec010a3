"""Answers of Cohere's chat and embed APIs."""

from .case import DONE, SSE_UTF8, Case, Metered, Request, Resource, Tokens, data, document, events, post
from .traps import Trap

API = "cohere.chat"
COMMAND = Resource(engine="vllm", models=("command-a",))


def chat(path: str = "/cohere/v2/chat", **more: object) -> Request:
    """Make a request, which goes on as it is."""
    return post(path, {"model": "command-a", "messages": [{"role": "user", "content": "hi"}], **more})


PIECES = (
    data('{"id":"chatcmpl-1","type":"message-start","delta":{"message":{"role":"assistant"}}}'),
    data('{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}'),
    data('{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Grüße"}}}}'),
)
END = data('{"type":"content-end","index":0}')


def streamed(tokens: Tokens | None, finish_reason: str, outcome: str = "completed") -> Metered:
    """Make what is expected of a stream of the only declared model."""
    return Metered(
        api=API,
        model_id="command-a" if tokens else "",
        tokens=tokens,
        finish_reason=finish_reason,
        outcome=outcome,
        streamed=True,
    )


CASES = [
    *(
        Case(
            name=f"vLLM counts a chat on {path} in floats, twice",
            engine="vllm",
            request=chat(path),
            answer=document(
                '{"id":"chatcmpl-1","finish_reason":"MAX_TOKENS","message":{"role":"assistant","content":'
                '[{"type":"text","text":"Grüße"}]},"usage":{"billed_units":{"input_tokens":812.0,'
                '"output_tokens":4.0},"tokens":{"input_tokens":812.0,"output_tokens":4.0},'
                '"cached_tokens":800.0}}'
            ),
            resource=COMMAND,
            expected=Metered(
                api=API,
                model_id="command-a",
                tokens=Tokens(812, 4, cached=800),
                finish_reason="MAX_TOKENS",
            ),
            traps=(Trap.COUNTS_ARE_FLOATS, Trap.NO_NAME),
        )
        for path in ("/cohere/v2/chat", "/v2/chat")
    ),
    Case(
        name="vLLM counts a stream in its last event",
        engine="vllm",
        request=chat(stream=True),
        answer=events(
            *PIECES,
            END,
            data(
                '{"id":"chatcmpl-1","type":"message-end","delta":{"finish_reason":"COMPLETE","usage":'
                '{"billed_units":{"input_tokens":812,"output_tokens":4},"tokens":{"input_tokens":812,'
                '"output_tokens":4},"cached_tokens":800}}}'
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        resource=COMMAND,
        expected=streamed(Tokens(812, 4, cached=800), "COMPLETE"),
    ),
    Case(
        name="a stream ends with an error for a finish reason",
        engine="vllm",
        request=chat(stream=True),
        answer=events(
            *PIECES,
            data('{"type": "message-end", "delta": {"error": "boom", "finish_reason": "ERROR"}}'),
            DONE,
        ),
        expected=streamed(None, "ERROR", "upstream_error"),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="a stream of Cohere's breaks off",
        engine="vllm",
        request=chat(stream=True),
        answer=events(*PIECES, cut=True),
        expected=streamed(None, "", "upstream_error"),
        traps=(Trap.DROPPED_CONNECTION,),
    ),
    Case(
        name="vLLM counts texts to embed",
        engine="vllm",
        request=post("/v2/embed", {"model": "command-a", "texts": ["a"], "embedding_types": ["float"]}),
        answer=document(
            '{"id":"embd-1","embeddings":{"float":[[0.1]]},"texts":["a"],"meta":{"api_version":{"version":"2"},'
            '"billed_units":{"input_tokens":9,"image_tokens":0}},"response_type":"embeddings_by_type"}'
        ),
        resource=COMMAND,
        expected=Metered(api="cohere.embed", model_id="command-a", tokens=Tokens(9)),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="vLLM counts images to embed apart from texts",
        engine="vllm",
        request=post("/v2/embed", {"model": "command-a", "images": ["data:image/png;base64,iVBORw=="]}),
        answer=document(
            '{"id":"embd-2","embeddings":{"float":[[0.1]]},"meta":{"api_version":{"version":"2"},'
            '"billed_units":{"input_tokens":0,"image_tokens":1230}},"response_type":"embeddings_by_type"}'
        ),
        expected=Metered(api="cohere.embed", tokens=Tokens(1230)),
    ),
]
