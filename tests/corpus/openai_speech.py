"""Answers of the OpenAI speech API."""

from .case import Answer, Case, Metered, Refused, Resource, Tokens, data, document, events, named, post
from .traps import Trap

API = "openai.speech"
PATH = "/v1/audio/speech"
SPOKEN = {"model": "tts", "input": "hello", "voice": "v"}
DECLARED = Resource(models=("tts",))
USAGE = '{"type":"speech.audio.done","usage":{"input_tokens":12,"output_tokens":340,"total_tokens":352}}'
AUDIO = Answer(
    (b"RIFF\xff\x00\x00\x00WAVE",),
    "audio/wav",
    headers=(
        ("x-vllm-omni-num-tokens-in", "2"),
        ("x-vllm-omni-num-tokens-out", "5"),
        ("x-vllm-omni-total-tokens", "7"),
    ),
)

CASES = [
    Case(
        name="speech in events ends with its usage",
        engine="openai",
        request=post(PATH, {**SPOKEN, "stream_format": "sse"}),
        answer=events(
            data('{"type":"speech.audio.delta","audio":"AAAA"}'),
            data(USAGE),
        ),
        resource=DECLARED,
        expected=Metered(api=API, model_id="tts", tokens=Tokens(12, 340), streamed=True),
        traps=(Trap.TERMINAL_EVENT_ONLY, Trap.NO_NAME),
    ),
    Case(
        name="speech in events with names ends with its usage",
        engine="vllm-omni",
        request=post(PATH, {**SPOKEN, "stream_format": "sse"}),
        answer=events(
            named("speech.audio.delta", '{"type":"speech.audio.delta","audio":"AAAA"}'),
            named("speech.audio.done", USAGE),
        ),
        resource=Resource(engine="vllm-omni", models=("tts",)),
        expected=Metered(api=API, model_id="tts", tokens=Tokens(12, 340), streamed=True),
        traps=(Trap.TERMINAL_EVENT_ONLY, Trap.EVENT_AND_DATA_LINES),
    ),
    Case(
        name="vLLM-Omni counts speech in headers",
        engine="vllm-omni",
        request=post(PATH, SPOKEN),
        answer=AUDIO,
        resource=Resource(engine="vllm-omni", models=("tts",)),
        expected=Metered(api=API, model_id="tts", tokens=Tokens(2, 5)),
        traps=(Trap.COUNTS_IN_HEADERS, Trap.NO_NAME),
    ),
    Case(
        name="speech that is audio alone would have no counts",
        engine="openai",
        request=post(PATH, SPOKEN),
        resource=DECLARED,
        expected=Refused(400),
    ),
    Case(
        name="vLLM-Omni would stream speech without counts",
        engine="vllm-omni",
        request=post(PATH, {**SPOKEN, "stream": True}),
        resource=Resource(engine="vllm-omni", models=("tts",)),
        expected=Refused(400),
    ),
    Case(
        name="speech of a model that is not there fails",
        engine="openai",
        request=post(PATH, {**SPOKEN, "stream_format": "sse"}),
        answer=document('{"error":{"message":"no such model","type":"invalid_request_error"}}', status=404),
        resource=DECLARED,
        expected=Metered(api=API, outcome="upstream_error", status=404),
    ),
]
