"""The settings of `phoebe proxy`, and how those of its workers are shown."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from phoebe_addon.settings.effective import SECTION as WORKERS_SECTION
from phoebe_addon.settings.effective import Source, effective
from phoebe_addon.settings.option import Option, Value
from phoebe_addon.settings.options import CONFIG, KEYS, OPTIONS
from phoebe_runtime.settings_file import FileValue, SettingsFile, read_settings_file, without_passwords

SECTION = "proxy"
_DOCUMENT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as it is shown: which program has it, its value in text, and where that comes from."""

    program: str
    setting: str
    value: str | list[str] | None
    source: Source
    place: str | None


def read_file(path: Path, own_keys: Sequence[str]) -> SettingsFile:
    """Read the sections of `phoebe proxy` and of its workers. Raises SettingsFileError."""
    return read_settings_file(path, {SECTION: own_keys, WORKERS_SECTION: KEYS})


def workers_settings(
    arguments: Sequence[str], environment: Mapping[str, str], file: SettingsFile | None
) -> Iterator[Setting]:
    """Give the settings of the addon in each worker. arguments: those of mitmdump.

    Raises OptionValueError.
    """
    section: Mapping[str, FileValue] = {} if file is None else file.sections[WORKERS_SECTION]
    path = None if file is None else file.path
    given = _given(arguments)
    for option in OPTIONS:
        if option is not CONFIG:
            found = effective(option, environment, path, section, given.get(option.name))
            yield Setting("addon", option.key, _shown(option, found.value), found.source, found.place)


def settings_text(settings: Sequence[Setting]) -> str:
    """Write settings for people: a line each, those of a program below its name."""
    lines: list[str] = []
    for program in dict.fromkeys(setting.program for setting in settings):
        lines.append(f"{program}:")
        own = [setting for setting in settings if setting.program == program]
        width = max(len(setting.setting) for setting in own)
        for each in own:
            value = ", ".join(each.value) if isinstance(each.value, list) else each.value
            place = "" if each.place is None else f": {each.place}"
            lines.append(f"  {each.setting:<{width}}  {value or '-'}  ({each.source}{place})")
    return "\n".join(lines) + "\n"


def settings_json(settings: Sequence[Setting], file: Path | None) -> str:
    """Write settings for programs: a document like that of `phoebe config --json`."""
    document = {
        "version": _DOCUMENT_VERSION,
        "kind": "config",
        "file": None if file is None else str(file),
        "settings": [asdict(setting) for setting in settings],
    }
    return json.dumps(document, indent=2) + "\n"


def _given(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Find what mitmdump's arguments set, by the option's name."""
    found: dict[str, list[str]] = {}
    words = iter(arguments)
    for word in words:
        spec = next(words, "") if word == "--set" else word.removeprefix("--set=")
        if word == "--set" or word.startswith("--set="):
            name, equals, text = spec.partition("=")
            found.setdefault(name, []).extend([text] if equals else [])
    return found


def _shown(option: Option, value: Value) -> str | list[str] | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if option.kind == Sequence[str] and not isinstance(value, str | int):
        return [without_passwords(each) for each in value]
    return without_passwords(str(value))
