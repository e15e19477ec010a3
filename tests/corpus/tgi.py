"""Answers of TGI's own API."""

from .case import Case, Changed, Metered, Refused, Request, Resource, Tokens, document, events, post
from .traps import Trap

API = "tgi.generate"
COUNTED = (
    ("x-compute-type", "1-nvidia-a10g"),
    ("x-compute-characters", "5"),
    ("x-prompt-tokens", "12"),
    ("x-generated-tokens", "20"),
)
TGI = Resource(engine="tgi", models=("mistral",))


def unasked(path: str, **parameters: object) -> Request:
    """Make a request for a stream by a client that does not ask for details."""
    body: dict[str, object] = {"inputs": "Grüße"}
    if path == "/":
        body["stream"] = True
    given = {**body, "parameters": parameters} if parameters else body
    return post(path, given, {**body, "parameters": {**parameters, "details": True}})


TOKEN = (
    b'data:{"index":1,"token":{"id":459,"text":"Gr\xc3\xbc","logprob":-0.1,"special":false},'
    b'"generated_text":null,"details":null}\n\n'
)
LAST = (
    b'data:{"index":2,"token":{"id":2,"text":"</s>","logprob":-0.2,"special":true},"generated_text":'
    b'"Gr\xc3\xbc","details":%s}\n\n'
)
DETAILS = LAST % b'{"finish_reason":"eos_token","generated_tokens":2,"seed":null,"input_length":5}'


def streamed(**more: object) -> Metered:
    """Make what is expected of a complete stream."""
    expected = {"tokens": Tokens(5, 2), "model_id": "mistral", "finish_reason": "eos_token", **more}
    return Metered(api=API, streamed=True, **expected)  # type: ignore[arg-type]


CASES = [
    Case(
        name="a document is counted in its headers alone",
        engine="tgi",
        request=post("/generate", {"inputs": "Grüße", "parameters": {"max_new_tokens": 20}}),
        answer=document('{"generated_text":" und"}', headers=COUNTED),
        resource=TGI,
        expected=Metered(api=API, model_id="mistral", tokens=Tokens(12, 20)),
        traps=(Trap.COUNTS_IN_HEADERS, Trap.NO_NAME),
    ),
    Case(
        name="a document with details says why it ended",
        engine="tgi",
        request=post("/generate", {"inputs": "a", "parameters": {"details": True}}),
        answer=document(
            '{"generated_text":"b","details":{"finish_reason":"length","generated_tokens":20,"seed":null,'
            '"prefill":[],"tokens":[{"id":1,"text":"b","logprob":-1.0,"special":false}]}}',
            headers=COUNTED,
        ),
        resource=TGI,
        expected=Metered(api=API, model_id="mistral", tokens=Tokens(12, 20), finish_reason="length"),
        traps=(Trap.COUNTS_IN_HEADERS,),
    ),
    Case(
        name="the best of several sequences is counted, and the others are not",
        engine="tgi",
        request=post("/generate", {"inputs": "a", "parameters": {"best_of": 2, "details": True}}),
        answer=document(
            '{"generated_text":"b","details":{"finish_reason":"eos_token","generated_tokens":20,"seed":1,'
            '"prefill":[],"tokens":[],"best_of_sequences":[{"generated_text":"c","finish_reason":"length",'
            '"generated_tokens":31,"prefill":[],"seed":2,"tokens":[]}]}}',
            headers=COUNTED,
        ),
        resource=TGI,
        expected=Metered(api=API, model_id="mistral", tokens=Tokens(12, 20), finish_reason="eos_token"),
        traps=(Trap.HIDDEN_GENERATIONS,),
    ),
    Case(
        name="a stream is asked for details that the client does not get",
        engine="tgi",
        request=unasked("/generate_stream", max_new_tokens=20),
        answer=events(TOKEN, Changed(DETAILS, LAST % b"null")),
        resource=TGI,
        expected=streamed(),
        traps=(Trap.COUNTS_IN_HEADERS, Trap.OTHER_FLAGS, Trap.LOOSE_SPACES),
    ),
    Case(
        name="a stream without parameters is asked for details",
        engine="tgi",
        request=unasked("/generate_stream"),
        answer=events(TOKEN, b":\n\n", Changed(DETAILS, LAST % b"null")),
        resource=TGI,
        expected=streamed(),
        traps=(Trap.OTHER_FLAGS, Trap.KEEP_ALIVES),
    ),
    Case(
        name="a client that asks for no details does not get any, and is metered",
        engine="tgi",
        request=post(
            "/generate_stream",
            {"inputs": "a", "parameters": {"details": False}},
            {"inputs": "a", "parameters": {"details": True}},
        ),
        answer=events(TOKEN, Changed(DETAILS, LAST % b"null")),
        resource=TGI,
        expected=streamed(),
        traps=(Trap.OTHER_FLAGS,),
    ),
    Case(
        name="a client that asked for details gets them",
        engine="tgi",
        request=post("/generate_stream", {"inputs": "a", "parameters": {"details": True}}),
        answer=events(TOKEN, DETAILS),
        resource=TGI,
        expected=streamed(),
    ),
    Case(
        name="a compressed stream is decoded for the client, so that its details can be taken out",
        engine="tgi",
        request=unasked("/generate_stream"),
        answer=events(TOKEN, Changed(DETAILS, LAST % b"null"), coding="gzip"),
        resource=TGI,
        expected=streamed(),
        traps=(Trap.COMPRESSED_ANSWER, Trap.OTHER_FLAGS),
    ),
    Case(
        name="a header that is no count is not billed",
        engine="faulty",
        request=post("/generate", {"inputs": "a"}),
        answer=document(
            '{"generated_text":"b"}', headers=(("x-prompt-tokens", "many"), ("x-generated-tokens", "2"))
        ),
        resource=TGI,
        expected=Metered(api=API),
        traps=(Trap.COUNTS_IN_HEADERS,),
    ),
    Case(
        name="the root path streams when it is told to",
        engine="tgi",
        request=unasked("/"),
        answer=events(TOKEN, Changed(DETAILS, LAST % b"null")),
        resource=TGI,
        expected=streamed(),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH, Trap.OTHER_FLAGS),
    ),
    Case(
        name="the root path answers with a list",
        engine="tgi",
        request=post("/", {"inputs": "a"}),
        answer=document('[{"generated_text":"b"}]', headers=COUNTED),
        resource=TGI,
        expected=Metered(api=API, model_id="mistral", tokens=Tokens(12, 20)),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH, Trap.COUNTS_IN_HEADERS),
    ),
    Case(
        name="a stream of TGI's own fails",
        engine="tgi",
        request=unasked("/generate_stream"),
        answer=events(
            TOKEN,
            b'data:{"error":"Request failed during generation","error_type":"generation"}\n\n',
        ),
        resource=TGI,
        expected=Metered(api=API, outcome="upstream_error", streamed=True),
        traps=(Trap.ERROR_IN_A_GOOD_STREAM,),
    ),
    Case(
        name="a stream of TGI's own breaks off before its details",
        engine="tgi",
        request=unasked("/generate_stream"),
        answer=events(TOKEN, cut=True),
        resource=TGI,
        expected=Metered(api=API, outcome="upstream_error", streamed=True),
        traps=(Trap.DROPPED_CONNECTION,),
    ),
    Case(
        name="an overloaded TGI answers with an error",
        engine="tgi",
        request=unasked("/generate_stream"),
        answer=document('{"error":"Model is overloaded","error_type":"overloaded"}', status=429),
        resource=TGI,
        expected=Metered(api=API, outcome="upstream_error", status=429),
        traps=(Trap.STREAM_REFUSED,),
    ),
    Case(
        name="predictions for Vertex are never counted, and refused",
        engine="tgi",
        request=post("/vertex", {"instances": [{"inputs": "a"}]}),
        expected=Refused(404),
        traps=(Trap.COUNTS_IN_HEADERS,),
    ),
]
