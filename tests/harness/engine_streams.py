"""Answers of model servers as they come over the wire, written after their sources and shortened."""

VLLM = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","model":"llama","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
    b": keep-alive\n\n"
    b'data: {"id":"chatcmpl-1","model":"llama","choices":[{"index":0,"delta":{"content":"\xc3\xbc"}}]}\n\n'
    b'data: {"id":"chatcmpl-1","model":"llama","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
)
VLLM_USAGE = (
    b'data: {"id":"chatcmpl-1","model":"llama","choices":[],"usage":{"prompt_tokens":17,"total_tokens":20,'
    b'"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":16}}}\n\n'
)
DONE = b"data: [DONE]\n\n"

OPENAI = (
    b'data: {"id":"c","model":"gpt-5.1-2026-01-01","choices":[{"index":0,"delta":{"content":"a"},'
    b'"finish_reason":null}],"usage":null,"obfuscation":"x1"}\n\n'
    b'data: {"id":"c","model":"gpt-5.1-2026-01-01","choices":[{"index":0,"delta":{},'
    b'"finish_reason":"length"}],"usage":null}\n\n'
)
OPENAI_USAGE = (
    b'data: {"id":"c","model":"gpt-5.1-2026-01-01","choices":[],"usage":{"prompt_tokens":9,'
    b'"completion_tokens":5,"total_tokens":14,"prompt_tokens_details":{"cached_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":4}}}\n\n'
)

SGLANG = (
    b'event: sglext_ids\ndata: {"id":"s","model":"default","choices":[],"usage":null,"sglext":{"ids":[]}}\n\n'
    b'data: {"id":"s","model":"default","choices":[{"index":0,"delta":{"content":"b"},'
    b'"finish_reason":"stop"}]}\n\n'
)
SGLANG_USAGE = (
    b'data: {"id":"s","model":"default","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":1,'
    b'"prompt_tokens_details":null,"reasoning_tokens":0}}\n\n'
)

TGI = (
    b'data:{"id":"","model":"tgi","choices":[{"index":0,"text":"a","finish_reason":""}],"usage":null}\n\n:\n\n'
    b'data:{"id":"","model":"tgi","choices":[{"index":0,"text":"","finish_reason":"eos_token"}],'
    b'"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}}\n\n'
    b'data:{"id":"","model":"tgi","choices":[{"index":1,"text":"","finish_reason":"length"}],'
    b'"usage":{"prompt_tokens":5,"completion_tokens":7,"total_tokens":12}}\n\n'
)

OLLAMA = (
    b'data: {"id":"chatcmpl-1","model":"llama3.2","choices":[{"index":0,"delta":{"content":"a"},'
    b'"finish_reason":null}]}\n\n'
    b'data: {"id":"chatcmpl-1","model":"llama3.2","choices":[{"index":0,"delta":{"content":""},'
    b'"finish_reason":"stop"}]}\n\n'
)
OLLAMA_USAGE = (
    b'data: {"id":"chatcmpl-1","model":"llama3.2","choices":[],'
    b'"usage":{"prompt_tokens":26,"completion_tokens":2,"total_tokens":28}}\n\n'
)

TENSORRT_LLM = (
    b'data: {"id":"p0","model":"m","choices":[{"index":0,"text":"a","finish_reason":"stop"}]} \n\n'
    b'data: {"id":"p1","model":"m","choices":[{"index":1,"text":"b","finish_reason":"stop"}]}\n\n'
)
TENSORRT_LLM_USAGE = (
    b'data: {"id":"p0","model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1,'
    b'"prompt_tokens_details":{"cached_tokens":1}}}\n\n'
    b'data: {"id":"p1","model":"m","choices":[],"usage":{"prompt_tokens":4,"completion_tokens":2,'
    b'"prompt_tokens_details":{"cached_tokens":0}}}\n\n'
)

ERROR = (
    b'data: {"id":"e","model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    b'data: {"error": {"message": "the engine core is dead", "code": 500}}\n\n'
)

SPREAD = (
    b'\xef\xbb\xbfdata: {"id":"f",\ndata: "model":"m",\ndata:  "usage":{"prompt_tokens":1,\n'
    b'data:"completion_tokens":2},\ndata: "choices":[{"index":0,"finish_reason":"stop"}]}\nid: 7\n\n'
)


def with_crlf(stream: bytes) -> bytes:
    """Return a stream with other line ends."""
    return stream.replace(b"\n", b"\r\n")


# What a client gets that did not ask for usage, and what the engine sends in between.
STREAMS: dict[str, tuple[bytes, bytes, bytes]] = {
    "vLLM": (VLLM, VLLM_USAGE, DONE),
    "OpenAI": (OPENAI, OPENAI_USAGE, DONE),
    "SGLang": (SGLANG, SGLANG_USAGE, DONE),
    "SGLang, error before usage": (ERROR, SGLANG_USAGE, DONE),
    "TGI": (TGI, b"", b"data: [DONE]"),
    "Ollama": (OLLAMA, OLLAMA_USAGE, DONE),
    "TensorRT-LLM": (TENSORRT_LLM, TENSORRT_LLM_USAGE, DONE),
    "error": (ERROR, b"", DONE),
    "CRLF": (with_crlf(VLLM), with_crlf(VLLM_USAGE), with_crlf(DONE)),
    "data over several lines": (SPREAD, VLLM_USAGE, DONE),
    "usage last, without its newline": (VLLM, VLLM_USAGE.rstrip(b"\n"), b""),
}
