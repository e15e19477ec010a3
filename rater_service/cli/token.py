"""`phoebe token`: makes the tokens that callers show."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import AsJson
from rater_service.cli.plugins import WholeLines
from rater_service.errors import OperatorError
from rater_service.service.access_list import Right, new_token, token_line
from rater_service.views.documents import write_json
from rater_service.views.terminal import complain, write
from rater_service.views.token import TOKEN

app = typer.Typer(
    cls=WholeLines, help="Make tokens for callers of `phoebe serve --tokens FILE`.", no_args_is_help=True
)


@app.callback()
def token() -> None:
    """Make tokens for callers of `phoebe serve --tokens FILE`."""


def _rights(written: str) -> frozenset[Right]:
    try:
        return frozenset(map(Right, written.split(",")))
    except ValueError:
        raise typer.BadParameter(
            f"{written!r} is not some of {','.join(Right)}, with commas between them"
        ) from None


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose token it is. The log calls them so.")],
    *,
    rights: Annotated[
        frozenset[Right],
        typer.Option(
            "--rights",
            parser=_rights,
            metavar="RIGHT[,RIGHT]",
            help="What it allows: produce (send events), rate (rate windows), read (prices, bills, runs, "
            "audits), events (single events, which name users).",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            show_default=False,
            help="Write the token to this new file, which only you can read, instead of showing it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a random token, and the line that lets it in.

    The token is shown this once. The line goes into the tokens file of the service; it does not tell the
    token. To exchange a token, add the new line, give the caller the new token, then remove the old line.

    Exit codes: 0 made; 1 failure, nothing was made.
    """
    made = new_token()
    try:
        line = token_line(name, rights, made)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if out is not None:
        _write_secret(out, made)
    shown = None if out else made
    if as_json:
        write_json(TOKEN, {"name": name, "rights": sorted(rights), "token": shown, "line": line})
        return
    if shown:
        # Beside the result, so that `phoebe token new … >> tokens` keeps only the line.
        complain(f"token, shown this once: {shown}")
    write(line)


def _write_secret(path: Path, secret: str) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secret}\n")
    except OSError as error:
        raise OperatorError(f"can't write the token to {path}: {error.strerror}") from error
