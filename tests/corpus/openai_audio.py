"""Answers of the OpenAI audio APIs: transcription and translation."""

from .case import (
    DONE,
    SSE_UTF8,
    Case,
    Changed,
    Form,
    Metered,
    Refused,
    Request,
    Resource,
    Tokens,
    data,
    document,
    events,
    post,
)
from .traps import Trap

API = "openai.transcription"
PATH = "/v1/audio/transcriptions"


def transcribe(*fields: tuple[str, str], path: str = PATH) -> Request:
    """Make a request, which goes on as it is."""
    return post(path, Form((("model", "whisper"), *fields)))


STREAM = (("model", "whisper"), ("stream", "true"))
VLLM_CHUNKS = (
    data(
        '{"id":"trsc-1","object":"transcription.chunk","created":1,"model":"openai/whisper-large-v3",'
        '"choices":[{"delta":{"content":" Grüße"}}]}'
    ),
    data(
        '{"id":"trsc-1","object":"transcription.chunk","created":1,"model":"openai/whisper-large-v3",'
        '"choices":[{"delta":{"content":""},"finish_reason":"stop","stop_reason":null}]}'
    ),
)
VLLM_FINAL = data(
    '{"id":"trsc-1","object":"transcription.chunk","created":1,"model":"openai/whisper-large-v3","choices":[],'
    '"usage":{"prompt_tokens":1504,"total_tokens":1520,"completion_tokens":16}}'
)
VLLM_METERED = Metered(
    api=API,
    model_id="openai/whisper-large-v3",
    tokens=Tokens(1504, 16),
    finish_reason="stop",
    streamed=True,
)

CASES = [
    Case(
        name="OpenAI counts tokens of text and audio, and names no model",
        engine="openai",
        request=transcribe(),
        answer=document(
            '{"text":"Grüße aus Köln","usage":{"type":"tokens","total_tokens":62,"input_tokens":14,'
            '"input_token_details":{"text_tokens":10,"audio_tokens":4},"output_tokens":48}}'
        ),
        expected=Metered(api=API, tokens=Tokens(14, 48, prompt_audio=4)),
        traps=(Trap.NO_NAME, Trap.REQUEST_IS_NOT_PLAIN),
    ),
    Case(
        name="the only declared model is the answer's",
        engine="openai",
        request=transcribe(),
        answer=document(
            '{"text":"a","usage":{"type":"tokens","total_tokens":3,"input_tokens":2,"output_tokens":1}}'
        ),
        resource=Resource(models=("whisper",)),
        expected=Metered(api=API, model_id="whisper", tokens=Tokens(2, 1)),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="OpenAI counts seconds for Whisper",
        engine="openai",
        request=transcribe(),
        answer=document('{"text":"a","usage":{"type":"duration","seconds":9}}'),
        expected=Metered(api=API),
        traps=(Trap.SECONDS_ARE_NO_TOKENS,),
    ),
    Case(
        name="OpenAI streams usage with the last event",
        engine="openai",
        request=post(PATH, Form(STREAM)),
        answer=events(
            data('{"type":"transcript.text.delta","delta":"Grü","logprobs":null}'),
            data(
                '{"type":"transcript.text.done","text":"Grüße","usage":{"type":"tokens","total_tokens":30,'
                '"input_tokens":20,"input_token_details":{"text_tokens":0,"audio_tokens":20},'
                '"output_tokens":10}}'
            ),
            DONE,
            content_type=SSE_UTF8,
        ),
        expected=Metered(api=API, tokens=Tokens(20, 10, prompt_audio=20), streamed=True),
    ),
    Case(
        name="vLLM counts seconds",
        engine="vllm",
        request=transcribe(),
        answer=document('{"text":"a","usage":{"type":"duration","seconds":10}}'),
        expected=Metered(api=API),
        traps=(Trap.SECONDS_ARE_NO_TOKENS,),
    ),
    Case(
        name="vLLM translates without counts",
        engine="vllm",
        request=transcribe(path="/v1/audio/translations"),
        answer=document('{"text":"Greetings from Köln"}'),
        expected=Metered(api=API),
    ),
    Case(
        name="subtitles have no counts",
        engine="vllm",
        request=transcribe(("response_format", "vtt")),
        expected=Refused(400),
    ),
    *(
        Case(
            name=f"a declared {engine} counts seconds, which are no tokens",
            engine=engine,
            request=transcribe(),
            resource=Resource(engine=engine, models=("whisper",)),
            expected=Refused(400),
            traps=(Trap.SECONDS_ARE_NO_TOKENS,),
        )
        for engine in ("vllm", "sglang")
    ),
    Case(
        name="vLLM is asked for usage in its stream by a field of the form",
        engine="vllm",
        request=post(PATH, Form(STREAM), Form((*STREAM, ("stream_include_usage", "true")))),
        answer=events(*VLLM_CHUNKS, Changed(VLLM_FINAL), DONE, content_type=SSE_UTF8),
        resource=Resource(engine="vllm"),
        expected=VLLM_METERED,
        traps=(Trap.OTHER_FLAGS, Trap.REQUEST_IS_NOT_PLAIN),
    ),
    Case(
        name="a client that asked vLLM for usage in the form gets it",
        engine="vllm",
        request=post(PATH, Form((*STREAM, ("stream_include_usage", "true")))),
        answer=events(*VLLM_CHUNKS, VLLM_FINAL, DONE),
        resource=Resource(engine="vllm"),
        expected=VLLM_METERED,
    ),
    Case(
        name="an engine that is not declared to be vLLM gets the form as it is",
        engine="vllm",
        request=post(PATH, Form(STREAM)),
        answer=events(*VLLM_CHUNKS, DONE),
        expected=Metered(api=API, model_id="openai/whisper-large-v3", finish_reason="stop", streamed=True),
        traps=(Trap.OTHER_FLAGS,),
    ),
]
