"""Answers of Triton's generate extension."""

from .case import SSE_UTF8, Case, Changed, Metered, Request, Tokens, document, events, post
from .traps import Trap

API = "triton.generate"
FLAGS = {"return_num_input_tokens": True, "return_num_output_tokens": True}


def unasked(path: str) -> Request:
    """Make a request that is to be asked for counts, among the parameters or beside them."""
    body: dict[str, object] = {"text_input": "Grüße", "parameters": {"max_tokens": 8}}
    return post(path, body, {**body, **FLAGS}, {**body, "parameters": {"max_tokens": 8, **FLAGS}})


def piece(text: str, counts: str = "") -> bytes:
    """Make an event of vLLM's backend."""
    return (
        f'data: {{"model_name":"vllm_model","model_version":"1"{counts},"text_output":"{text}"}}\n\n'.encode()
    )


def counted(text: str, tokens: int) -> Changed:
    """Make an event with the counts that nobody but the proxy asked for."""
    counts = f',"num_input_tokens":7,"num_output_tokens":{tokens}'
    return Changed(piece(text, counts), piece(text))


STREAM = "/v2/models/vllm_model/generate_stream"

CASES = [
    Case(
        name="a document is asked for counts that the client does not get",
        engine="triton",
        request=unasked("/v2/models/vllm_model/generate"),
        answer=events(
            Changed(
                b'{"model_name":"vllm_model","model_version":"1","num_input_tokens":7,"num_output_tokens":8,'
                b'"text_output":"Gr\xc3\xbc\xc3\x9fe"}',
                b'{"model_name":"vllm_model","model_version":"1","text_output":"Gr\xc3\xbc\xc3\x9fe"}',
            ),
            content_type="application/json",
        ),
        expected=Metered(api=API, model_id="vllm_model", tokens=Tokens(7, 8)),
        traps=(Trap.OTHER_FLAGS,),
    ),
    Case(
        name="a client that asked for counts gets them",
        engine="triton",
        request=post("/v2/models/m/versions/3/generate", {"text_input": "a", **FLAGS}),
        answer=document(
            '{"model_name":"m","model_version":"3","num_input_tokens":7,"num_output_tokens":8,"text_output":"b"}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(7, 8)),
    ),
    Case(
        name="a client that asked for the output's count gets that alone",
        engine="triton",
        request=post(
            "/v2/models/m/generate",
            {"text_input": "a", "return_num_output_tokens": True},
            {"text_input": "a", **FLAGS},
            {
                "text_input": "a",
                "return_num_output_tokens": True,
                "parameters": {"return_num_input_tokens": True},
            },
        ),
        answer=events(
            Changed(
                b'{"model_name":"m","num_input_tokens":7,"num_output_tokens":8,"text_output":"b"}',
                b'{"model_name":"m","num_output_tokens":8,"text_output":"b"}',
            ),
            content_type="application/json",
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(7, 8)),
        traps=(Trap.OTHER_FLAGS,),
    ),
    Case(
        name="a client that asked for counts among the parameters gets them",
        engine="triton",
        request=post("/v2/models/m/generate", {"text_input": "a", "parameters": FLAGS}),
        answer=document('{"model_name":"m","num_input_tokens":7,"num_output_tokens":8,"text_output":"b"}'),
        expected=Metered(api=API, model_id="m", tokens=Tokens(7, 8)),
        traps=(Trap.SWITCH_ELSEWHERE,),
    ),
    Case(
        name="a client that declined a count among the parameters does not get it",
        engine="triton",
        request=post(
            STREAM,
            {"text_input": "a", "parameters": {**FLAGS, "return_num_input_tokens": False}},
            {"text_input": "a", "parameters": FLAGS},
        ),
        answer=events(
            Changed(
                b'data: {"model_name":"m","num_input_tokens":7,"num_output_tokens":8,"text_output":"b"}\n\n',
                b'data: {"model_name":"m","num_output_tokens":8,"text_output":"b"}\n\n',
            ),
            content_type=SSE_UTF8,
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(7, 8), streamed=True),
        traps=(Trap.SWITCH_ELSEWHERE,),
    ),
    Case(
        name="a compressed document is decoded for the client, so that its counts can be taken out",
        engine="triton",
        request=unasked("/v2/models/m/generate"),
        answer=events(
            Changed(
                b'{"model_name":"m","num_input_tokens":7,"num_output_tokens":8,"text_output":"b"}',
                b'{"model_name":"m","text_output":"b"}',
            ),
            content_type="application/json",
            coding="gzip",
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(7, 8)),
        traps=(Trap.COMPRESSED_ANSWER, Trap.OTHER_FLAGS),
    ),
    Case(
        name="a stream's output counts are differences, and its input counts repeat",
        engine="triton",
        request=unasked(STREAM),
        answer=events(
            counted("Gr", 1), counted("ü", 2), counted("ße", 3), counted("", 0), content_type=SSE_UTF8
        ),
        expected=Metered(api=API, model_id="vllm_model", tokens=Tokens(7, 6), streamed=True),
        traps=(Trap.COUNTS_ARE_DIFFERENCES, Trap.OTHER_FLAGS),
    ),
    Case(
        name="a stream of a version breaks off, and its pieces have counted so far",
        engine="triton",
        request=unasked("/v2/models/vllm_model/versions/1/generate_stream"),
        answer=events(counted("Gr", 1), counted("ü", 2), cut=True),
        expected=Metered(
            api=API,
            model_id="vllm_model",
            tokens=Tokens(7, 3),
            outcome="upstream_error",
            streamed=True,
        ),
        traps=(Trap.ABORT_IS_NEVER_REPORTED, Trap.COUNTS_ARE_DIFFERENCES),
    ),
    Case(
        name="a stream of Triton's fails",
        engine="triton",
        request=unasked(STREAM),
        answer=events(counted("Gr", 1), b'data: {"error":"CUDA out of memory"}\n\n', content_type=SSE_UTF8),
        expected=Metered(
            api=API,
            model_id="vllm_model",
            tokens=Tokens(7, 1),
            outcome="upstream_error",
            streamed=True,
        ),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="Triton refuses a stream with a document",
        engine="triton",
        request=unasked(STREAM),
        answer=document('{"error":"Request for unknown model: \'vllm_model\' is not found"}', status=400),
        expected=Metered(api=API, outcome="upstream_error", status=400),
        traps=(Trap.STREAM_REFUSED,),
    ),
    Case(
        name="a backend that counts nothing is not billed",
        engine="triton",
        request=unasked("/v2/models/m/generate"),
        answer=document('{"model_name":"m","model_version":"1","text_output":"b"}'),
        expected=Metered(api=API, model_id="m"),
    ),
]
