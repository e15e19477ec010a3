"""Settings from a file: its section `rater` has a key for each variable that a command reads.

What a command is told comes first: its option, then the variable of the environment, the file, the default.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from phoebe_runtime.settings_file import (
    VARIABLE,
    FileValue,
    SettingsFile,
    SettingsFileError,
    read_settings_file,
)
from rater_service.cli.variables import ADDON_VARIABLES, SHARED_VARIABLES
from rater_service.errors import OperatorError

SECTION = "rater"
URL_FILE_KEYS = {"database_url": "database_url_file", "read_database_url": "read_database_url_file"}
"""Instead of a URL, which has a password: a file with it and nothing else."""

# Typer has a Click of its own, with no public names for its types.
type Command = Any
type Parameter = Any


def settings_of(command: Command) -> Iterator[tuple[tuple[str, ...], str, Parameter]]:
    """Give the settings of a command and of all below it: the command's words, the key and the parameter."""
    for parameter in command.params:
        key = key_of(parameter)
        if key is not None:
            yield (), key, parameter
    for name, below in getattr(command, "commands", {}).items():
        for words, key, parameter in settings_of(below):
            yield (name, *words), key, parameter


def key_of(parameter: Parameter) -> str | None:
    """Give the key that a parameter has in a file; None: it has none."""
    variable = parameter.envvar
    if not isinstance(variable, str) or variable == VARIABLE:
        return None
    # The doctor asks what a proxy asks, by the proxy's variables. In a file they are the addon's.
    if variable in ADDON_VARIABLES - SHARED_VARIABLES:
        return None
    return variable.removeprefix("PHOEBE_").lower()


def use_file(context: typer.Context, path: Path | None) -> Path | None:
    """Read the file of settings that the command line or the environment names, for all commands."""
    if path is None or context.resilient_parsing:
        return path
    settings = list(settings_of(context.command))
    try:
        file = read_settings_file(
            path, {SECTION: {*(key for _, key, _ in settings), *URL_FILE_KEYS.values()}}
        )
    except SettingsFileError as error:
        raise OperatorError(str(error)) from error
    section = dict(file.sections[SECTION])
    faults = list(_faults(context, file, settings))
    if faults:
        raise OperatorError("; ".join(faults))
    defaults: dict[str, Any] = {}
    urls = {key: _url(file, key) for key in URL_FILE_KEYS}
    for words, key, parameter in settings:
        text = urls[key] if key in urls else section[key].texts[0] if key in section else None
        if text is not None:
            below = defaults
            for word in words:
                below = below.setdefault(word, {})
            below[parameter.name] = text
    # Typer takes these for what neither an option nor the environment says.
    context.default_map = defaults
    context.obj = file
    return path


def place_of(file: SettingsFile, key: str) -> str:
    """Say where the value of a key stands."""
    section = file.sections[SECTION]
    found = section.get(key) or section[URL_FILE_KEYS[key]]
    return f"{file.path}, line {found.line}"


def _faults(
    context: typer.Context, file: SettingsFile, settings: list[tuple[tuple[str, ...], str, Parameter]]
) -> Iterator[str]:
    """Say which values are of a wrong type, each once."""
    by_key = {key: parameter for _, key, parameter in settings}
    for key, found in file.sections[SECTION].items():
        place = f"{file.path}, line {found.line}: {key}"
        if found.is_list:
            yield f"{place} takes one value"
        elif key in by_key:
            try:
                by_key[key].process_value(context, found.texts[0])
            except typer.BadParameter as error:
                yield f"{place}: {error.message}"


def _url(file: SettingsFile, key: str) -> str | None:
    """Give the URL of a key, from the file that it may be in. Raises OperatorError."""
    section: Mapping[str, FileValue] = file.sections[SECTION]
    file_key = URL_FILE_KEYS[key]
    if file_key not in section:
        return section[key].texts[0] if key in section else None
    place = f"{file.path}, line {section[file_key].line}: {file_key}"
    if key in section:
        raise OperatorError(f"{place}: {key} is there, too: give one of them")
    try:
        url = Path(section[file_key].texts[0]).expanduser().read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise OperatorError(f"{place}: the URL can't be read: {reason}") from error
    if not url:
        raise OperatorError(f"{place}: the file is empty")
    return url
