"""The examples of a page of docs/, to be run as they stand there."""

import re

from rig.programs import PROJECT

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def example(page: str, language: str) -> str:
    """Return the only example of a page (docs/PAGE.md) in this language."""
    text = (PROJECT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    (found,) = (code for name, code in _BLOCK.findall(text) if name == language)
    return str(found)
