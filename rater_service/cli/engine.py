"""Options of commands that ask a model server."""

from pathlib import Path
from typing import Annotated

import typer

Headers = Annotated[
    list[str] | None,
    typer.Option(
        "--header",
        metavar="HEADER",
        show_default=False,
        help="`Name: value` to send with every request, repeatable, or @FILE with one on each line: "
        "on the command line others can read it. Values are never shown.",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        show_default=False,
        help="Certificates to trust as well, PEM.",
    ),
]
