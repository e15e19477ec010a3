"""Which value an option has, and where it is from: `--set`, then the environment, the file, the default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from phoebe_addon.settings.option import Option, OptionValueError, Value
from phoebe_runtime.settings_file import FileValue

SECTION = "addon"


class Source(StrEnum):
    """Where a value comes from."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class Effective:
    """The value of an option. place: where it stands; None: it is the default."""

    value: Value
    source: Source
    place: str | None


def effective(
    option: Option,
    environment: Mapping[str, str],
    file: Path | None,
    section: Mapping[str, FileValue],
    given: Sequence[str] | None = None,
) -> Effective:
    """Find the value of an option. section: of the file. given: what stands behind `--set`, each time.

    Raises OptionValueError; its message begins with the place.
    """
    found = section.get(option.key)
    if given is not None:
        source, place, texts = Source.OPTION, f"--set {option.name}", given
    elif option.variable in environment:
        source, place, texts = Source.ENVIRONMENT, option.variable, [environment[option.variable]]
    elif found is not None:
        source, place, texts = Source.FILE, f"{file}, line {found.line}", found.texts
    else:
        return Effective(option.default, Source.DEFAULT, None)
    try:
        return Effective(option.parse(texts), source, place)
    except OptionValueError as error:
        name = f"{place}: {option.key}" if source is Source.FILE else place
        raise OptionValueError(f"{name} {error}") from None
