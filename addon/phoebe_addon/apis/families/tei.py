"""The own API of Hugging Face's Text Embeddings Inference.

Tokens are counted in the header `x-compute-tokens`, also beside the usage that TEI gives on `/embeddings` and
`/v1/embeddings`. TEI serves one model: neither requests nor answers name it.
On `/` and `/invocations` it offers one of these paths again, whichever suits its model.
Source: TEI `router/src/http/server.rs`, `router/src/lib.rs`.
"""

from phoebe_addon.apis.family import AnswerFormat, ErrorShape, Family, Fold, RequestFormat, Streams, mark
from phoebe_addon.apis.usage import Counts

COMPUTE_TOKENS = Counts(prompt=("x-compute-tokens",))

FAMILIES = (
    Family(
        "tei.embed",
        ("POST /embed", "POST /embed_all", "POST /embed_sparse", "POST /predict", "POST /similarity"),
        RequestFormat(streams=Streams.NEVER, names_model=False),
        AnswerFormat(
            usage=(),
            fold=Fold.LAST,
            models=(),
            failures=(mark("error"),),
            header_usage=COMPUTE_TOKENS,
        ),
        errors=ErrorShape.TGI,
    ),
)
