"""Answers of the OpenAI images API."""

from .case import Case, Form, Metered, Resource, Tokens, document, events, named, post
from .traps import Trap

API = "openai.images"

CASES = [
    Case(
        name="an image is counted, and names no model",
        engine="openai",
        request=post("/v1/images/generations", {"model": "gpt-image-1", "prompt": "a fox"}),
        answer=document(
            '{"created":1,"background":"opaque","data":[{"b64_json":"iVBORw0KGgo="}],"output_format":"png",'
            '"quality":"low","size":"1024x1024","usage":{"input_tokens":50,"input_tokens_details":'
            '{"image_tokens":40,"text_tokens":10},"output_tokens":272,"total_tokens":322}}'
        ),
        resource=Resource(models=("gpt-image-1",)),
        expected=Metered(api=API, model_id="gpt-image-1", tokens=Tokens(50, 272)),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="an image is edited from a form",
        engine="openai",
        request=post("/v1/images/edits", Form((("model", "gpt-image-1"), ("prompt", "a blue fox")))),
        answer=document(
            '{"created":1,"data":[{"b64_json":"iVBORw0KGgo="}],"usage":{"input_tokens":380,'
            '"input_tokens_details":{"image_tokens":323,"text_tokens":57},"output_tokens":272,'
            '"total_tokens":652}}'
        ),
        expected=Metered(api=API, tokens=Tokens(380, 272)),
    ),
    Case(
        name="an older model makes variations without counts",
        engine="openai",
        request=post("/v1/images/variations", Form((("model", "dall-e-2"),))),
        answer=document('{"created":1,"data":[{"url":"https://img.example/1.png"}]}'),
        expected=Metered(api=API),
    ),
    Case(
        name="an image is streamed, and counted when it is complete",
        engine="openai",
        request=post("/v1/images/generations", {"model": "gpt-image-1", "prompt": "x", "stream": True}),
        answer=events(
            named(
                "image_generation.partial_image",
                '{"type":"image_generation.partial_image","b64_json":"iVBORw0K","created_at":1,"size":'
                '"1024x1024","partial_image_index":0}',
            ),
            named(
                "image_generation.completed",
                '{"type":"image_generation.completed","b64_json":"iVBORw0KGgo=","created_at":1,"usage":'
                '{"total_tokens":100,"input_tokens":50,"output_tokens":50,"input_tokens_details":'
                '{"text_tokens":10,"image_tokens":40}}}',
            ),
        ),
        expected=Metered(api=API, tokens=Tokens(50, 50), streamed=True),
    ),
    Case(
        name="an image's stream breaks off before it is counted",
        engine="openai",
        request=post("/v1/images/generations", {"model": "gpt-image-1", "prompt": "x", "stream": True}),
        answer=events(
            named(
                "image_generation.partial_image",
                '{"type":"image_generation.partial_image","b64_json":"iVBORw0K","partial_image_index":0}',
            ),
            cut=True,
        ),
        expected=Metered(api=API, outcome="upstream_error", streamed=True),
    ),
]
