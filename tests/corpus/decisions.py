"""Answers of APIs that decide instead of writing."""

from .case import Case, Metered, Tokens, document, post

DECISIONS = "openai.decisions"
SYSTEMONE = "typesafe.systemone"
QUESTION = {"type": "choice", "name": "queue", "instructions": "Which?", "options": [{"value": "a"}]}

CASES = [
    *(
        Case(
            name=f"{engine} decides, and counts as in responses",
            engine=engine,
            request=post("/v1/decisions", {"model": "m", "input": "a", "questions": [QUESTION]}),
            answer=document(
                '{"model":"m","answers":[{"type":"choice","name":"queue","choice":"a","confidence":0.9}],"usage":'
                '{"input_tokens":240,"input_tokens_details":{"cached_tokens":128,"cache_write_tokens":0},'
                '"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":242}}'
            ),
            expected=Metered(
                api=DECISIONS, model_id="m", tokens=Tokens(240, 2, cached=128, cache_write=0, reasoning=0)
            ),
        )
        for engine in ("openai", "vllm")
    ),
    *(
        Case(
            name=f"{engine} answers System One",
            engine=engine,
            request=post("/v1/systemone", {"model": "m", "state": "a", "questions": {"q": {"type": "noul"}}}),
            answer=document(
                '{"model":"m","answers":{"q":{"type":"noul","noul":0.9}},"usage":{"input_tokens":12,'
                '"output_tokens":8}}'
            ),
            expected=Metered(api=SYSTEMONE, model_id="m", tokens=Tokens(12, 8)),
        )
        for engine in ("vllm", "ollama")
    ),
]
