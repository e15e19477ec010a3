"""Writes the pages that are made from the code: `python -m docs_site.reference FOLDER`."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from docs_site import addon_options, commands, contract, documents

PAGES: Mapping[str, Callable[[], str]] = {
    "reference-options.md": addon_options.page,
    "reference-commands.md": commands.page,
    "reference-json.md": documents.page,
    "reference-rpcs.md": contract.page,
}
"""The name of each page, and what writes it."""


def write(folder: Path) -> None:
    """Write all pages into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
