"""The command that runs a program against the embedded PostgreSQL."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from rater_service.cli.options import DATA_DIR_DEFAULT, DataDir
from rater_service.database.embedded import start, stop, stop_left_behind
from rater_service.errors import OperatorError, ProgramEnded
from rater_service.views.terminal import write

_OF_TERMINALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


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
    raise ProgramEnded(_run(command, data))


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
        with (
            _signals_left_to_it(),
            subprocess.Popen([program, *command[1:]], env=environment) as process,  # noqa: S603 - as asked
        ):
            signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
            status = process.wait()
    except OSError as error:
        raise OperatorError(f"can't run {command[0]}: {error.strerror}") from error
    finally:
        stop(server)
    # As a shell says it of a program that a signal ended.
    return status if status >= 0 else 128 - status


@contextmanager
def _signals_left_to_it() -> Iterator[None]:
    """Outlive the signals that a terminal also sends to the program: what they mean is for it to say.

    Ctrl-C in psql ends a query and not psql.
    """
    before = {number: signal.getsignal(number) for number in (*_OF_TERMINALS, signal.SIGTERM)}
    for number in _OF_TERMINALS:
        # Ignored signals would be ignored by the program too; those that have a handler are not.
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
