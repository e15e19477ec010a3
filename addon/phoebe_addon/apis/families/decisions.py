"""APIs that answer typed questions with probabilities: OpenAI's decisions, and System One of TypeSafe AI.

Neither streams. Sources: the OpenAI API reference; vLLM `entrypoints` (`/v1/decisions`, `/v1/systemone`); the
TypeSafe AI documentation.
"""

from phoebe_addon.apis.families.openai_responses import RESPONSES_COUNTS
from phoebe_addon.apis.family import AnswerFormat, Family, Fold, RequestFormat, Streams, mark, usage_at

_REQUEST = RequestFormat(streams=Streams.NEVER)
_ANSWER = AnswerFormat(
    usage=(usage_at(RESPONSES_COUNTS, "usage"),), fold=Fold.LAST, failures=(mark("error"),)
)

FAMILIES = (
    Family("openai.decisions", ("POST /v1/decisions",), _REQUEST, _ANSWER),
    Family("typesafe.systemone", ("POST /v1/systemone",), _REQUEST, _ANSWER),
)
