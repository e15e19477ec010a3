"""The reference of the addon's options, out of their definitions."""

from collections.abc import Sequence

from phoebe_addon.settings.option import Option, Value
from phoebe_addon.settings.options import CONFIG, OPTIONS

_KINDS = {bool: "true, false", int: "whole number", str: "text"}


def page() -> str:
    """Write the page."""
    return "\n".join(
        [
            "# Options of the addon",
            "",
            "Each is given to `mitmdump` as `--set name=value`, or by the environment variable of its name "
            "in capitals: `PHOEBE_RATER` for `phoebe_rater`. A [file of settings](command-line.md#settings) "
            "has them in its section `addon`. `--set` wins, then the environment, then the file. A misspelt "
            "name is refused at the start.",
            "",
            "| option | in a file | values | default | |",
            "|---|---|---|---|---|",
            *(_row(option) for option in OPTIONS),
            "",
        ]
    )


def _row(option: Option) -> str:
    values = ", ".join(f"`{choice}`" for choice in option.choices or ()) or _kind(option)
    text = " ".join(option.help.split()).replace("|", "&#124;")
    key = "" if option is CONFIG else f"`{option.key}`"
    return f"| `{option.name}` | {key} | {values} | {_default(option.default)} | {text} |"


def _kind(option: Option) -> str:
    if option.kind == Sequence[str]:
        return "texts"
    return _KINDS.get(option.kind, "text")


def _default(value: Value) -> str:
    if value is None or value in ((), ""):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"
