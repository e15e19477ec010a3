"""How it is shown that a person was erased."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from phoebe_runtime.counts import counted
from rater_service.archive.files import ErasedFiles
from rater_service.events.forget import Erased
from rater_service.views.documents import Kind


@dataclass(frozen=True, slots=True)
class ErasedEverywhere:
    """What was erased from the database and the archive. exports: files that may have the person, too."""

    stored: Erased
    archived: ErasedFiles
    exports: Sequence[str]


class ErasureJson(TypedDict):
    """What was erased or, if not done, would be. id: of the record that is kept of it.

    archived_files: those that archived_events are in, which are written again; exports: files that events
    were exported to, which nobody looked into.
    """

    done: bool
    id: int | None
    events: int
    rejected: int
    archived_events: int
    archived_files: Sequence[str]
    exports: Sequence[str]


ERASURE = Kind("erasure", ErasureJson)


def erasure_json(found: ErasedEverywhere, *, done: bool) -> ErasureJson:
    """Return what is written of an erasure as JSON."""
    return {
        "done": done,
        "id": found.stored.id,
        "events": found.stored.events,
        "rejected": found.stored.rejected,
        "archived_events": found.archived.events,
        "archived_files": found.archived.files,
        "exports": found.exports,
    }


def erasure_text(found: ErasedEverywhere, *, done: bool) -> list[str]:
    """Say it in some lines."""
    stored, archived = found.stored, found.archived
    also = f", {archived.events} archived" if archived.events else ""
    what = f"{counted(stored.events, 'stored event')}{also} and {stored.rejected} kept aside"
    lines = [f"{'written again' if done else 'to be written again'}: {file}" for file in archived.files]
    if found.exports:
        lines.append(
            "not looked into, and they may have the person: the files that `phoebe prune --export` wrote: "
            + ", ".join(found.exports)
        )
    if not done:
        return [*lines, f"would erase the person from {what}; nothing was changed; --yes does it"]
    return [*lines, f"erased the person from {what}; kept as erasure {stored.id}"]
