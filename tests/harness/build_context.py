"""What Docker sends to the builder: a folder's files, without those that its .dockerignore names.

The rules are those of BuildKit (moby/patternmatcher and its package ignorefile). The library docker-py is no
help: it compares names without their case and looks at one parent folder only, so it takes other files.
Character classes, escapes and `**` inside a name are refused here: no rule of this project needs them.
"""

import posixpath
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True, slots=True)
class Rule:
    """One line: the paths that it ignores or, after a `!`, takes back."""

    pattern: str
    paths: re.Pattern[str]
    takes_back: bool

    def names(self, path: PurePosixPath) -> bool:
        """Tell whether the rule names the path or a folder that it is in."""
        return any(self.paths.fullmatch(str(named)) for named in (path, *path.parents[:-1]))

    def may_name_below(self, folder: PurePosixPath) -> bool:
        """Tell whether the rule may name something in the folder without naming the folder."""
        return self.pattern.startswith(f"{folder}/") or not set(self.pattern).isdisjoint("*?")


def read_rules(text: str) -> tuple[Rule, ...]:
    """Read the lines of a .dockerignore. Raises ValueError at a pattern that is not known here."""
    lines = (line.strip() for line in text.splitlines() if not line.startswith("#"))
    return tuple(_rule(line) for line in lines if line)


def is_ignored(rules: tuple[Rule, ...], path: PurePosixPath) -> bool:
    """Tell whether Docker leaves out the file: the last rule that names it decides."""
    last = next((rule for rule in reversed(rules) if rule.names(path)), None)
    return last is not None and not last.takes_back


def files_sent(folder: Path, dockerfile: str) -> Iterator[PurePosixPath]:
    """Give the files of the context for a Dockerfile, relative to the folder."""
    own = folder / f"{dockerfile}.dockerignore"
    ignore_file = own if own.exists() else folder / ".dockerignore"
    rules = read_rules(ignore_file.read_text() if ignore_file.exists() else "")
    for parent, folders, names in folder.walk():
        inside = PurePosixPath(parent.relative_to(folder))
        folders[:] = [name for name in folders if _may_be_sent(rules, inside / name)]
        yield from (inside / name for name in names if not is_ignored(rules, inside / name))


def copy_context(folder: Path, dockerfile: str, target: Path) -> None:
    """Copy the context for a Dockerfile to a new folder."""
    for path in files_sent(folder, dockerfile):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / path, target / path)


def copied_sources(dockerfile: str) -> list[str]:
    """Give what a Dockerfile's text copies from the context, not from another stage."""
    copies = [line.split()[1:] for line in dockerfile.splitlines() if line.startswith(("COPY ", "ADD "))]
    return [
        source
        for *sources, _ in copies
        if not sources[0].startswith("--from=")
        for source in sources
        if not source.startswith("--")
    ]


def _may_be_sent(rules: tuple[Rule, ...], folder: PurePosixPath) -> bool:
    return not is_ignored(rules, folder) or any(
        rule.takes_back and rule.may_name_below(folder) for rule in rules
    )


def _rule(line: str) -> Rule:
    takes_back = line.startswith("!")
    pattern = line.removeprefix("!").strip()
    if not pattern:
        raise ValueError(f"a rule without a pattern: {line!r}")
    clean = posixpath.normpath(pattern).lstrip("/")
    return Rule(clean, re.compile("".join(_expression(clean.split("/")))), takes_back)


def _expression(parts: list[str]) -> Iterator[str]:
    for place, part in enumerate(parts):
        is_last = place == len(parts) - 1
        if part == "**":
            yield ".*" if is_last else "(.*/)?"
        elif "**" in part or set(part) & set("[]\\"):
            raise ValueError(f"a pattern that is not known here: {part!r}")
        else:
            yield re.escape(part).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") + ("" if is_last else "/")
