"""Commands that other packages bring: the entry points of the group `phoebe.commands`.

Each names a `typer.Typer` with one command, and the extra that command needs. None is imported before it is
called or listed.
"""

from argparse import Action
from importlib.metadata import EntryPoint, entry_points
from inspect import Parameter, Signature
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rater_service.cli import plain
from rater_service.cli.completion import is_completing
from rater_service.distribution import how_to_install
from rater_service.errors import OperatorError

GROUP = "phoebe.commands"
# Far more than any: Click would end longer ones with dots.
_SENTENCE_CHARS_MAX = 1000


class WholeLines(TyperGroup):
    """A group of commands whose help says of each what it does in a whole sentence, in as many lines as that
    takes.
    """

    # Typer has a Click of its own, with no public names for these types.
    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        named = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        listed = [
            (name, command.get_short_help_str(_SENTENCE_CHARS_MAX))
            for name, command in named
            if command is not None and not command.hidden
        ]
        if listed:
            with formatter.section("Commands"):
                formatter.write_dl(listed)


class PluggableGroup(WholeLines):
    """A group of commands that also has those of other packages, after its own."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List the names of all commands."""
        return [*super().list_commands(ctx), *sorted([*plain.names(), *entry_points(group=GROUP).names])]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command by its name, importing it if another package has it; None: there is none."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        listed = plain.find(cmd_name)
        if listed is not None:
            return typer.main.get_command(_listed(cmd_name, listed))
        entry = next(iter(entry_points(group=GROUP, name=cmd_name)), None)
        return entry and typer.main.get_command(_load(entry))


def _listed(name: str, command: plain.PlainCommand) -> typer.Typer:
    """Make an entry in the list of commands, before which it is run; for a shell with its options."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    def entry(**_options: object) -> None: ...

    if is_completing():
        parameters = [_parameter(told) for told in plain.options(command)]
        entry.__signature__ = Signature(parameters)  # type: ignore[attr-defined] # Typer looks there
        entry.__annotations__ = {one.name: one.annotation for one in parameters}
    app.command(name, help=plain.purpose(command))(entry)
    return app


def _parameter(told: Action) -> Parameter:
    """Make of an option of another parser what Typer makes one of."""
    kind = bool if told.nargs == 0 else str
    option = typer.Option(*told.option_strings, help=told.help)
    return Parameter(
        told.dest, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
    )


def _load(entry: EntryPoint) -> typer.Typer:
    try:
        loaded = entry.load()
    except ModuleNotFoundError as error:
        return _stand_in(entry, error)
    assert isinstance(loaded, typer.Typer)
    return loaded


def _stand_in(entry: EntryPoint, missing: ModuleNotFoundError) -> typer.Typer:
    """Make a command that says, whatever its arguments, what to install."""
    install = how_to_install(entry.extras)
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command(
        entry.name,
        help=f"Needs what is not installed: the extra `{','.join(entry.extras)}`.",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )
    def refuse() -> None:
        raise OperatorError(
            f"`phoebe {entry.name}` needs {missing.name}, which is not installed: {install}"
        ) from missing

    return app
