"""Reads options of the addon where there is no mitmdump, for commands that need a few of them."""

from collections.abc import Collection, Mapping

from mitmproxy import optmanager

from phoebe_addon.settings.option import OptionValueError
from phoebe_addon.settings.options import OPTIONS
from phoebe_addon.settings.settings import Settings, read_settings
from phoebe_addon.settings.unknown_names import misspelt_variables


def read_some(names: Collection[str], given: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Read the options with these names; all others have their defaults.

    given: texts, by name; they count more than variables of the environment. Raises SettingsError.
    """
    faults = misspelt_variables(environment, [option.variable for option in OPTIONS])
    options = optmanager.OptManager()
    for option in OPTIONS:
        value = option.default
        text = given.get(option.name, environment.get(option.variable)) if option.name in names else None
        if text is not None:
            try:
                value = option.parse([text])
            except OptionValueError as error:
                source = option.name if option.name in given else option.variable
                faults.append(f"{source} {error}")
        options.add_option(option.name, option.kind, value, option.help, option.choices)
    return read_settings(options, faults=faults)
