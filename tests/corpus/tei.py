"""Answers of Text Embeddings Inference's own API, which counts in a header alone."""

from .case import Case, Metered, Refused, Resource, Tokens, document, post
from .traps import Trap

API = "tei.embed"
DECLARED = Resource(engine="tei", models=("bge",))
COUNTED = (
    ("x-compute-type", "gpu+optimized"),
    ("x-compute-time", "7"),
    ("x-compute-characters", "21"),
    ("x-compute-tokens", "5"),
    ("x-total-time", "9"),
)
PAIR = {"source_sentence": "a", "sentences": ["b"]}

CASES = [
    *(
        Case(
            name=f"TEI counts {path} in a header",
            engine="tei",
            request=post(path, {"inputs": inputs}),
            answer=document(answer, headers=COUNTED),
            resource=DECLARED,
            expected=Metered(api=API, model_id="bge", tokens=Tokens(5), usage_raw='{"x-compute-tokens": 5}'),
            traps=(Trap.COUNTS_IN_HEADERS, Trap.NO_NAME),
        )
        for path, inputs, answer in (
            ("/embed", ["a", "b"], "[[0.1,0.2],[0.3,0.4]]"),
            ("/embed_all", "a", "[[[0.1],[0.2]]]"),
            ("/embed_sparse", "a", '[[{"index":7,"value":0.5}]]'),
            ("/predict", "a", '[{"score":0.9,"label":"good"}]'),
            ("/similarity", PAIR, "[0.5]"),
        )
    ),
    Case(
        name="TEI embeds on the root path",
        engine="tei",
        request=post("/", {"inputs": "a"}),
        answer=document("[[0.1]]", headers=COUNTED),
        resource=DECLARED,
        expected=Metered(api="tgi.generate", model_id="bge", tokens=Tokens(5)),
        traps=(Trap.COUNTS_IN_HEADERS, Trap.SEVERAL_APIS_ON_ONE_PATH),
    ),
    Case(
        name="TEI is too busy",
        engine="tei",
        request=post("/embed", {"inputs": "a"}),
        answer=document('{"error":"Model is overloaded","error_type":"Overloaded"}', status=429),
        resource=DECLARED,
        expected=Metered(api=API, outcome="upstream_error", status=429),
    ),
    Case(
        name="of two models of TEI's nobody would say which",
        engine="tei",
        request=post("/embed", {"inputs": "a"}),
        resource=Resource(engine="tei", models=("bge", "e5")),
        expected=Refused(400),
        traps=(Trap.NO_NAME,),
    ),
]
