"""Answers whose headers say something else than what their bodies are, and documents that are nearly JSON."""

from .anthropic import asked as message_asked
from .anthropic import streamed as message_streamed
from .case import (
    DONE,
    JSON,
    NDJSON,
    SSE,
    Case,
    Changed,
    Framing,
    Metered,
    Resource,
    Tokens,
    data,
    document,
    events,
    lines,
    named,
    post,
)
from .openai_chat import API, CONTINUOUS, asked, plain, streamed, unasked
from .openai_chat_streams import (
    RUNNING,
    VLLM_CHUNKS,
    VLLM_FINAL,
    VLLM_STREAM,
    VLLM_TOKENS,
    VLLM_WHOLE,
)
from .traps import Trap

CHAT = (
    '{"id":"chatcmpl-7","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant",'
    '"content":"Grüße"},"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"completion_tokens":7,"total_tokens":38}}'
)
CHAT_READ = Metered(api=API, model_id="m", tokens=Tokens(31, 7), finish_reason="stop")
RESPONSE = (
    named(
        "response.created",
        '{"type":"response.created","response":{"model":"m","status":"in_progress","usage":null}}',
    ),
    named(
        "response.completed",
        '{"type":"response.completed","response":{"model":"m","status":"completed","usage":{"input_tokens":40,'
        '"output_tokens":9,"total_tokens":49,"input_tokens_details":{"cached_tokens":32}}}}',
    ),
)
MESSAGE = (
    named(
        "message_start",
        '{"type":"message_start","message":{"model":"m","usage":{"input_tokens":9,"output_tokens":1}}}',
    ),
    named("ping", '{"type": "ping"}'),
    named(
        "message_delta",
        '{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":4}}',
    ),
    named("message_stop", '{"type":"message_stop"}'),
)
OLLAMA = (
    '{"model":"m","message":{"role":"assistant","content":"a"},"done":false}',
    '{"model":"m","done":true,"done_reason":"stop","prompt_eval_count":26,"eval_count":3}',
)
OLLAMA_READ = Metered(
    api="ollama.chat", model_id="m", tokens=Tokens(26, 3), finish_reason="stop", streamed=True
)
TRAPS = (Trap.LABEL_IS_WRONG,)

EVENTS = [
    *(
        Case(
            name=f"an event stream that begins with {start!r} is labelled {label or 'nothing'}",
            engine="disaggregation-proxy",
            request=unasked(),
            answer=events(start, *VLLM_STREAM, content_type=label, really=SSE, framing=Framing.CHUNKED),
            expected=streamed("llama", VLLM_TOKENS),
            traps=TRAPS,
        )
        for label, start in (
            (JSON, b""),
            (JSON, b": ping\n\n"),
            (JSON, b"\xef\xbb\xbf"),
            (JSON, b"\r\n\n"),
            ("application/json; charset=utf-8", b"retry: 100\n\n"),
            (NDJSON, b""),
            ("text/plain", b"\n"),
        )
    ),
    Case(
        name="a labelled event stream begins with blank lines and a comment",
        engine="gateway",
        request=unasked(),
        answer=events(b"\n\n:\n\n", *VLLM_STREAM),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.KEEP_ALIVES,),
    ),
    Case(
        name="an event stream labelled JSON breaks off, and its running usage is known",
        engine="vllm",
        request=post(
            "/v1/chat/completions",
            {"model": "m", "messages": [], "stream": True},
            {"model": "m", "messages": [], "stream": True, "stream_options": CONTINUOUS},
        ),
        answer=events(*RUNNING[:2], content_type=JSON, really=SSE, framing=Framing.CHUNKED, cut=True),
        resource=Resource(engine="vllm", usage="continuous"),
        expected=streamed("llama", Tokens(9, 1), "", "upstream_error"),
        traps=TRAPS,
    ),
    Case(
        name="a stream of a response is labelled JSON",
        engine="vllm",
        request=post("/v1/responses", {"model": "m", "input": "hi", "stream": True}),
        answer=events(*RESPONSE, content_type=JSON, really=SSE, framing=Framing.CHUNKED),
        expected=Metered(
            api="openai.responses",
            model_id="m",
            tokens=Tokens(40, 9, cached=32),
            finish_reason="completed",
            streamed=True,
        ),
        traps=TRAPS,
    ),
    Case(
        name="a stream of a message is labelled JSON",
        engine="anthropic",
        request=message_asked(stream=True),
        answer=events(*MESSAGE, content_type=JSON, really=SSE, framing=Framing.CHUNKED),
        expected=message_streamed(Tokens(9, 4), "end_turn"),
        traps=TRAPS,
    ),
]

DOCUMENTS = [
    *(
        Case(
            name=f"a document that begins with {start!r} is labelled {label}",
            engine="gateway",
            request=plain(),
            answer=document(start + CHAT, content_type=label, really=JSON),
            expected=CHAT_READ,
            traps=TRAPS,
        )
        for label, start in ((SSE, ""), (SSE, "\n \r\n"), (SSE, "\ufeff"), ("text/html", " "))
    ),
    Case(
        name="a stream was asked for, and a document came that is labelled as one",
        engine="gateway",
        request=unasked(),
        answer=document(CHAT, content_type=SSE, really=JSON, framing=Framing.CHUNKED),
        expected=CHAT_READ,
        traps=(*TRAPS, Trap.STREAM_REFUSED),
    ),
    *(
        Case(
            name=f"JSON lines are labelled {label}",
            engine="ollama",
            request=post("/api/chat", {"model": "m", "messages": []}),
            answer=lines(*OLLAMA, content_type=label, really=NDJSON),
            expected=OLLAMA_READ,
            traps=TRAPS,
        )
        for label in (JSON, SSE, "text/plain")
    ),
]

CODINGS = [
    *(
        Case(
            name=f"a plain document is said to be in {coding}",
            engine="gateway",
            request=plain(),
            answer=document(CHAT, named_coding=coding),
            expected=CHAT_READ,
            traps=TRAPS,
        )
        for coding in ("gzip", "br", "deflate", "zstd", "none", "utf-8")
    ),
    Case(
        name="a plain stream is said to be in gzip",
        engine="gateway",
        request=asked(),
        answer=events(*VLLM_WHOLE, named_coding="gzip"),
        expected=streamed("llama", VLLM_TOKENS),
        traps=TRAPS,
    ),
    Case(
        name="a plain stream is said to be in gzip, and usage is taken out of it",
        engine="gateway",
        request=unasked(),
        answer=events(*VLLM_STREAM, named_coding="gzip"),
        expected=streamed("llama", VLLM_TOKENS),
        traps=TRAPS,
    ),
    Case(
        name="a document in gzip is said to be in nothing",
        engine="gateway",
        request=plain(),
        answer=document(CHAT, coding="gzip", named_coding="utf-8"),
        expected=CHAT_READ,
        traps=TRAPS,
    ),
    Case(
        name="a document in zstd is said to be in br",
        engine="gateway",
        request=plain(),
        answer=document(CHAT, coding="zstd", named_coding="br"),
        expected=CHAT_READ,
        traps=TRAPS,
    ),
]

NEARLY = [
    *(
        Case(
            name=f"a document has {what}",
            engine="faulty",
            request=plain(),
            answer=document(content, nearly=True),
            expected=CHAT_READ,
            traps=(Trap.NEARLY_JSON,),
        )
        for what, content in (
            ("a byte that is no UTF-8", CHAT.encode().replace("ü".encode(), b"\xff")),
            ("a control character in a text", CHAT.replace("ü", "\x01").encode()),
            ("an escape that JSON does not have", CHAT.replace("ü", "\\x").encode()),
            ("a number that JSON does not have", CHAT.replace('"index":0', '"index":-inf').encode()),
            ("something behind its end", CHAT.encode() + b"\n\nOK"),
        )
    ),
    Case(
        name="an event has a byte that is no UTF-8 beside its usage",
        engine="faulty",
        request=unasked(),
        answer=events(
            *VLLM_CHUNKS,
            Changed(VLLM_FINAL.replace(b'"choices":[]', b'"choices":[],"x":"\xff"')),
            DONE,
            nearly=True,
        ),
        expected=streamed("llama", VLLM_TOKENS),
        traps=(Trap.NEARLY_JSON,),
    ),
    Case(
        name="what is whole and no JSON at all is complete, and has no usage",
        engine="faulty",
        request=plain(),
        answer=document("<html>", nearly=True),
        expected=Metered(api=API),
        traps=(Trap.NEARLY_JSON,),
    ),
    Case(
        name="a document that is whole by its length and ends within its JSON is complete, and has no usage",
        engine="faulty",
        request=plain(),
        answer=document(CHAT[:-2], nearly=True),
        expected=Metered(api=API),
        traps=(Trap.NEARLY_JSON, Trap.CUT_INSIDE_A_NUMBER),
    ),
    Case(
        name="a document that ends with its connection and within its JSON was cut",
        engine="faulty",
        request=plain(),
        answer=document(CHAT[:-2], framing=Framing.CLOSE, nearly=True),
        expected=Metered(api=API, outcome="upstream_error"),
        traps=(Trap.CLOSE_LOOKS_COMPLETE, Trap.CUT_INSIDE_A_NUMBER),
    ),
    Case(
        name="a stream with an event that can't be read does not count as cut",
        engine="faulty",
        request=asked(),
        answer=events(VLLM_CHUNKS[0], data('{"choices":[{"finish_reason":}]}'), nearly=True),
        expected=streamed("llama", None, ""),
        traps=(Trap.NEARLY_JSON,),
    ),
    Case(
        name="a connection breaks after the usage, before the blank line behind it",
        engine="vllm",
        request=asked(),
        answer=events(*VLLM_CHUNKS, VLLM_FINAL.removesuffix(b"\n\n"), cut=True),
        expected=streamed("llama", VLLM_TOKENS, outcome="upstream_error"),
        traps=(Trap.CUT_INSIDE_A_NUMBER,),
    ),
    Case(
        name="a connection breaks after the last line of JSON, before its newline",
        engine="ollama",
        request=post("/api/chat", {"model": "m", "messages": []}),
        answer=events(OLLAMA[0].encode() + b"\n", OLLAMA[1].encode(), content_type=NDJSON, cut=True),
        expected=Metered(
            api="ollama.chat",
            model_id="m",
            tokens=Tokens(26, 3),
            finish_reason="stop",
            streamed=True,
        ),
        traps=(Trap.CUT_INSIDE_A_NUMBER,),
    ),
]

CASES = [*EVENTS, *DOCUMENTS, *CODINGS, *NEARLY]
