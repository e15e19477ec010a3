"""What the documentation names in the tree is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# Folders of the tree; a path that begins with one of them is meant to be in it.
TOP = sorted(path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))

# Made by commands, and not kept.
MADE = {ROOT / line for line in (ROOT / ".gitignore").read_text("utf-8").split()}

LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)(?:#[^)]*)?\)")
MENTION = re.compile(rf"`((?:{'|'.join(map(re.escape, TOP))})/[\w./-]+)`")


def linked(page: Path) -> Iterator[Path]:
    for match in LINK.finditer(page.read_text("utf-8")):
        yield (page.parent / match[1]).resolve()


def mentioned(page: Path) -> Iterator[Path]:
    for match in MENTION.finditer(page.read_text("utf-8")):
        yield ROOT / match[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_that_a_page_names_is_in_the_tree(page: Path) -> None:
    missing = [
        str(path) for path in (*linked(page), *mentioned(page)) if not path.exists() and path not in MADE
    ]

    assert missing == []


def test_the_architecture_names_every_package_of_the_addon_and_the_rater() -> None:
    page = ROOT / "docs" / "architecture.md"
    named = set(linked(page))
    packages = {
        init.parent
        for half in ("addon/phoebe_addon", "rater_service")
        for init in (ROOT / half).glob("*/__init__.py")
    }

    assert packages - named == set()
