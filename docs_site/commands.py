"""The reference of the command line, out of the commands themselves."""

from collections.abc import Iterator
from typing import Any

import typer.main

from rater_service.cli.program import app
from rater_service.cli.settings import key_of

# Typer has a Click of its own, with no public names for its types.
type Command = Any


def page() -> str:
    """Write the page."""
    return "\n".join(
        [
            "# Commands",
            "",
            "Every command of `phoebe`, as `--help` shows it. Exit status 0 is clean, 1 a failure, 2 an "
            "anomaly: something was not billed that may be owed.",
            *_sections("phoebe", typer.main.get_command(app)),
            "",
        ]
    )


def _sections(path: str, command: Command) -> Iterator[str]:
    commands = getattr(command, "commands", None)
    if commands is None:
        yield from _section(path, command)
        return
    for name in sorted(commands):
        if not commands[name].hidden:
            yield from _sections(f"{path} {name}", commands[name])


def _section(path: str, command: Command) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    words = " ".join([path, *map(_argument, arguments)])
    yield from ("", f"## {path}", "", f"`{words}`", "", _paragraphs(command.help))
    if not options:
        return
    yield from ("", "| option | default | variable | in a file | |", "|---|---|---|---|---|")
    for option in options:
        names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
        text = _text(option.help).replace("|", "&#124;")
        yield f"| {names} | {_default(option)} | {_variable(option)} | {_key(option)} | {text} |"


def _argument(argument: Command) -> str:
    name = (argument.metavar or argument.name).upper() + ("…" if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _default(option: Command) -> str:
    if option.required:
        return "required"
    default = option.show_default if isinstance(option.show_default, str) else option.default
    if default is None or default == () or default is False or callable(default):
        return ""
    return f"`{getattr(default, 'value', default)}`"


def _variable(option: Command) -> str:
    names = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
    return ", ".join(f"`{name}`" for name in names)


def _key(option: Command) -> str:
    key = key_of(option)
    return "" if key is None else f"`{key}`"


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(_text(paragraph) for paragraph in (text or "").split("\n\n"))


def _text(text: str | None) -> str:
    return " ".join((text or "").split())
