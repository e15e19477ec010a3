"""Commands that need nothing of the rater's: the entry points of the group `phoebe.plain_commands`.

Each is a function of the command's arguments that returns its exit code; its docstring begins with what it is
for. It raises ModuleNotFoundError if it needs an extra, which its entry names, and that is not installed. Its
module may have `make_parser()`, which tells shells its options. They work where only the addon's half is
installed, so this module needs none of the rater's libraries.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from typing import cast

from rater_service.distribution import how_to_install, installed_version

type PlainCommand = Callable[[Sequence[str]], int]

GROUP = "phoebe.plain_commands"


# What is installed does not change while a process runs, and to look for it reads a file of each package.
@cache
def _entries() -> EntryPoints:
    return entry_points(group=GROUP)


def names() -> list[str]:
    """Give the names of all of them."""
    return sorted(_entries().names)


def find(name: str) -> PlainCommand | None:
    """Give the function behind a name; None: it is none of them."""
    entry: EntryPoint | None = next(iter(_entries().select(name=name)), None)
    return None if entry is None else cast(PlainCommand, entry.load())


def call(name: str, command: PlainCommand, arguments: Sequence[str]) -> int:
    """Call one of them by its name and return its exit code; say what to install if it lacks something."""
    try:
        return command(arguments)
    except ModuleNotFoundError as missing:
        (entry,) = _entries().select(name=name)
        if missing.name is None or not entry.extras:
            raise
        install = how_to_install(entry.extras)
        sys.stderr.write(f"phoebe: `phoebe {name}` needs {missing.name}, which is not installed: {install}\n")
        return 1


def purpose(command: PlainCommand) -> str:
    """Say what a command is for, in one line."""
    return (command.__doc__ or "").partition("\n")[0]


def options(command: PlainCommand) -> list[argparse.Action]:
    """Give the options of a command, by the parser of its module; none if it needs what is not installed."""
    make_parser = getattr(sys.modules[command.__module__], "make_parser", None)
    try:
        parser: argparse.ArgumentParser | None = make_parser and make_parser()
    except ModuleNotFoundError:
        return []
    # It has no public name, and nothing else tells what a parser takes.
    return [] if parser is None else [action for action in parser._actions if action.option_strings]


def without_the_rest(arguments: Sequence[str], missing: ModuleNotFoundError) -> int:
    """Answer whatever else was asked for where the rater's half is not installed, and return the exit code.

    missing: what its command line could not be imported for.
    """
    if arguments == ["--version"]:
        sys.stdout.write(f"phoebe {installed_version()}\n")
        return 0
    lines = [f"  {name:<12}  {purpose(command)}" for name in names() if (command := find(name))]
    install = how_to_install(["rater"])
    if set(arguments) & {"-h", "--help"}:
        commands = "\n".join(lines)
        sys.stdout.write(f"Usage: phoebe COMMAND\n\n{commands}\n\nAll other commands: {install}\n")
        return 0
    sys.stderr.write(
        f"phoebe: {''.join(arguments[:1]) or 'this'} needs {missing.name}, "
        f"which is not installed: {install}\n"
        f"Without it there are: {', '.join(names())}\n"
    )
    return 1
