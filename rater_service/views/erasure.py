"""How it is shown that a person was erased."""

from typing import TypedDict

from rater_service.events.forget import Erased
from rater_service.views.documents import Kind


class ErasureJson(TypedDict):
    """What was erased or, if not done, would be. id: of the record that is kept of it."""

    done: bool
    id: int | None
    events: int
    rejected: int


ERASURE = Kind("erasure", ErasureJson)


def erasure_json(found: Erased, *, done: bool) -> ErasureJson:
    """Return what is written of an erasure as JSON."""
    return {"done": done, "id": found.id, "events": found.events, "rejected": found.rejected}


def erasure_text(found: Erased, *, done: bool) -> str:
    """Say it in one line."""
    what = f"{found.events} stored events and {found.rejected} that were kept aside"
    if not done:
        return f"would erase the person from {what}; nothing was changed; --yes does it"
    return f"erased the person from {what}; kept as erasure {found.id}"
