"""Settings of the addon, made of values of its options."""

from typing import Any

from mitmproxy import optmanager

from phoebe_addon.settings.options import OPTIONS
from phoebe_addon.settings.settings import Settings, read_settings


def options_with(**given: Any) -> optmanager.OptManager:
    """Make the addon's options, with these values in place of the defaults."""
    options = optmanager.OptManager()
    for option in OPTIONS:
        options.add_option(option.name, option.kind, option.default, option.help, option.choices)
    options.update(**given)
    return options


def settings_with(**given: Any) -> Settings:
    """Read the settings that these values make. Raises SettingsError."""
    return read_settings(options_with(**given))
