"""The example of a file of settings, out of all options: `python -m docs_site.example_settings FILE`."""

import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer.main

from phoebe_addon.settings.options import CONFIG, OPTIONS
from phoebe_addon.workers.program import RETIRE_S_DEFAULT
from rater_service.cli.program import app
from rater_service.cli.settings import URL_FILE_KEYS, settings_of

WIDTH = 110
_HEAD = """\
# All settings of Phoebe, with their defaults. Copy what you change to a file of your own, and name it:
#   phoebe --config phoebe.yaml serve
#   phoebe proxy --config phoebe.yaml -- -p 8080
#   mitmdump -s "$(phoebe addon-path)" --set phoebe_config=phoebe.yaml
# or by PHOEBE_CONFIG. What an option says comes first, then a variable of the environment, then this file.
# Each part reads its own section. A key that it does not know is refused. Paths are from the working folder.
# Made by `make example-settings`.
"""
_PROXY = (
    ("workers", "How many processes. Default: the cores that it may use.", None),
    ("metrics", "HOST:PORT where Prometheus can read the metrics of all workers. Default: nowhere.", None),
    ("reload_timeout", "Seconds an old worker may go on at a reload.", f"{RETIRE_S_DEFAULT:g}"),
)


def text() -> str:
    """Write the file: `# ` begins what is told, and `#` a setting."""
    return "\n".join([_HEAD, *_rater(), "", *_addon(), "", *_proxy(), ""])


def _rater() -> Iterator[str]:
    yield "# The rater: `phoebe serve`, `phoebe rate` and all other commands that use the database."
    yield "rater:"
    seen: set[str] = set()
    for _, key, parameter in settings_of(typer.main.get_command(app)):
        if key in seen:
            continue
        seen.add(key)
        yield from _entry(key, parameter.help, _rater_default(parameter), parameter.metavar)
        if key in URL_FILE_KEYS:
            told = "Instead of the URL: a file with it and nothing else, so that no password stands here."
            yield from _entry(URL_FILE_KEYS[key], told, None, "FILE")


def _rater_default(parameter: Any) -> str | None:
    shown = parameter.show_default if isinstance(parameter.show_default, str) else parameter.default
    if shown is None:
        return None
    return str(shown).lower() if isinstance(shown, bool) else str(getattr(shown, "value", shown))


def _addon() -> Iterator[str]:
    yield "# The addon, in mitmdump and in each worker of `phoebe proxy`."
    yield "addon:"
    for option in OPTIONS:
        if option is CONFIG:
            continue
        default = option.default
        if isinstance(default, bool):
            shown: str | None = str(default).lower()
        elif isinstance(default, Sequence) and not isinstance(default, str):
            shown = f"[{', '.join(map(_quoted, default))}]" if default else None
        else:
            shown = None if default is None else str(default)
        yield from _entry(option.key, option.help, shown, "VALUE")


def _proxy() -> Iterator[str]:
    yield "# `phoebe proxy` itself."
    yield "proxy:"
    for key, told, default in _PROXY:
        yield from _entry(key, told, default, "4" if key == "workers" else "HOST:PORT")


def _entry(key: str, told: str, default: str | None, placeholder: str | None) -> Iterator[str]:
    comment = " ".join(told.split())
    yield from textwrap.wrap(
        comment,
        WIDTH,
        initial_indent="  # ",
        subsequent_indent="  # ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    value = placeholder or "VALUE" if default is None else default
    yield f"  #{key}: {value if value.startswith('[') else _quoted(value)}"


def _quoted(value: str) -> str:
    """Quote what YAML would take for something else."""
    return f'"{value}"' if set(value) & set('*:#[]{}&!|>%@`"') else value


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
