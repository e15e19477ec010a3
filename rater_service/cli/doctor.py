"""`phoebe doctor`: checks an installation from outside, and says in words what is wrong."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from phoebe_runtime.near_names import nearest
from rater_service.cli.engine import CaFile
from rater_service.cli.options import (
    DATA_DIR_DEFAULT,
    AsJson,
    DatabaseUrl,
    DataDir,
    duration_option,
)
from rater_service.cli.reading import ReadDatabaseUrl
from rater_service.cli.request_headers import HeaderError, read_headers
from rater_service.doctor.findings import Report, Result
from rater_service.doctor.targets import Canary, HeaderNames, Purpose, Targets, require_url
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.views.doctor import DOCTOR, report_json, show_report
from rater_service.views.documents import write_json
from rater_service.views.terminal import progress, write

if TYPE_CHECKING:  # slow to import
    from phoebe_client import Connection
    from rater_service.doctor.checks import Check

_CANARY_ID = "phoebe-doctor"
_CANARY_WITHIN = timedelta(seconds=30)
_DEFAULT_NAMES = HeaderNames()
EPILOG = """\b
Examples:
  phoebe doctor
  phoebe doctor --rater rater:50051 --rater-tls \\
    --rater-metrics http://rater:9464 --proxy-metrics http://gateway:9101 \\
    --proxy http://gateway:8080 --edge https://llm.example
  phoebe doctor --only prices,rating --json
  phoebe doctor --edge https://llm.example --edge-header @headers.txt \\
    --canary my-model --only canary
"""


def _url(written: str) -> str:
    try:
        return require_url(written)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _address(written: str) -> str:
    host, _, port = written.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise typer.BadParameter("must be HOST:PORT")
    return written


def _url_option(flag: str, explanation: str) -> typer.models.OptionInfo:
    info = typer.Option(flag, parser=_url, metavar="URL", show_default=False, help=explanation)
    assert isinstance(info, typer.models.OptionInfo)
    return info


def _file_option(flag: str, variable: str | None, explanation: str) -> typer.models.OptionInfo:
    info = typer.Option(
        flag, envvar=variable, metavar="FILE", show_default=False, help=f"{explanation} Default: none."
    )
    assert isinstance(info, typer.models.OptionInfo)
    return info


def _header_option(flag: str, variable: str, explanation: str) -> typer.models.OptionInfo:
    info = typer.Option(flag, envvar=variable, metavar="NAME", help=explanation)
    assert isinstance(info, typer.models.OptionInfo)
    return info


def doctor(  # noqa: PLR0913 - one parameter per option
    *,
    database_url: DatabaseUrl = None,
    read_database_url: ReadDatabaseUrl = None,
    data: DataDir = DATA_DIR_DEFAULT,
    role: Annotated[
        Purpose,
        typer.Option(
            help="What the role of DATABASE_URL is for: its rights are compared with docs/roles.md."
        ),
    ] = Purpose.SERVICE,
    rater: Annotated[
        str | None,
        typer.Option(
            parser=_address,
            envvar="PHOEBE_RATER",
            metavar="HOST:PORT",
            show_default=False,
            help="The rater's gRPC port, as proxies call it. These variables are those of the addon. "
            "Without it no rater is asked.",
        ),
    ] = None,
    rater_tls: Annotated[
        bool, typer.Option("--rater-tls", envvar="PHOEBE_RATER_TLS", help="Call the rater encrypted.")
    ] = False,
    rater_ca: Annotated[
        Path | None,
        _file_option("--rater-ca", "PHOEBE_RATER_CA", "More authorities to trust for the rater, PEM."),
    ] = None,
    rater_cert: Annotated[
        Path | None,
        _file_option("--rater-cert", "PHOEBE_RATER_CERT", "A proxy's certificate for the rater, PEM."),
    ] = None,
    rater_key: Annotated[
        Path | None, _file_option("--rater-key", "PHOEBE_RATER_KEY", "The key of that certificate, PEM.")
    ] = None,
    rater_token_file: Annotated[
        Path | None,
        _file_option("--rater-token-file", "PHOEBE_RATER_TOKEN_FILE", "A proxy's token for the rater."),
    ] = None,
    rater_metrics: Annotated[str | None, _url_option("--rater-metrics", "The rater's metrics port.")] = None,
    proxy_metrics: Annotated[
        list[str] | None, _url_option("--proxy-metrics", "A proxy's metrics port; may be repeated.")
    ] = None,
    proxy: Annotated[
        str | None,
        _url_option(
            "--proxy", "A proxy, where its edge calls it. It is sent forged headers, which it should refuse."
        ),
    ] = None,
    edge: Annotated[
        str | None,
        _url_option(
            "--edge", "The edge, where customers call. It is sent forged headers, which it should refuse."
        ),
    ] = None,
    console: Annotated[str | None, _url_option("--console", "The rater's console.")] = None,
    spool: Annotated[
        Path | None,
        typer.Option(
            envvar="PHOEBE_SPOOL",
            metavar="DIR",
            show_default=False,
            help="The folder of a proxy's spool here. Without it no spool is looked at.",
        ),
    ] = None,
    edge_secret_file: Annotated[
        Path | None,
        _file_option(
            "--edge-secret-file",
            "PHOEBE_EDGE_SECRET_FILE",
            "What the edge shows the proxy, for a canary to it.",
        ),
    ] = None,
    edge_header: Annotated[
        list[str] | None,
        typer.Option(
            "--edge-header",
            metavar="HEADER",
            show_default=False,
            help="`Name: value` that a customer shows the edge, for a canary to it; repeatable, or @FILE "
            "with one on each line: on the command line others can read it. Values are never shown.",
        ),
    ] = None,
    auth_id_header: Annotated[
        str, _header_option("--auth-id-header", "PHOEBE_AUTH_ID_HEADER", "The header that says who pays.")
    ] = _DEFAULT_NAMES.auth_id,
    resource_id_header: Annotated[
        str,
        _header_option(
            "--resource-id-header", "PHOEBE_RESOURCE_ID_HEADER", "The header that says which deployment."
        ),
    ] = _DEFAULT_NAMES.resource_id,
    edge_secret_header: Annotated[
        str,
        _header_option(
            "--edge-secret-header", "PHOEBE_EDGE_SECRET_HEADER", "The header with the edge's secret."
        ),
    ] = _DEFAULT_NAMES.edge_secret,
    ca_file: CaFile = None,
    canary: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            show_default=False,
            help="Ask this model for one token, through --edge or --proxy, and follow it to its money. It is "
            "real usage, which the next run bills.",
        ),
    ] = None,
    canary_auth_id: Annotated[
        str,
        typer.Option(metavar="ID", help="Whom a canary to --proxy is metered to; an edge says it itself."),
    ] = _CANARY_ID,
    canary_resource_id: Annotated[
        str, typer.Option(metavar="ID", help="The deployment that a canary to --proxy is for.")
    ] = _CANARY_ID,
    canary_within: Annotated[
        timedelta | None,
        duration_option("--canary-within", None, "30s", "How long its event may take to the database."),
    ] = None,
    days: Annotated[
        int, typer.Option(metavar="N", min=1, max=366, help="How many days of usage to compare prices with.")
    ] = 7,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK", show_default=False, help="Only these checks or groups, with commas or repeated."
        ),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="CHECK", show_default=False, help="Not these checks or groups, alike."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="How long each check may take.")
    ] = 10.0,
    list_checks: Annotated[bool, typer.Option("--list", help="List the checks, and make none.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check an installation from outside: what is wrong, in words, and what to do.

    Looks at what it is told of, as its parts see each other. What nobody named is not checked, and it says
    which option names it. It changes nothing; only a canary, which must be asked for, makes usage, and its
    dry run a record.

    Exit codes: 0 nothing failed (there may be warnings, and checks that were not made); 2 something failed; 1
    wrong usage, or nothing at all could be looked at.
    """
    checks = _chosen(only, skip)
    if list_checks:
        for check in checks:
            write(f"{check.name}: {check.about}")
        return
    if canary is not None and edge is None and proxy is None:
        raise typer.BadParameter("needs --edge or --proxy", param_hint="--canary")
    targets = Targets(
        rater=_rater(rater, rater_token_file, rater_tls, rater_ca, rater_cert, rater_key),
        rater_metrics=rater_metrics,
        proxy_metrics=tuple(proxy_metrics or ()),
        proxy=proxy,
        edge=edge,
        console=console,
        spool=spool,
        canary=None
        if canary is None
        else Canary(canary, canary_auth_id, canary_resource_id, canary_within or _CANARY_WITHIN),
        edge_secret=None if edge_secret_file is None else _first_line(edge_secret_file),
        edge_headers=_headers(edge_header),
        header_names=HeaderNames(auth_id_header, resource_id_header, edge_secret_header),
        ca_file=ca_file,
        purpose=role,
        days=days,
        read_database_url=read_database_url or None,
    )
    with progress("looking"):
        report = asyncio.run(_examine(targets, database_url, data, checks, timeout))
    if as_json:
        write_json(DOCTOR, report_json(report))
    else:
        show_report(report)
    if report.count(Result.FAILED):
        raise NeedsAttention
    if report.nothing_checked:
        raise typer.Exit(1)


async def _examine(
    targets: Targets, database_url: str | None, data_dir: Path, checks: "tuple[Check, ...]", timeout_s: float
) -> Report:
    from rater_service.doctor.access import open_access  # noqa: PLC0415 - slow to import
    from rater_service.doctor.examination import AT_A_TIME, examine  # noqa: PLC0415 - slow to import

    async with open_access(targets, database_url, data_dir, timeout_s, sessions_max=AT_A_TIME) as access:
        return await examine(access, checks, timeout_s)


def _chosen(only: list[str] | None, skip: list[str] | None) -> "tuple[Check, ...]":
    from rater_service.doctor.checks import CHECKS, UnknownCheckError, chosen  # noqa: PLC0415 - slow to import

    def names(given: list[str] | None) -> list[str]:
        return [name.strip() for each in given or () for name in each.split(",") if name.strip()]

    try:
        return chosen(names(only), names(skip))
    except UnknownCheckError as error:
        known = [name for check in CHECKS for name in (check.name, check.group)]
        close = nearest(str(error), known)
        meant = f"; did you mean {close}?" if close else "; `phoebe doctor --list` lists them"
        raise typer.BadParameter(f"there is no check {str(error)!a}{meant}") from None


def _rater(  # noqa: PLR0913, PLR0917 - one parameter per option
    address: str | None,
    token_file: Path | None,
    tls: bool,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
) -> "Connection | None":
    from phoebe_client import Connection  # noqa: PLC0415 - slow to import

    if address is None:
        return None
    token = None if token_file is None else _first_line(token_file)
    try:
        return Connection(address, token=token, tls=tls, ca=ca, certificate=certificate, key=key)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--rater") from None


def _first_line(file: Path) -> str:
    """Read a secret from its file. Raises OperatorError, which does not quote it."""
    try:
        lines = [line.strip() for line in file.read_text("ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not ASCII"
        raise OperatorError(f"{file}: {why}") from None
    if not lines:
        raise OperatorError(f"{file} is empty")
    return lines[0]


def _headers(given: list[str] | None) -> tuple[tuple[str, str], ...]:
    try:
        return read_headers(given or [])
    except HeaderError as error:
        raise typer.BadParameter(str(error), param_hint="--edge-header") from None
