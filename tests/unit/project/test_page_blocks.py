"""Every block of code in the documentation is tested, or says why it is not. What it says is so."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from phoebe_addon.gate.upstreams import parse_map
from phoebe_addon.settings.routes_file import parse_routes
from rater_service.cli.program import app
from rater_service.prices.file import parse_price_file
from rig.programs import PROJECT
from tests.harness.page_blocks import (
    PAGES,
    READ,
    TOLD,
    BadCommentError,
    Block,
    NotRun,
    Run,
    RunBy,
    blocks_in,
    every_block,
)

BLOCKS = every_block()
MAKEFILE = (PROJECT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def of(page: str, language: str) -> list[Block]:
    return [block for block in BLOCKS if block.page == page and block.language == language]


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language in TOLD], ids=lambda block: block.name
)
def test_a_block_of_commands_or_code_says_how_it_is_tested(block: Block) -> None:
    told = block.test()
    assert told is not None, f"say before {block.name} how it is tested: tests/harness/page_blocks.py"
    if isinstance(told, RunBy):
        assert Path(block.page).stem in (PROJECT / told.test).read_text("utf-8"), (
            f"{told.test} does not name the page"
        )
    if told == NotRun("make"):
        assert [command for command in block.commands if target_of(command) not in TARGETS] == []


def target_of(command: str) -> str | None:
    """Give the target of a line that makes one; `.ci/run` makes some."""
    words = [word for word in command.split("#", maxsplit=1)[0].split() if not re.match(r"[A-Z_]+=", word)]
    if words == [".ci/run"]:
        return "check"
    return words[1] if words[0] == "make" else None


def test_every_block_has_a_language_that_is_known() -> None:
    assert {block.language for block in BLOCKS} <= {"", *TOLD, *READ}


def test_what_is_replaced_stands_in_the_block() -> None:
    for block in BLOCKS:
        told = block.test()
        if isinstance(told, Run):
            assert [old for old in told.replaced if old not in block.code] == [], block.name


@pytest.mark.parametrize(
    "block", [block for block in BLOCKS if block.language in READ], ids=lambda block: block.name
)
def test_what_is_to_be_read_can_be_read(block: Block) -> None:
    assert (json.loads if block.language == "json" else yaml.safe_load)(block.code)


PRICE_FILES = [
    block for block in BLOCKS if block.language == "yaml" and block.code.startswith("version: 1\n")
]


@pytest.mark.parametrize("block", PRICE_FILES, ids=lambda block: block.name)
def test_every_price_file_is_taken(block: Block) -> None:
    assert parse_price_file(block.code.encode(), "prices.yaml")


def test_what_is_allowed_in_a_price_file_is_taken_with_the_rest() -> None:
    whole, allowed = of("docs/price-file.md", "yaml")
    assert parse_price_file((whole.code + allowed.code).encode(), "prices.yaml")


def test_the_maps_of_the_addon_are_taken() -> None:
    resources, routes = of("docs/addon.md", "yaml")
    assert parse_map(resources.code, "upstreams.yaml")
    assert parse_routes(routes.code, "routes.yaml")


def every_command() -> set[str]:
    """Name every command of phoebe, and every group of commands."""
    names: set[str] = set(PLAIN_COMMANDS)

    def name(path: str, command: Any) -> None:
        names.add(path)
        for word, each in getattr(command, "commands", {}).items():
            name(f"{path} {word}".strip(), each)

    name("", typer.main.get_command(app))
    return names


PLAIN_COMMANDS = {"addon-path", "deliver", "proxy", "conformance"}
"""They are no part of the rater's own program."""
MENTION = re.compile(r"`phoebe ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?[^`\n]*`")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_a_page_mentions_is_one(page: Path) -> None:
    commands = every_command()
    groups = {command.partition(" ")[0] for command in commands if " " in command}
    for found in MENTION.finditer(page.read_text("utf-8")):
        word, below = found[1], found[2]
        assert word in commands, found[0]
        if word in groups and below:
            assert f"{word} {below}" in commands, found[0]


PAGE = """
<!-- test: run 17=$ROLLUP anomaly -->

```sh
phoebe explain 17   # a word
```

1. A step:
   <!-- test: none, moon -->
   ```sh
   ls \\
     -l
   ```

```python
pass
```
"""


def test_comments_belong_to_the_block_behind_them() -> None:
    first, second, third = blocks_in(PAGE, "page.md")

    assert first.test() == Run({"17": "$ROLLUP"}, is_anomaly_fine=True)
    assert (first.line, second.line, third.line) == (4, 10, 15)
    assert second.code == "ls \\\n  -l\n"
    assert second.commands == ["ls    -l"]
    with pytest.raises(BadCommentError, match=r"page\.md:10: 'moon' is none of"):
        second.test()
    assert third.test() is None


@pytest.mark.parametrize("told", ["runs", "run 17", "tests/no.txt", "run =x"])
def test_what_a_comment_can_not_say_is_refused(told: str) -> None:
    (block,) = blocks_in(f"<!-- test: {told} -->\n```sh\nls\n```\n", "page.md")
    with pytest.raises(BadCommentError, match=r"page\.md:2"):
        block.test()
