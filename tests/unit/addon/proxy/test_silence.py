import pytest
from mitmproxy import optmanager

from phoebe_addon.settings.options import OPTIONS
from phoebe_addon.settings.settings import Settings, SettingsError, read_settings


def settings_with(engine_timeout: str) -> Settings:
    options = optmanager.OptManager()
    for option in OPTIONS:
        options.add_option(option.name, str, option.default, option.help)
    options.update(phoebe_engine_timeout=engine_timeout)
    return read_settings(options)


@pytest.mark.parametrize(("text", "seconds"), [("600", 600), ("0", 0), (" 2.5 ", 2.5), ("0.0", 0)])
def test_the_engine_timeout_is_a_number_of_seconds(text: str, seconds: float) -> None:
    assert settings_with(text).engine_timeout_s == seconds


@pytest.mark.parametrize(
    "text", ["-1", "10m", "inf", "nan", "1e3", "1_000", "٣", "1.", "12345678901", "soon"]
)
def test_a_timeout_that_is_no_number_of_seconds_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match=r"phoebe_engine_timeout: .* is not a number of seconds"):
        settings_with(text)
