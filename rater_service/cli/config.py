"""`phoebe config`: the settings of each program, and where each comes from."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from phoebe_runtime.settings_file import SettingsFile, without_passwords
from rater_service.cli import plain
from rater_service.cli.options import AsJson
from rater_service.cli.settings import key_of, place_of
from rater_service.errors import OperatorError, ProgramEnded
from rater_service.views.documents import write_json
from rater_service.views.settings import CONFIG, Setting, Source, show_settings

PROGRAMS = ("serve", "rate", "migrate", "export")
"""Those with settings of their own. Every other command that uses the database has its two as well."""
_PROXY = "proxy"

_SOURCES = {"COMMANDLINE": Source.OPTION, "ENVIRONMENT": Source.ENVIRONMENT, "DEFAULT_MAP": Source.FILE}


def config(
    context: typer.Context,
    program: Annotated[
        str | None,
        typer.Argument(
            metavar="PROGRAM",
            show_default=False,
            help=f"One of {', '.join(PROGRAMS)} and {_PROXY}. Default: all but {_PROXY}.",
        ),
    ] = None,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTIONS]",
            show_default=False,
            help="What PROGRAM would be given, behind --; of proxy, mitmdump's part.",
        ),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show every setting of a program, and where it is from: option, environment, file or default.

    Settings are read as the program would read them, so that wrong ones are refused here, too. Passwords are
    hidden. The settings of the proxy are those that `phoebe proxy --show-config` shows.

    Exit codes: 0 done; 1 failure, for example a setting that can't be.
    """
    if program == _PROXY:
        raise ProgramEnded(_proxy(context.obj, arguments or [], as_json=as_json))
    if program is not None and program not in PROGRAMS:
        raise typer.BadParameter(f"{program!r} is none of {', '.join((*PROGRAMS, _PROXY))}")
    file: SettingsFile | None = context.obj
    names = PROGRAMS if program is None else (program,)
    settings = [each for name in names for each in _settings(context, name, arguments or [], file)]
    if as_json:
        write_json(CONFIG, {"file": None if file is None else str(file.path), "settings": settings})
    else:
        show_settings(settings)


def _proxy(file: SettingsFile | None, arguments: Sequence[str], *, as_json: bool) -> int:
    proxy = plain.find(_PROXY)
    if proxy is None:
        raise OperatorError("the proxy is not installed here")
    own = ["--show-config", *(["--json"] if as_json else [])]
    named = [] if file is None else ["--config", str(file.path)]
    of_mitmdump = ["--", *arguments] if arguments else []
    return plain.call(_PROXY, proxy, [*own, *named, *of_mitmdump])


def _settings(
    context: typer.Context, name: str, arguments: Sequence[str], file: SettingsFile | None
) -> Iterator[Setting]:
    """Give the settings of a command, as it would read them. Raises typer.BadParameter."""
    root: Any = context.parent
    command = root.command.commands[name]
    own = type(root)(command, info_name=name, parent=root)
    given, _, _ = command.make_parser(own).parse_args(list(arguments))
    for parameter in command.params:
        key = key_of(parameter)
        if key is None:
            continue
        value, source = parameter.consume_value(own, given)
        found = _SOURCES.get(source.name, Source.DEFAULT)
        if found is not Source.DEFAULT:
            parameter.process_value(own, value)
        yield Setting(name, key, _shown(parameter, value, found), found, _place(parameter, key, found, file))


def _place(parameter: Any, key: str, source: Source, file: SettingsFile | None) -> str | None:
    match source:
        case Source.OPTION:
            return str(parameter.opts[0])
        case Source.ENVIRONMENT:
            return str(parameter.envvar)
        case Source.FILE if file is not None:
            return place_of(file, key)
    return None


def _shown(parameter: Any, value: object, source: Source) -> str | None:
    if source is Source.DEFAULT and isinstance(parameter.show_default, str):
        return parameter.show_default
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case timedelta():
            return f"{value.total_seconds():g}s"
    return without_passwords(str(getattr(value, "value", value)))
