"""The blocks of code in the documentation, and what each says about how it is tested.

A comment stands in the line before a block (blank lines may be between them):

    <!-- test: run -->                      `make test-docs` runs it as it stands
    <!-- test: run 17=$ROLLUP anomaly -->   the same with 17 replaced; exit status 2 of `phoebe` will do
    <!-- test: run "after: TOKEN=x" -->     it is run behind this, which its reader has done
    <!-- test: run here -->                 it is run in the project's own folder
    <!-- test: tests/e2e/test_demo.py -->   this test runs it
    <!-- test: none, docker -->             it is not run; the word is one of REASONS

YAML and JSON need no comment: they are read. Blocks without a language are no code.
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from rig.programs import PROJECT

PAGES = (
    *(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((PROJECT / "docs").glob("*.md")),
)
COMMANDS = frozenset({"sh", "bash", "console"})
READ = frozenset({"yaml", "json"})
TOLD = COMMANDS | {"python", "js", "go", "sql", "ini"}
"""Languages whose blocks say how they are tested."""

REASONS: Mapping[str, str] = MappingProxyType(
    {
        "cluster": "it needs a Kubernetes cluster; `make test-deploy` tests the chart and the manifests",
        "docker": "it needs Docker; `make test-deploy` tests images and the compose file without",
        "install": "it installs from the package index; a test builds the wheel and installs that",
        "make": "each line is a target of the Makefile, which a test looks up; they take minutes",
        "names": "it has names of machines and secrets that only its reader has",
        "profiler": "it needs a profiler and the number of a process that is picked by hand",
        "root": "it changes the machine: users, units, system folders",
    }
)
ANOMALY = "anomaly"
HERE = "here"
AFTER = "after: "

_BLOCK = re.compile(
    r"(?:^(?P<blank> *)<!-- test: (?P<told>[^\n]*?) -->\n(?: *\n)*)?"
    r"^(?P<indent> *)```(?P<language>[a-z]*)[^\n]*\n(?P<code>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class BadCommentError(Exception):
    """What a comment says of a block is not understood; the message names the page and the line."""


@dataclass(frozen=True, slots=True)
class Run:
    """It is run.

    replaced: what stands in for words of it; `$NAME` is a variable of the installation. after: a command that
    is run before it. is_here: in the project's own folder.
    """

    replaced: Mapping[str, str]
    after: str = ""
    is_anomaly_fine: bool = False
    is_here: bool = False


@dataclass(frozen=True, slots=True)
class RunBy:
    """A test runs it: the path from the project's folder."""

    test: str


@dataclass(frozen=True, slots=True)
class NotRun:
    """It is not run. reason: a key of REASONS."""

    reason: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page (the path from the project's folder), the line of its fence, and its code."""

    page: str
    line: int
    language: str
    code: str
    told: str | None

    @property
    def name(self) -> str:
        """Where it is, as tools can follow it."""
        return f"{self.page}:{self.line}"

    @property
    def commands(self) -> list[str]:
        """The first lines of its commands, without comments; a line that goes on counts as one."""
        joined = self.code.replace("\\\n", " ")
        return [
            line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")
        ]

    def test(self) -> Run | RunBy | NotRun | None:
        """How it is tested; None: it does not say. Raises BadCommentError."""
        if self.told is None:
            return None
        if self.told.startswith("none, "):
            return NotRun(self._known(self.told.removeprefix("none, ")))
        if re.fullmatch(r"tests/[\w/]+\.py", self.told):
            return RunBy(self.told)
        how, *words = shlex.split(self.told)
        if how != "run":
            raise BadCommentError(f"{self.name}: {self.told!r}")
        after = [word.removeprefix(AFTER) for word in words if word.startswith(AFTER)]
        pairs = [
            word.partition("=")
            for word in words
            if word not in {ANOMALY, HERE} and not word.startswith(AFTER)
        ]
        if not all(old and is_pair for old, is_pair, _ in pairs):
            raise BadCommentError(f"{self.name}: {self.told!r}")
        return Run({old: new for old, _, new in pairs}, "\n".join(after), ANOMALY in words, HERE in words)

    def _known(self, reason: str) -> str:
        if reason not in REASONS:
            raise BadCommentError(f"{self.name}: {reason!r} is none of {', '.join(REASONS)}")
        return reason


def blocks_of(page: Path) -> list[Block]:
    """Read all blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    name = str(page.relative_to(PROJECT))
    return list(blocks_in(text, name))


def blocks_in(text: str, page: str) -> list[Block]:
    """Read all blocks of a page's text, in their order."""
    return [
        Block(
            page,
            text.count("\n", 0, found.start("indent")) + 1,
            found["language"],
            re.sub(rf"(?m)^{found['indent']}", "", found["code"]),
            found["told"],
        )
        for found in _BLOCK.finditer(text)
    ]


def every_block() -> list[Block]:
    """Read all blocks of all pages."""
    return [block for page in PAGES for block in blocks_of(page)]
