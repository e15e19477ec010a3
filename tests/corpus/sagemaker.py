"""Answers on SageMaker's one path, whose body says which API it is for."""

from .case import DONE, Case, Changed, Metered, Resource, Tokens, document, events, post
from .tgi import COUNTED, DETAILS, LAST, TOKEN
from .traps import Trap

API = "sagemaker.invocations"
PATH = "/invocations"

DECLARED = Resource(models=("m",))

TWO = {"model": "m", "messages": [], "inputs": "a", "stream": True}
BOTH = post(PATH, TWO, {**TWO, "stream_options": {"include_usage": True}, "parameters": {"details": True}})

CASES = [
    Case(
        name="SageMaker's path gets what the body is for: a stream of TGI's own",
        engine="tgi",
        request=post(
            PATH,
            {"inputs": "a", "stream": True},
            {"inputs": "a", "stream": True, "parameters": {"details": True}},
        ),
        answer=events(TOKEN, Changed(DETAILS, LAST % b"null")),
        resource=DECLARED,
        expected=Metered(
            api=API, model_id="m", tokens=Tokens(5, 2), finish_reason="eos_token", streamed=True
        ),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
    ),
    Case(
        name="SageMaker's path gets what the body is for: a list of TGI's own",
        engine="tgi",
        request=post(PATH, {"inputs": "a"}),
        answer=document('[{"generated_text":"b"}]', headers=COUNTED),
        resource=DECLARED,
        expected=Metered(api=API, model_id="m", tokens=Tokens(12, 20)),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
    ),
    Case(
        name="SageMaker's path gets what the body is for: a chat",
        engine="vllm",
        request=post(PATH, {"model": "m", "messages": []}),
        answer=document(
            '{"id":"chatcmpl-i","model":"m","choices":[{"index":0,"message":{"content":"a"},"finish_reason":'
            '"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}'
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(3, 4), finish_reason="stop"),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
    ),
    Case(
        name="SageMaker's path gets what the body is for: a stream of a chat",
        engine="sglang",
        request=post(
            PATH,
            {"model": "m", "messages": [], "stream": True},
            {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}},
        ),
        answer=events(
            b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
            Changed(
                b'data: {"id":"i","model":"m","choices":[],"usage":{"prompt_tokens":3,'
                b'"completion_tokens":4}}\n\n'
            ),
            DONE,
        ),
        expected=Metered(
            api=API,
            model_id="m",
            tokens=Tokens(3, 4),
            finish_reason="stop",
            streamed=True,
        ),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
    ),
    Case(
        name="SageMaker's path gets what the body is for: embeddings",
        engine="vllm",
        request=post(PATH, {"model": "e5", "input": "a"}),
        answer=document('{"model":"e5","data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}'),
        expected=Metered(api=API, model_id="e5", tokens=Tokens(3)),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
    ),
    Case(
        name="SageMaker's path gets what the body is for: a chat, whose `inputs` are null",
        engine="vllm",
        request=post(
            PATH,
            {"model": "m", "messages": [], "inputs": None, "stream": True},
            {
                "model": "m",
                "messages": [],
                "inputs": None,
                "stream": True,
                "stream_options": {"include_usage": True},
            },
        ),
        answer=events(
            b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
            Changed(
                b'data: {"id":"i","model":"m","choices":[],"usage":{"prompt_tokens":3,'
                b'"completion_tokens":4}}\n\n'
            ),
            DONE,
        ),
        expected=Metered(api=API, model_id="m", tokens=Tokens(3, 4), finish_reason="stop", streamed=True),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
    ),
    Case(
        name="a body that fits two APIs is asked in the ways of both: the chat answers",
        engine="vllm",
        request=BOTH,
        answer=events(
            b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
            Changed(
                b'data: {"id":"i","model":"m","choices":[],"usage":{"prompt_tokens":3,'
                b'"completion_tokens":4}}\n\n'
            ),
            DONE,
        ),
        resource=DECLARED,
        expected=Metered(api=API, model_id="m", tokens=Tokens(3, 4), finish_reason="stop", streamed=True),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
    ),
    Case(
        name="a body that fits two APIs is asked in the ways of both: TGI answers",
        engine="tgi",
        request=BOTH,
        answer=events(TOKEN, Changed(DETAILS, LAST % b"null")),
        resource=DECLARED,
        expected=Metered(
            api=API, model_id="m", tokens=Tokens(5, 2), finish_reason="eos_token", streamed=True
        ),
        traps=(Trap.SEVERAL_APIS_ON_ONE_PATH,),
    ),
    Case(
        name="TEI embeds on SageMaker's path, and counts in a header",
        engine="tei",
        request=post(PATH, {"inputs": ["a"]}),
        answer=document("[[0.1]]", headers=(("x-compute-tokens", "5"),)),
        resource=Resource(engine="tei", models=("bge",)),
        expected=Metered(api=API, model_id="bge", tokens=Tokens(5)),
        traps=(Trap.COUNTS_IN_HEADERS, Trap.SEVERAL_APIS_ON_ONE_PATH),
    ),
]
