"""Answers of the rerank APIs: Jina's, and Cohere's."""

from .case import Case, Metered, Refused, Request, Resource, Tokens, document, post
from .traps import Trap

JINA = "jina.rerank"
COHERE = "cohere.rerank"


def rerank(path: str, **more: object) -> Request:
    """Make a request, which goes on as it is."""
    return post(path, {"model": "bge", "query": "a", "documents": ["b", "c"], **more})


VLLM_ANSWER = document(
    '{"id":"rerank-1","model":"bge","usage":{"prompt_tokens":56,"total_tokens":56},"results":[{"index":1,'
    '"document":{"text":"c","multi_modal":null},"relevance_score":0.99},{"index":0,"document":{"text":"b",'
    '"multi_modal":null},"relevance_score":0.01}]}'
)

CASES = [
    *(
        Case(
            name=f"vLLM reranks on {path}",
            engine="vllm",
            request=rerank(path),
            answer=VLLM_ANSWER,
            expected=Metered(api=api, model_id="bge", tokens=Tokens(56)),
        )
        for path, api in (("/rerank", JINA), ("/v1/rerank", JINA), ("/v2/rerank", COHERE))
    ),
    Case(
        name="Jina counts a total alone",
        engine="jina",
        request=rerank("/v1/rerank"),
        answer=document(
            '{"model":"jina-reranker-v2-base-multilingual","object":"list","usage":{"total_tokens":815},'
            '"results":[{"index":0,"relevance_score":0.87}]}'
        ),
        expected=Metered(api=JINA, model_id="jina-reranker-v2-base-multilingual", tokens=Tokens(815)),
    ),
    Case(
        name="SGLang answers a bare list, which adds up, and names no model",
        engine="sglang",
        request=rerank("/v1/rerank"),
        answer=document(
            '[{"score":0.9,"document":"c","index":1,"meta_info":{"id":"x","finish_reason":{"type":"length",'
            '"length":0},"prompt_tokens":15,"e2e_latency":0.1}},{"score":0.1,"document":"b","index":0,'
            '"meta_info":{"id":"y","finish_reason":null,"prompt_tokens":12}}]'
        ),
        resource=Resource(engine="sglang", models=("bge",)),
        expected=Metered(api=JINA, model_id="bge", tokens=Tokens(27)),
        traps=(Trap.NO_NAME,),
    ),
    Case(
        name="SGLang's counts of documents that were cut off are gone",
        engine="sglang",
        request=rerank("/v1/rerank", top_n=1),
        answer=document(
            '[{"score":0.9,"document":null,"index":1,"meta_info":{"id":"x","prompt_tokens":15}}]'
        ),
        expected=Metered(api=JINA, tokens=Tokens(15)),
        traps=(Trap.CUT_RESULTS,),
    ),
    Case(
        name="llama.cpp reranks under the name it was sent",
        engine="llama.cpp",
        request=rerank("/v1/reranking"),
        answer=document(
            '{"model":"bge","object":"list","usage":{"prompt_tokens":42,"total_tokens":42},"results":'
            '[{"index":0,"relevance_score":-5.2}]}'
        ),
        resource=Resource(engine="llama.cpp"),
        expected=Metered(api=JINA, model_id="bge", tokens=Tokens(42), model_untrusted=True),
        traps=(Trap.NAME_DEPENDS_ON_PATH,),
    ),
    Case(
        name="llama.cpp in TEI's shape does not count",
        engine="llama.cpp",
        request=post("/reranking", {"query": "a", "texts": ["b", "c"]}),
        expected=Refused(400),
    ),
    Case(
        name="SGLang's counts would be gone of documents that are cut off",
        engine="sglang",
        request=rerank("/v1/rerank", top_n=1),
        resource=Resource(engine="sglang", models=("bge",)),
        expected=Refused(400),
        traps=(Trap.CUT_RESULTS,),
    ),
    *(
        Case(
            name=f"TEI counts what it reranks on {path} in a header",
            engine="tei",
            request=post(path, {"query": "a", "texts": ["b", "c"]}),
            answer=document(
                '[{"index":1,"score":0.99},{"index":0,"score":0.01}]',
                headers=(("x-compute-type", "gpu+optimized"), ("x-compute-tokens", "23")),
            ),
            resource=Resource(engine="tei", models=("bge",)),
            expected=Metered(api=JINA, model_id="bge", tokens=Tokens(23)),
            traps=(Trap.COUNTS_IN_HEADERS, Trap.NO_NAME),
        )
        for path in ("/rerank", "/v1/rerank")
    ),
    Case(
        name="LocalAI reranks under the name it was sent",
        engine="localai",
        request=rerank("/v1/rerank"),
        answer=document(
            '{"model":"bge","usage":{"total_tokens":42,"prompt_tokens":42},"results":[{"index":0,"document":'
            '{"text":"b"},"relevance_score":0.5}]}'
        ),
        resource=Resource(engine="localai"),
        expected=Metered(api=JINA, model_id="bge", tokens=Tokens(42), model_untrusted=True),
        traps=(Trap.CLIENT_NAMES_THE_MODEL,),
    ),
    Case(
        name="Cohere would bill searches, which are no tokens",
        engine="cohere",
        request=rerank("/v2/rerank"),
        resource=Resource(engine="cohere"),
        expected=Refused(400),
    ),
    Case(
        name="Cohere bills searches, which are no tokens",
        engine="cohere",
        request=rerank("/v2/rerank"),
        answer=document(
            '{"id":"07734bd2","results":[{"index":0,"relevance_score":0.99}],"meta":{"api_version":'
            '{"version":"2"},"billed_units":{"search_units":1}}}'
        ),
        expected=Metered(api=COHERE),
    ),
]
