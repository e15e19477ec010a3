"""Every block of code in the documentation is tested, or says why it is not. What it says is so."""

import json
import re
from pathlib import Path

import pytest
import yaml

from phoebe_addon.gate.upstreams import parse_map
from phoebe_addon.settings.routes_file import parse_routes
from rater_service.prices.file import parse_price_file
from rig.programs import PROJECT
from tests.harness.page_blocks import (
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
