"""How settings are shown, with where each comes from."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypedDict

from rater_service.views.documents import Kind
from rater_service.views.layout import Words
from rater_service.views.terminal import write_table


class Source(StrEnum):
    """Where a value comes from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a program. value: without passwords; None: not set. place: where it stands."""

    program: str
    setting: str
    value: str | Sequence[str] | None
    source: Source
    place: str | None


class ConfigJson(TypedDict):
    """Settings, and the file they were read from; null: there is none."""

    file: str | None
    settings: Sequence[Setting]


CONFIG = Kind("config", ConfigJson)


def show_settings(settings: Sequence[Setting]) -> None:
    """Show a table for each program."""
    for program in dict.fromkeys(setting.program for setting in settings):
        write_table(
            f"phoebe {program}",
            ("setting", "value", "from"),
            (_row(setting) for setting in settings if setting.program == program),
        )


def _row(setting: Setting) -> tuple[str | None, ...]:
    value = setting.value if isinstance(setting.value, str | None) else ", ".join(setting.value)
    place = setting.source if setting.place is None else f"{setting.source}: {setting.place}"
    return setting.setting, value, Words(place)
