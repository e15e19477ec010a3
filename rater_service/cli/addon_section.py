"""What the file of settings says of the addon, for commands that ask what a proxy asks, as the doctor does.

Its section `addon` is the addon's to check. Here its keys must be known, and values be of the right type that
the command takes itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from typer import BadParameter
from typer.core import TyperCommand

from phoebe_runtime.settings_file import FileValue, SettingsFile, SettingsFileError, read_settings_file
from rater_service.cli.variables import ADDON_VARIABLES, SHARED_VARIABLES
from rater_service.errors import OperatorError

SECTION = "addon"
_PREFIX = "PHOEBE_"
KEYS = frozenset(variable.removeprefix(_PREFIX).lower() for variable in ADDON_VARIABLES)

# Typer has a Click of its own, with no public names for its types.
type Context = Any
type Parameter = Any


class AsksLikeAProxy(TyperCommand):
    """A command whose options with variables of the addon have the addon's settings as defaults, too."""

    def parse_args(self, ctx: Context, args: Sequence[str]) -> list[str]:
        """Read the section before the command line, which comes first. Raises OperatorError."""
        file = ctx.find_root().obj
        if isinstance(file, SettingsFile) and not ctx.resilient_parsing:
            ctx.default_map = {**(ctx.default_map or {}), **self._told(ctx, file)}
        return super().parse_args(ctx, list(args))

    def _told(self, ctx: Context, file: SettingsFile) -> dict[str, str]:
        try:
            section = read_settings_file(file.path, {SECTION: KEYS}).sections[SECTION]
        except SettingsFileError as error:
            raise OperatorError(str(error)) from error
        own = {key: parameter for parameter in self.params if (key := _key(parameter)) in section}
        faults = [fault for key, parameter in own.items() if (fault := _fault(ctx, parameter, section, key))]
        if faults:
            raise OperatorError("; ".join(f"{file.path}, {fault}" for fault in faults))
        return {str(parameter.name): section[key].texts[0] for key, parameter in own.items()}


def _key(parameter: Parameter) -> str:
    """Give the key of a parameter in the section; empty: it has none there."""
    variable = parameter.envvar
    if not isinstance(variable, str) or variable not in ADDON_VARIABLES - SHARED_VARIABLES:
        return ""
    return variable.removeprefix(_PREFIX).lower()


def _fault(ctx: Context, parameter: Parameter, section: Mapping[str, FileValue], key: str) -> str | None:
    found = section[key]
    place = f"line {found.line}: {key}"
    if found.is_list:
        return f"{place} takes one value"
    try:
        parameter.process_value(ctx, found.texts[0])
    except BadParameter as error:
        return f"{place}: {error.message}"
    return None
