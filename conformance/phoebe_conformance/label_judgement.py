"""Whether the headers of an engine's answers say what their bodies are."""

from phoebe_addon.answer.body import Mislabel

from .case import Case
from .metering import Metered
from .report import Finding

_HINT = (
    "Mend it where it comes from, often a gateway or a proxy for disaggregated prefill: "
    "have it send {header}: {right}."
)
_RIGHT = {
    "an event stream": "text/event-stream",
    "JSON lines": "application/x-ndjson",
    "a JSON document": "application/json",
}


def judge_labels(case: Case, what: str, metered: Metered) -> list[Finding]:
    """Judge the headers of an answer. what: the answer, in a word. Nothing is found if they are right."""
    return [_finding(case, what, mislabel) for mislabel in metered.mislabels if metered.served]


def _finding(case: Case, what: str, mislabel: Mislabel) -> Finding:
    label = mislabel.label or "nothing"
    if mislabel.header == "Content-Encoding":
        is_what = f"is in {mislabel.found}" if mislabel.found else "is in no coding"
        right = mislabel.found or "identity, or nothing"
    else:
        is_what, right = f"is {mislabel.found}", _RIGHT[mislabel.found]
    return case.warning(
        "labels",
        f"The {what} answer says {mislabel.header}: {label}, but {is_what}. Phoebe reads it as what it is; "
        "clients may not.",
        _HINT.format(header=mislabel.header, right=right),
    )
