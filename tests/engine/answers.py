"""Answers of the engine in a form in which two of them can be compared."""

import json
import re
from collections.abc import Iterator
from typing import Any

# What differs between two answers to the same request.
_OF_ITS_OWN = re.compile(r"^((item_|call_)?id|created(_at)?|completed_at|id_slot|.*_ms|.*_per_second)$")


def said(document: object) -> object:
    """Return a JSON document without ids and times."""
    if isinstance(document, dict):
        return {name: said(value) for name, value in document.items() if not _OF_ITS_OWN.match(name)}
    return [said(element) for element in document] if isinstance(document, list) else document


def chunks(stream: bytes) -> Iterator[Any]:
    """Read the JSON of a stream's events; the closing `[DONE]` as text."""
    for line in stream.decode().splitlines():
        name, _, data = line.partition(": ")
        if name == "data":
            yield data if data == "[DONE]" else json.loads(data)


def said_in_stream(stream: bytes) -> list[object]:
    return [said(chunk) for chunk in chunks(stream)]
