"""The operator's command line, `phoebe`: the commands and their options.

Begin with `program`, which lists the commands; one module a command. Those about price files are in `prices`.
What a command does is in the packages below, and how it shows what it found in `views`. Here is how it is
asked for.
"""

import sys
from collections.abc import Sequence

from rater_service.cli import plain

_OWN = ("rater_service", "phoebe_proto", "phoebe_runtime")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name (None: those of the process) and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = plain.find(words[0]) if words else None
    if command is not None:
        return plain.call(words[0], command, words[1:])
    try:
        # Slow, and not needed by who imports one command.
        from rater_service.cli.program import run  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith(_OWN):
            raise
        return plain.without_the_rest(words, missing)
    return run(arguments)
