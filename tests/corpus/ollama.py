"""Answers of Ollama's own API, and of SGLang speaking it."""

from dataclasses import replace

from .case import NDJSON, Answer, Case, Metered, Refused, Request, Resource, Tokens, document, lines, post
from .traps import Trap

CHAT = "/api/chat"
GENERATE = "/api/generate"


def chat(**more: object) -> Request:
    """Make a request for a stream, which is what it is unless it says otherwise."""
    return post(CHAT, {"model": "llama3.2", "messages": [{"role": "user", "content": "hi"}], **more})


def piece(content: str) -> str:
    """Make a line of a chat before the last."""
    return (
        '{"model":"llama3.2","created_at":"2026-11-20T12:00:00.1Z","message":{"role":"assistant",'
        f'"content":"{content}"}},"done":false}}'
    )


def last(counts: str, reason: str = "stop") -> str:
    """Make the last line of a chat."""
    return (
        '{"model":"llama3.2","created_at":"2026-11-20T12:00:01Z","message":{"role":"assistant","content":""},'
        f'"done":true,"done_reason":"{reason}"{counts}}}'
    )


COUNTS = (
    ',"total_duration":174560334,"load_duration":101397084,"prompt_eval_count":26,'
    '"prompt_eval_duration":13074791,"eval_count":298,"eval_duration":52479709'
)


def streamed(
    tokens: Tokens | None, finish_reason: str, outcome: str = "completed", api: str = "ollama.chat"
) -> Metered:
    """Make what is expected of a stream."""
    return Metered(
        api=api,
        model_id="llama3.2",
        tokens=tokens,
        finish_reason=finish_reason,
        outcome=outcome,
        streamed=True,
    )


CASES = [
    Case(
        name="a chat is a stream by default, counted on its last line",
        engine="ollama",
        request=chat(),
        answer=lines(piece("Grüße"), piece(" 🦙"), last(COUNTS)),
        expected=streamed(Tokens(26, 298), "stop"),
        traps=(Trap.CACHED_UNKNOWN,),
    ),
    Case(
        name="a newer build counts cached tokens, which are in the prompt",
        engine="ollama",
        request=chat(stream=True),
        answer=lines(piece("a"), last(COUNTS + ',"prompt_eval_cached_count":20', "length")),
        expected=streamed(Tokens(26, 298, cached=20), "length"),
    ),
    Case(
        name="a chat that is no stream is a document",
        engine="ollama",
        request=chat(stream=False),
        answer=document(last(COUNTS), content_type="application/json; charset=utf-8"),
        expected=Metered(
            api="ollama.chat", model_id="llama3.2", tokens=Tokens(26, 298), finish_reason="stop"
        ),
    ),
    Case(
        name="a count that is left out is unknown",
        engine="ollama",
        request=chat(),
        answer=lines(piece("a"), last(',"eval_count":12,"eval_duration":1')),
        expected=replace(streamed(Tokens(None, 12), "stop"), usage_partial=True),
        traps=(Trap.OMITTED_IS_UNKNOWN,),
    ),
    Case(
        name="a stream's last line lacks its newline",
        engine="ollama",
        request=chat(),
        answer=Answer((piece("a").encode(), b"\n", last(COUNTS).encode()), NDJSON),
        expected=streamed(Tokens(26, 298), "stop"),
        traps=(Trap.CUT_INSIDE_A_NUMBER,),
    ),
    Case(
        name="lines end in CRLF and come compressed",
        engine="ollama",
        request=chat(),
        answer=Answer(
            (piece("Grüße").encode(), b"\r\n", last(COUNTS).encode(), b"\r\n"), NDJSON, coding="zstd"
        ),
        expected=streamed(Tokens(26, 298), "stop"),
        traps=(Trap.COMPRESSED_ANSWER,),
    ),
    Case(
        name="a line with a bad count is not billed",
        engine="faulty",
        request=chat(),
        answer=lines(last(',"prompt_eval_count":"26","eval_count":3')),
        expected=streamed(None, "stop"),
    ),
    Case(
        name="a cloud model is answered for under its local name",
        engine="ollama",
        request=post(CHAT, {"model": "gpt-oss:120b-cloud", "messages": []}),
        answer=lines(
            '{"model":"gpt-oss:120b-cloud","remote_model":"gpt-oss:120b","remote_host":"https://ollama.com:443",'
            '"created_at":"2026-11-20T12:00:01Z","message":{"role":"assistant","content":"","thinking":"hm"},'
            '"done":true,"done_reason":"stop","prompt_eval_count":70,"eval_count":9}'
        ),
        expected=Metered(
            api="ollama.chat",
            model_id="gpt-oss:120b-cloud",
            tokens=Tokens(70, 9),
            finish_reason="stop",
            streamed=True,
        ),
        traps=(Trap.EMPTY_NAME,),
    ),
    Case(
        name="a text is generated and counted on the last line",
        engine="ollama",
        request=post(GENERATE, {"model": "llama3.2", "prompt": "hi"}),
        answer=lines(
            '{"model":"llama3.2","created_at":"2026-11-20T12:00:00Z","response":"{\\"eval_count\\":7}","done":false}',
            '{"model":"llama3.2","created_at":"2026-11-20T12:00:01Z","response":"","done":true,"done_reason":"stop",'
            '"context":[1,2,3],"prompt_eval_count":11,"eval_count":5}',
        ),
        expected=streamed(Tokens(11, 5), "stop", api="ollama.generate"),
        traps=(Trap.ESCAPES,),
    ),
    *(
        Case(
            name=f"{'un' if reason == 'unload' else ''}loading a model is done without counts",
            engine="ollama",
            request=post(GENERATE, {"model": "llama3.2", **more}),
            answer=document(
                '{"model":"llama3.2","created_at":"2026-11-20T12:00:00Z","response":"","done":true,'
                f'"done_reason":"{reason}"}}',
                content_type="application/json; charset=utf-8",
            ),
            expected=Metered(api="ollama.generate", model_id="llama3.2", finish_reason=reason),
            traps=(Trap.DONE_WITHOUT_COUNTS,),
        )
        for reason, more in (("load", {}), ("unload", {"keep_alive": 0}))
    ),
    Case(
        name="a stream fails with a line",
        engine="ollama",
        request=chat(),
        answer=lines(
            piece("a"), '{"error":"an error was encountered while running the model: unexpected EOF"}'
        ),
        expected=streamed(None, "", "upstream_error"),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="a stream of lines breaks off",
        engine="ollama",
        request=chat(),
        answer=lines(piece("a"), piece("b"), cut=True),
        expected=streamed(None, "", "upstream_error"),
        traps=(Trap.DROPPED_CONNECTION,),
    ),
    Case(
        name="a model that is not there is an error",
        engine="ollama",
        request=chat(),
        answer=document('{"error":"model \'llama3.2\' not found"}', status=404),
        expected=Metered(api="ollama.chat", outcome="upstream_error", status=404),
        traps=(Trap.STREAM_REFUSED,),
    ),
    Case(
        name="embeddings are counted",
        engine="ollama",
        request=post("/api/embed", {"model": "all-minilm", "input": ["a", "b"]}),
        answer=document(
            '{"model":"all-minilm","embeddings":[[0.01,-0.02],[0.03,0.04]],"total_duration":14143917,'
            '"load_duration":1019500,"prompt_eval_count":8}',
            content_type="application/json; charset=utf-8",
        ),
        expected=Metered(api="ollama.embed", model_id="all-minilm", tokens=Tokens(8)),
    ),
    Case(
        name="the older path for embeddings never counts, and is refused",
        engine="ollama",
        request=post("/api/embeddings", {"model": "all-minilm", "prompt": "a"}),
        expected=Refused(404),
        traps=(Trap.DONE_WITHOUT_COUNTS,),
    ),
    Case(
        name="SGLang streams in Ollama's shape and never counts",
        engine="sglang",
        request=chat(),
        answer=lines(
            '{"model":"llama3.2","created_at":"2026-11-20T12:00:00Z","message":{"role":"assistant","content":"a",'
            '"images":null},"done":false,"done_reason":null}',
            '{"model":"llama3.2","created_at":"2026-11-20T12:00:00Z","message":{"role":"assistant","content":"",'
            '"images":null},"done":true,"done_reason":"stop"}',
        ),
        expected=streamed(None, "stop"),
        traps=(Trap.STREAM_NEVER_COUNTS,),
    ),
    Case(
        name="SGLang counts a document in Ollama's shape",
        engine="sglang",
        request=post(GENERATE, {"model": "m", "prompt": "a", "stream": False}),
        answer=document(
            '{"model":"m","created_at":"2026-11-20T12:00:00Z","response":"b","done":true,"done_reason":"stop",'
            '"total_duration":1,"load_duration":0,"prompt_eval_count":6,"prompt_eval_duration":0,"eval_count":16,'
            '"eval_duration":1}'
        ),
        resource=Resource(engine="sglang", models=("m",)),
        expected=Metered(api="ollama.generate", model_id="m", tokens=Tokens(6, 16), finish_reason="stop"),
    ),
]
