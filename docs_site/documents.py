"""The reference of what commands write with `--json`: a JSON Schema for each kind, out of its types."""

import json
from collections.abc import Iterator

from pydantic import TypeAdapter

from phoebe_conformance.cli import CONFORMANCE
from rater_service.cli.documents import DOCUMENTS, MESSAGES, AnyKind
from rater_service.views.documents import VERSION

_DRAFT = "https://json-schema.org/draft/2020-12/schema"


def page() -> str:
    """Write the page."""
    return "\n".join(
        [
            "# JSON of the commands",
            "",
            "What each command writes with `--json`; [the command line](command-line.md#json) says what all "
            "of it has in common. Decimals are strings with all their digits, USD unless it says per token; "
            "times are RFC 3339 in UTC.",
            *(line for kind, commands in _kinds() for line in _section(kind, commands)),
            "",
        ]
    )


def schema(kind: AnyKind) -> dict[str, object]:
    """Return the JSON Schema of a kind."""
    adapter: TypeAdapter[object] = TypeAdapter(kind.members)
    made = adapter.json_schema(mode="serialization")
    return made | {
        "$schema": _DRAFT,
        "title": kind.name,
        "properties": {"version": {"const": VERSION}, "kind": {"const": kind.name}, **made["properties"]},
        "required": ["version", "kind", *made["required"]],
    }


def _kinds() -> Iterator[tuple[AnyKind, list[str]]]:
    by_kind: dict[str, tuple[AnyKind, list[str]]] = {}
    for command, kinds in (*DOCUMENTS.items(), ("conformance", (CONFORMANCE,))):
        for kind in kinds:
            by_kind.setdefault(kind.name, (kind, []))[1].append(f"phoebe {command}")
    yield from (by_kind[name] for name in sorted(by_kind))
    yield from ((kind, []) for kind in MESSAGES)


def _section(kind: AnyKind, commands: list[str]) -> Iterator[str]:
    written_by = ", ".join(f"`{command}`" for command in commands) or "every command, to standard error"
    yield from ("", f"## {kind.name}", "", f"Written by {written_by}.", "")
    yield from ("```json", json.dumps(schema(kind), indent=2), "```")
