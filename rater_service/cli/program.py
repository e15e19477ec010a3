"""The operator's command line, `phoebe`."""

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from enum import StrEnum
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phoebe_runtime.log_lines import LogFormat
from phoebe_runtime.settings_file import VARIABLE
from phoebe_runtime.spans import Tracing
from rater_service.cli import archive as cli_archive
from rater_service.cli import failures
from rater_service.cli import installation as cli_installation
from rater_service.cli import producers as cli_producers
from rater_service.cli import rejected as cli_rejected
from rater_service.cli import runs as cli_runs
from rater_service.cli import sums as cli_sums
from rater_service.cli import token as cli_token
from rater_service.cli.addon_section import AsksLikeAProxy
from rater_service.cli.audit import show_audit
from rater_service.cli.completion import EPILOG as COMPLETION_EPILOG
from rater_service.cli.completion import begin_completing, completion
from rater_service.cli.config import config
from rater_service.cli.doctor import EPILOG as DOCTOR_EPILOG
from rater_service.cli.doctor import doctor
from rater_service.cli.embedded import embedded
from rater_service.cli.event import event
from rater_service.cli.events import events
from rater_service.cli.explain import explain
from rater_service.cli.export import export
from rater_service.cli.forget import forget
from rater_service.cli.migrate import migrate
from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    LATE_DAYS_DEFAULT,
    AllowChange,
    AllowRate,
    DatabaseUrl,
    DataDir,
    LateDays,
    LogStyle,
    allowed_prices,
)
from rater_service.cli.plugins import PluggableGroup
from rater_service.cli.prices import prices as cli_prices
from rater_service.cli.protection import TlsCert, TlsClientCa, TlsKey, Tokens
from rater_service.cli.prune import prune
from rater_service.cli.quote import quote
from rater_service.cli.rate import rate
from rater_service.cli.reading import ReadDatabaseUrl
from rater_service.cli.report import report
from rater_service.cli.settings import use_file
from rater_service.cli.variables import own_variables, refuse_unknown
from rater_service.database.database import POOL_CONNECTIONS_MAX
from rater_service.distribution import installed_version
from rater_service.errors import NeedsAttention, ProgramEnded
from rater_service.events.model_names import MODEL_NAMES_MAX
from rater_service.rating.schedule import DELAY_DEFAULT_S, RatingSchedule, parse_every
from rater_service.views.documents import messages_are_json, messages_as_json
from rater_service.views.terminal import log_to_stderr, write

if TYPE_CHECKING:  # slow to import
    from rater_service.service.server import Face

EXIT_FAILURE = 1
EXIT_ANOMALY = 2
# Typer's own code for a wrong flag, which here would say that something was rated.
_TYPER_EXIT_USAGE = 2

app = typer.Typer(
    cls=PluggableGroup,
    no_args_is_help=True,
    add_completion=False,
    # A traceback is for a bug report; boxes around it and the values of variables (secrets) are not.
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class _LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def _every(written: str) -> timedelta:
    try:
        return parse_every(written)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        write(f"phoebe {installed_version()}")
        raise typer.Exit


@app.callback()
def phoebe(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
    _config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            envvar=VARIABLE,
            metavar="FILE",
            show_default=False,
            callback=use_file,
            help="A file of settings, YAML. Options and the environment come first. Default: none.",
        ),
    ] = None,
) -> None:
    """Meter LLM inference traffic and rate it into exact bills.

    Results go to standard output, messages and logs to standard error. All times are UTC, all money is USD.

    Exit codes of all commands: 0 all is well; 1 failure or wrong usage; 2 done, but something needs a human.
    """


@app.command()
def serve(  # noqa: PLR0913 - one parameter per option
    *,
    listen: Annotated[
        str,
        typer.Option(
            envvar="PHOEBE_LISTEN", metavar="HOST:PORT", help="Where to listen; port 0 takes a free one."
        ),
    ] = "127.0.0.1:50051",
    prices: Annotated[
        Path | None,
        typer.Option(
            envvar="PHOEBE_PRICES",
            metavar="FILE",
            show_default=False,
            help="The price file to load. Without it the ones loaded earlier hold.",
        ),
    ] = None,
    allow_rate: AllowRate = None,
    allow_change: AllowChange = None,
    database_url: DatabaseUrl = None,
    read_database_url: ReadDatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    allow_plaintext: Annotated[
        bool,
        typer.Option(
            "--allow-plaintext",
            envvar="PHOEBE_ALLOW_PLAINTEXT",
            help="Listen beyond this machine although connections are not encrypted.",
        ),
    ] = False,
    allow_anonymous: Annotated[
        bool,
        typer.Option(
            "--allow-anonymous",
            envvar="PHOEBE_ALLOW_ANONYMOUS",
            help="Listen beyond this machine although nobody is asked who they are.",
        ),
    ] = False,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    tls_client_ca: TlsClientCa = None,
    tokens: Tokens = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            envvar="PHOEBE_METRICS",
            metavar="HOST:PORT",
            show_default=False,
            help="Where Prometheus can read metrics. Without it nowhere.",
        ),
    ] = None,
    console: Annotated[
        str | None,
        typer.Option(
            envvar="PHOEBE_CONSOLE",
            metavar="HOST:PORT",
            show_default=False,
            help="Where people can read the console in a browser: bills, prices, producers, runs. Without it "
            "nowhere.",
        ),
    ] = None,
    rate_every: Annotated[
        timedelta | None,
        typer.Option(
            parser=_every,
            envvar="PHOEBE_RATE_EVERY",
            metavar="hour|Nm",
            show_default=False,
            help="Rate the trailing 24 complete hours every hour, or every N minutes (15m), without being "
            "asked. Any number of services on one database may do so. Default: never.",
        ),
    ] = None,
    rate_delay: Annotated[
        int,
        typer.Option(
            envvar="PHOEBE_RATE_DELAY",
            metavar="SECONDS",
            min=0,
            max=3600,
            help="How long after that to wait for events that are still on their way.",
        ),
    ] = DELAY_DEFAULT_S,
    late_days: LateDays = LATE_DAYS_DEFAULT,
    db_connections: Annotated[
        int,
        typer.Option(
            envvar="PHOEBE_DB_CONNECTIONS",
            metavar="N",
            min=2,
            max=1000,
            help="Sessions with the database at most. If its role or its server allows fewer, calls wait.",
        ),
    ] = POOL_CONNECTIONS_MAX,
    model_names_max: Annotated[
        int,
        typer.Option(
            envvar="PHOEBE_MODEL_NAMES_MAX",
            metavar="N",
            min=10,
            max=100_000,
            help="How many models of one auth id have sums of their own in an hour. Usage of further ones "
            "without a price is summed under one name, and runs say so.",
        ),
    ] = MODEL_NAMES_MAX,
    tracing: Annotated[
        Tracing,
        typer.Option(
            envvar="PHOEBE_TRACING",
            help="Whether spans of calls, batches and runs are sent to a collector, as the variables OTEL_* "
            "say: off; on, without who calls; identified, with that.",
        ),
    ] = Tracing.OFF,
    log_level: Annotated[
        _LogLevel, typer.Option(envvar="PHOEBE_LOG_LEVEL", help="What to log to standard error.")
    ] = _LogLevel.INFO,
    log_format: LogStyle = LogFormat.HUMAN,
) -> None:
    """Run the gRPC service: store events, rate windows, quote prices.

    Stops cleanly on SIGTERM and Ctrl-C. The embedded PostgreSQL is migrated at the start; for any other run
    `phoebe migrate` first. A price file with any fault is refused, with all of them listed; so is one whose
    prices are probably mistakes, see `phoebe prices check`. The options --allow-rate and --allow-change count
    at the start only; when the file changes later, it says itself what is meant.

    Exit codes: 0 stopped when told to; 1 it could not start.
    """
    from rater_service.service.protection import ProtectionFiles  # noqa: PLC0415 - slow to import
    from rater_service.service.server import ServerSettings  # noqa: PLC0415 - slow to import
    from rater_service.service.server import serve as run  # noqa: PLC0415 - slow to import

    log_to_stderr(log_level.upper(), log_format)
    settings = ServerSettings(
        listen,
        prices,
        database_url or None,
        data,
        allow_plaintext,
        allow_anonymous,
        ProtectionFiles(tls_cert, tls_key, tls_client_ca, tokens),
        metrics or None,
        None if rate_every is None else RatingSchedule(rate_every, timedelta(seconds=rate_delay)),
        timedelta(days=late_days),
        allowed_prices(allow_rate, allow_change),
        db_connections,
        model_names_max,
        tracing,
        read_database_url or None,
    )
    face = _console(console, allow_plaintext, allow_anonymous) if console else None
    asyncio.run(run(settings, face), loop_factory=_loop_factory())


def _loop_factory() -> "Callable[[], asyncio.AbstractEventLoop] | None":
    """Give what makes the loop of the service: uvloop's, where there is one; None: asyncio's own."""
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415 - of no use to other commands

    return uvloop.new_event_loop


def _console(listen: str, allow_plaintext: bool, allow_anonymous: bool) -> "Face":
    from rater_service.console.serving import ConsoleAddress, console_endpoint  # noqa: PLC0415 - slow to import

    address = ConsoleAddress(listen, allow_plaintext, allow_anonymous)
    return lambda serving: console_endpoint(address, serving)


app.command()(migrate)
app.command()(config)
app.command(epilog=COMPLETION_EPILOG)(completion)
app.command(context_settings={"ignore_unknown_options": True})(embedded)
app.command()(rate)
app.command()(quote)
app.command(name="audit")(show_audit)
app.command(cls=AsksLikeAProxy, epilog=DOCTOR_EPILOG)(doctor)
app.command()(prune)
app.command()(forget)
app.command()(report)
app.command()(explain)
app.command()(event)
app.command()(events)
app.command()(export)
app.add_typer(cli_archive.app, name="archive")
app.add_typer(cli_prices.app, name="prices")
app.add_typer(cli_token.app, name="token")
app.add_typer(cli_producers.app, name="producers")
app.add_typer(cli_installation.app, name="installation")
app.add_typer(cli_rejected.app, name="rejected")
app.add_typer(cli_runs.app, name="runs")
app.add_typer(cli_sums.app, name="sums")


def run(arguments: Sequence[str] | None) -> int:
    """Run the command that the arguments name (None: those of the process) and return its exit code."""
    # Must be set before gRPC is imported. Its fork handlers make one in some thousand child processes crash
    # before it runs its program, and the embedded PostgreSQL is started and stopped by child processes.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
    # Its own lines are in a form of their own, and whoever breaks off a handshake can make them.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    words = _config_first(list(sys.argv[1:] if arguments is None else arguments))
    with messages_as_json("--json" in takewhile(lambda word: word != "--", words)):
        return _run(words)


def _config_first(words: list[str]) -> list[str]:
    """Bring --config, which may stand anywhere, to where it is looked for: before the command.

    What stands behind -- is another program's, and so is what stands behind `embedded`.
    """
    end = words.index("--") if "--" in words else len(words)
    end = min(end, words.index("embedded") if "embedded" in words else end)
    for place, word in enumerate(words[:end]):
        if word.startswith("--config="):
            return [word, *words[:place], *words[place + 1 :]]
        if word == "--config" and place + 1 < len(words):
            return [*words[place : place + 2], *words[:place], *words[place + 2 :]]
    return words


# It takes longer than most commands do, and one process may run many: tests do.
@cache
def _command() -> Any:
    """Make all commands of what their functions declare."""
    return typer.main.get_command(app)


def _run(words: Sequence[str]) -> int:
    command = _command()
    try:
        # Help is given all the same: it says which variables there are.
        if not begin_completing() and not {"-h", "--help"}.intersection(words):
            refuse_unknown(os.environ, own_variables(command))
        # With messages as JSON, wrong usage is said here and not by Typer.
        ended = command(args=words, prog_name="phoebe", standalone_mode=not messages_are_json())
    except NeedsAttention:
        return EXIT_ANOMALY
    except ProgramEnded as program:
        return program.status
    except SystemExit as left:
        return EXIT_FAILURE if left.code == _TYPER_EXIT_USAGE else int(left.code or 0)
    except failures.EXPECTED as error:
        failures.tell(error)
        return EXIT_FAILURE
    return ended if isinstance(ended, int) else 0
