"""Answers that state the usage of several models: each is billed under its own name."""

from .anthropic import API, BLOCK, STOP, asked, delta, message, start
from .case import Case, Metered, Part, Resource, Tokens, data, document, events, named, post
from .traps import Trap

CACHE_0 = '"cache_creation_input_tokens":0,"cache_read_input_tokens":0'
ADVISOR = (
    '{"type":"advisor_message","model":"claude-opus-4-7","input_tokens":823,'
    + CACHE_0
    + ',"output_tokens":1612}'
)
EXECUTOR = (
    '{"type":"message","input_tokens":412,' + CACHE_0 + ',"output_tokens":89}',
    '{"type":"message","input_tokens":1348,"cache_creation_input_tokens":0,"cache_read_input_tokens":412,'
    '"output_tokens":442}',
)
ADVISED = (
    '{"input_tokens":412,' + CACHE_0 + ',"output_tokens":531,"iterations":['
    f"{EXECUTOR[0]},{ADVISOR},{EXECUTOR[1]}]}}"
)
EXECUTOR_TOKENS = Tokens(2172, 531, cached=412, cache_write=0)
ADVISOR_TOKENS = Tokens(823, 1612, cached=0, cache_write=0)
ADVISOR_PART = Part(model_id="claude-opus-4-7", tokens=ADVISOR_TOKENS, usage_raw=f"[{ADVISOR}]")

DECLINED = (
    '{"type":"message","model":"claude-fable-5","input_tokens":2,"cache_creation_input_tokens":10421,'
    '"cache_read_input_tokens":72769,"output_tokens":578}'
)
SERVED = (
    '{"type":"fallback_message","model":"claude-opus-4-8","input_tokens":2,"cache_creation_input_tokens":0,'
    '"cache_read_input_tokens":79214,"output_tokens":13658}'
)
FELL_BACK = (
    '{"input_tokens":2,"cache_creation_input_tokens":0,"cache_read_input_tokens":79214,"output_tokens":13658,'
    f'"iterations":[{DECLINED},{SERVED}]}}'
)
DECLINED_TOKENS = Tokens(83192, 578, cached=72769, cache_write=10421)
SERVED_TOKENS = Tokens(79216, 13658, cached=79214, cache_write=0)
FALLBACK = named(
    "content_block_start",
    '{"type":"content_block_start","index":1,"content_block":{"type":"fallback","from":{"model":"claude-fable-5"},'
    '"to":{"model":"claude-opus-4-8"},"trigger":{"type":"refusal","category":"cyber"}}}',
)


def with_iterations(*iterations: str, totals: str = '"input_tokens":10,"output_tokens":5') -> str:
    """Make a usage object with a list of iterations."""
    return f'{{{totals},"iterations":[{",".join(iterations)}]}}'


def metered(
    *parts: Part, tokens: Tokens | None = None, model: str = "claude-sonnet-4-6", streamed: bool = False
) -> Metered:
    """Make what is expected of a message."""
    return Metered(
        api=API,
        model_id=model,
        tokens=tokens or Tokens(10, 5),
        finish_reason="end_turn",
        streamed=streamed,
        parts=parts,
    )


OWN = '{"type":"message","input_tokens":10,"output_tokens":5}'

ADVISORS = [
    Case(
        name="an advisor's tokens are billed under its own name, and all of the executor's under that one's",
        engine="anthropic",
        request=asked("claude-sonnet-4-6"),
        answer=document(message(ADVISED, model="claude-sonnet-4-6")),
        expected=metered(ADVISOR_PART, tokens=EXECUTOR_TOKENS),
        traps=(Trap.SEVERAL_MODELS, Trap.ITERATIONS_OUTSIDE_TOTALS),
    ),
    Case(
        name="a stream brings the advisor's tokens with its last counts",
        engine="anthropic",
        request=asked("claude-sonnet-4-6", stream=True),
        answer=events(
            start('{"input_tokens":412,"output_tokens":1}', model="claude-sonnet-4-6"),
            *BLOCK,
            delta(ADVISED),
            STOP,
        ),
        expected=metered(ADVISOR_PART, tokens=EXECUTOR_TOKENS, streamed=True),
        traps=(Trap.SEVERAL_MODELS, Trap.DELTA_REPEATS_START),
    ),
    Case(
        name="an advisor behind a long answer is found",
        engine="anthropic",
        request=asked("claude-sonnet-4-6"),
        answer=document(message(ADVISED, model="claude-sonnet-4-6").replace("Grüße", "Grüße " * 20_000)),
        expected=metered(ADVISOR_PART, tokens=EXECUTOR_TOKENS),
        traps=(Trap.SEVERAL_MODELS, Trap.BIG_BODIES),
    ),
    Case(
        name="several calls of one advisor are one part",
        engine="anthropic",
        request=asked("claude-sonnet-4-6"),
        answer=document(message(with_iterations(OWN, ADVISOR, ADVISOR), model="claude-sonnet-4-6")),
        expected=metered(
            Part(model_id="claude-opus-4-7", tokens=Tokens(1646, 3224, cached=0, cache_write=0))
        ),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="an advisor that the resource does not declare is marked, and never billed",
        engine="anthropic",
        request=asked("claude-sonnet-4-6"),
        answer=document(message(ADVISED, model="claude-sonnet-4-6")),
        resource=Resource(models=("claude-sonnet-4-6",)),
        expected=metered(
            Part(model_id="claude-opus-4-7", tokens=ADVISOR_TOKENS, model_untrusted=True),
            tokens=EXECUTOR_TOKENS,
        ),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="a bad count of an advisor spoils its own usage and no other",
        engine="faulty",
        request=asked("claude-sonnet-4-6"),
        answer=document(
            message(
                with_iterations(
                    OWN,
                    '{"type":"advisor_message","model":"dear","input_tokens":-1,"output_tokens":9}',
                    ADVISOR,
                ),
                model="claude-sonnet-4-6",
            )
        ),
        expected=metered(Part(model_id="dear"), ADVISOR_PART),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="an advisor without a name is nobody's",
        engine="faulty",
        request=asked("claude-sonnet-4-6"),
        answer=document(
            message(
                with_iterations(OWN, '{"type":"advisor_message","input_tokens":8,"output_tokens":9}'),
                model="claude-sonnet-4-6",
            )
        ),
        resource=Resource(models=("claude-sonnet-4-6",)),
        expected=metered(Part(tokens=Tokens(8, 9))),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="what is no iteration is nobody's usage",
        engine="faulty",
        request=asked("claude-sonnet-4-6"),
        answer=document(message(with_iterations(OWN, "7"), model="claude-sonnet-4-6")),
        expected=metered(Part(usage_raw="[7]")),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="of more models than any answer uses the last are nobody's",
        engine="faulty",
        request=asked("claude-sonnet-4-6"),
        answer=document(
            message(
                with_iterations(
                    OWN,
                    *(
                        f'{{"type":"advisor_message","model":"n{number}","input_tokens":1,"output_tokens":2}}'
                        for number in range(18)
                    ),
                ),
                model="claude-sonnet-4-6",
            )
        ),
        expected=metered(
            *(Part(model_id=f"n{number}", tokens=Tokens(1, 2)) for number in range(16)),
            Part(tokens=Tokens(2, 4)),
        ),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="an advisor that used nothing makes no part",
        engine="anthropic",
        request=asked("claude-sonnet-4-6"),
        answer=document(
            message(
                with_iterations(
                    OWN, '{"type":"advisor_message","model":"dear","input_tokens":0,"output_tokens":0}'
                ),
                model="claude-sonnet-4-6",
            )
        ),
        expected=metered(),
        traps=(Trap.SEVERAL_MODELS,),
    ),
]

FALLBACKS = [
    Case(
        name="a hop that declined is billed under its own name",
        engine="anthropic",
        request=asked("claude-fable-5"),
        answer=document(message(FELL_BACK, model="claude-opus-4-8")),
        expected=metered(
            Part(model_id="claude-fable-5", tokens=DECLINED_TOKENS, usage_raw=f"[{DECLINED}]"),
            tokens=SERVED_TOKENS,
            model="claude-opus-4-8",
        ),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="a stream that one model begins and another ends is billed under both names",
        engine="anthropic",
        request=asked("claude-fable-5", stream=True),
        answer=events(
            start(
                '{"input_tokens":2,"cache_read_input_tokens":72769,"output_tokens":1}', model="claude-fable-5"
            ),
            *BLOCK,
            FALLBACK,
            delta(FELL_BACK),
            STOP,
        ),
        expected=metered(
            Part(model_id="claude-fable-5", tokens=DECLINED_TOKENS),
            tokens=SERVED_TOKENS,
            model="claude-opus-4-8",
            streamed=True,
        ),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="the model that goes on is billed for what is counted after it began, also without iterations",
        engine="gateway",
        request=asked("claude-fable-5", stream=True),
        answer=events(
            start('{"input_tokens":412,"output_tokens":0}', model="claude-fable-5"),
            *BLOCK,
            FALLBACK,
            delta('{"input_tokens":412,"output_tokens":264}'),
            STOP,
        ),
        expected=metered(tokens=Tokens(412, 264), model="claude-opus-4-8", streamed=True),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="what was counted before another model went on is the first one's, if nothing more comes",
        engine="anthropic",
        request=asked("claude-fable-5", stream=True),
        answer=events(
            start('{"input_tokens":412,"output_tokens":3}', model="claude-fable-5"),
            *BLOCK,
            FALLBACK,
            cut=True,
        ),
        expected=Metered(
            api=API,
            model_id="claude-fable-5",
            tokens=Tokens(412, 3),
            outcome="upstream_error",
            streamed=True,
        ),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="a model that spells its name in two ways is counted once",
        engine="gateway",
        request=asked("claude-fable-5"),
        answer=document(message(FELL_BACK, model="claude-opus-4-8-20260615")),
        expected=metered(
            Part(model_id="claude-fable-5", tokens=DECLINED_TOKENS),
            tokens=SERVED_TOKENS,
            model="claude-opus-4-8-20260615",
        ),
        traps=(Trap.SEVERAL_MODELS,),
    ),
]

IMAGES = (
    '"tool_usage":{"image_gen":{"input_tokens":«in»,"input_tokens_details":{"image_tokens":0,"text_tokens":«in»},'
    '"output_tokens":«out»,"total_tokens":0},"web_search":{"num_requests":0}}'
)


def response(prompt: int, completion: int) -> str:
    """Make a response whose model had another one make images."""
    images = IMAGES.replace("«in»", str(prompt)).replace("«out»", str(completion))
    return (
        '{"id":"resp_1","object":"response","status":"completed","model":"gpt-5.1","error":null,"output":[],'
        f'{images},"usage":{{"input_tokens":40,"output_tokens":9,"total_tokens":49}}}}'
    )


def responded(*parts: Part, streamed: bool = False) -> Metered:
    """Make what is expected of it."""
    return Metered(
        api="openai.responses",
        model_id="gpt-5.1",
        tokens=Tokens(40, 9),
        finish_reason="completed",
        streamed=streamed,
        parts=parts,
    )


TOOLS = [
    Case(
        name="images that another model made are nobody's, because the answer does not name it",
        engine="openai",
        request=post("/v1/responses", {"model": "gpt-5.1", "input": "a fox"}),
        answer=document(response(22, 272)),
        expected=responded(Part(tokens=Tokens(22, 272))),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="images that another model made are counted in a stream too",
        engine="openai",
        request=post("/v1/responses", {"model": "gpt-5.1", "input": "a fox", "stream": True}),
        answer=events(
            data(
                '{"type":"response.created","response":{"model":"gpt-5.1","status":"in_progress","usage":null}}'
            ),
            data(f'{{"type":"response.completed","response":{response(22, 272)}}}'),
        ),
        expected=responded(Part(tokens=Tokens(22, 272)), streamed=True),
        traps=(Trap.SEVERAL_MODELS,),
    ),
    Case(
        name="no images make no part",
        engine="openai",
        request=post("/v1/responses", {"model": "gpt-5.1", "input": "hi"}),
        answer=document(response(0, 0)),
        expected=responded(),
        traps=(Trap.SEVERAL_MODELS,),
    ),
]

CASES = [*ADVISORS, *FALLBACKS, *TOOLS]
