"""The command that runs a program against the embedded PostgreSQL."""

import os
import subprocess
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import DATA_DIR_DEFAULT, DataDir
from rater_service.database.embedded import start, stop, stop_left_behind
from rater_service.errors import OperatorError
from rater_service.views.terminal import write


def embedded(
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROGRAM [ARGUMENTS]", show_default=False, help="What to run, such as psql or pg_dump."
        ),
    ] = None,
    stop_it: Annotated[
        bool, typer.Option("--stop", help="Stop a server that runs although nobody uses it any more.")
    ] = False,
    data: DataDir = DATA_DIR_DEFAULT,
) -> None:
    """Run a program of PostgreSQL against the embedded server on the data in --data.

    The program finds the server by its environment (PGHOST, PGUSER, PGDATABASE), and is that of the embedded
    server if there is one of its name. Put -- before it, so that its options are its own: phoebe embedded --
    pg_dump --file=phoebe.sql

    Exit codes: that of the program; 1 failure.
    """
    if stop_it:
        write("stopped it" if stop_left_behind(data) else "no server was left behind")
        return
    if not command:
        raise OperatorError("name a program to run, such as psql, or --stop")
    raise typer.Exit(_run(command, data))


def _run(command: list[str], data: Path) -> int:
    server = start(data)
    try:
        environment = os.environ | {
            "PGHOST": str(server.socket_folder),
            "PGPORT": "5432",
            "PGUSER": "postgres",
            "PGDATABASE": "postgres",
            "PATH": os.pathsep.join((str(server.programs.folder), os.environ.get("PATH", os.defpath))),
        }
        own = server.programs.folder / command[0]
        program = str(own) if own.exists() else command[0]
        done = subprocess.run([program, *command[1:]], env=environment, check=False)  # noqa: S603 - as asked
    except OSError as error:
        raise OperatorError(f"can't run {command[0]}: {error.strerror}") from error
    finally:
        stop(server)
    return done.returncode
