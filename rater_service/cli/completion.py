"""`phoebe completion`: what makes a shell complete commands and options. The scripts are those of Typer."""

import os
from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import (  # type: ignore[attr-defined] # it is said nowhere else
    completion_init,
    get_completion_script,
)

PROGRAM = "phoebe"
_VARIABLE = "_PHOEBE_COMPLETE"


class _Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


# The first line of each paragraph keeps the others as they are.
EPILOG = """\b
Examples:
  eval "$(phoebe completion bash)"    # in ~/.bashrc
  eval "$(phoebe completion zsh)"     # in ~/.zshrc, after compinit
  phoebe completion fish > ~/.config/fish/completions/phoebe.fish
"""


def completion(
    shell: Annotated[_Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Write what makes a shell complete commands, options and their values.

    Exit codes: 0 done; 1 wrong usage.
    """
    # As it is: lines of a script are not wrapped.
    typer.echo(get_completion_script(prog_name=PROGRAM, complete_var=_VARIABLE, shell=shell))


def is_completing() -> bool:
    """Tell whether a shell asks what could follow."""
    return _VARIABLE in os.environ


def begin_completing() -> bool:
    """Tell whether a shell asks what could follow, and have Typer answer in the shell's form if it does."""
    if not is_completing():
        return False
    completion_init()
    return True
