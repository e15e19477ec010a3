"""Ollama's own API. It streams JSON lines unless told not to; the last one, `done: true`, has the counts.

SGLang serves the same API without counts in streams. Loading and unloading a model are answers without
counts. Sources: Ollama `server/routes.go`, `api/types.go`; SGLang `srt/entrypoints/ollama`.
"""

from phoebe_addon.apis.family import (
    AnswerFormat,
    ErrorShape,
    Family,
    Fold,
    RequestFormat,
    Streams,
    Unbillable,
    at,
    counts_among,
    mark,
)
from phoebe_addon.apis.usage import Counts

_COUNTS = Counts(
    prompt=("prompt_eval_count",),  # includes what came from the cache
    cached=("prompt_eval_cached_count",),
    completion=("eval_count",),
)
_REQUEST = RequestFormat(
    streams=Streams.UNLESS_DECLINED,
    unbillable=(
        Unbillable(
            "sglang_ollama_stream",
            "SGLang reports no token counts in streams of this API; set `stream` to false",
            engines=frozenset({"SGLang"}),
            streamed=True,
        ),
    ),
)
_ANSWER = AnswerFormat(
    usage=(counts_among(_COUNTS, ""),),
    fold=Fold.LAST,
    finish_reasons=(at("done_reason"),),
    ends=(mark("done", True),),
    failures=(mark("error"),),
)

FAMILIES = (
    Family("ollama.chat", ("POST /api/chat",), _REQUEST, _ANSWER, errors=ErrorShape.TEXT, generates=True),
    Family(
        "ollama.generate", ("POST /api/generate",), _REQUEST, _ANSWER, errors=ErrorShape.TEXT, generates=True
    ),
    Family(
        "ollama.embed",
        ("POST /api/embed",),
        RequestFormat(streams=Streams.NEVER),
        _ANSWER,
        errors=ErrorShape.TEXT,
    ),
)
