"""The operator's command line, `phoebe`: the commands and their options.

Begin with `program`, which lists the commands; one module a command. Those about price files are in `prices`.
What a command does is in the packages below, and how it shows what it found in `views`. Here is how it is
asked for.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name (None: those of the process) and return its exit code."""
    from rater_service.cli.program import run  # noqa: PLC0415 - slow, and not needed by who imports one command

    return run(arguments)
