"""Reads what commands write with `--json`, and holds it against the type that its schema is made from."""

import json
from typing import Any

from pydantic import TypeAdapter

from rater_service.cli.documents import DOCUMENTS, MESSAGES, AnyKind
from rater_service.views.documents import VERSION, json_value

KINDS = {kind.name: kind for kinds in DOCUMENTS.values() for kind in kinds} | {
    kind.name: kind for kind in MESSAGES
}


def read(text: str, *, kind: AnyKind | None = None) -> Any:
    """Give the members of one document, once they are checked. kind: for that of another package."""
    document = json.loads(text)
    assert document.pop("version") == VERSION
    name = document.pop("kind")
    known = KINDS[name] if kind is None else kind
    assert known.name == name
    adapter: TypeAdapter[object] = TypeAdapter(known.members)
    # What the type does not have would be missing when it is written again, and amounts would be numbers.
    again = json.loads(json.dumps(adapter.validate_python(document), default=json_value))
    assert again == document
    return document


def read_lines(text: str) -> list[Any]:
    """Give the members of documents that stand on a line each."""
    return [read(line) for line in text.splitlines()]
