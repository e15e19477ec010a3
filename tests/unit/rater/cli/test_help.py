"""What `--help` of every command looks like on a terminal of 80 columns."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from phoebe_addon.workers import program as proxy_program
from rater_service.cli import main
from rater_service.cli.plugins import PluggableGroup
from rater_service.cli.program import app

COLUMNS = 80
# Ends of lines that break a name: textwrap breaks words at hyphens.
BROKEN = re.compile(r"(--|PHOEBE_|://)\S*[-/:]$")


def commands(path: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, each in getattr(command, "commands", {}).items():
        yield from commands((*path, name), each)


ALL = dict(commands((), typer.main.get_command(app)))
OTHERS = (("addon-path",), ("conformance",))


@pytest.mark.parametrize("path", [*ALL, *OTHERS], ids=" ".join)
def test_no_line_is_cut_or_too_long_and_no_name_is_broken(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    assert main([*path, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    for line in lines:
        assert len(line) <= COLUMNS
        assert "..." not in line or line.startswith("Usage:") or "[ID]..." in line, line
        assert not BROKEN.search(line), line


def test_the_proxys_help_is_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    with pytest.raises(SystemExit):
        proxy_program.read(["--help"], {}, 2)
    assert all(len(line) <= COLUMNS for line in capsys.readouterr().out.splitlines())


def test_the_list_of_commands_says_of_each_a_whole_sentence() -> None:
    group = ALL[()]
    assert isinstance(group, PluggableGroup)
    context = group.make_context("phoebe", [], resilient_parsing=True)
    text = " ".join(group.get_help(context).split())
    for name, command in group.commands.items():
        sentence = " ".join((command.help or "").split("\n\n")[0].split())
        assert f"{name} {sentence.partition('. ')[0].rstrip('.')}." in text


SETTINGS = [
    (path, option)
    for path, command in ALL.items()
    for option in command.params
    if option.param_type_name == "option" and option.envvar
]


@pytest.mark.parametrize(
    ("path", "option"), SETTINGS, ids=[" ".join((*path, option.opts[0])) for path, option in SETTINGS]
)
def test_every_setting_says_its_default_and_numbers_their_unit(path: tuple[str, ...], option: Any) -> None:
    command = ALL[path]
    context = command.make_context("phoebe", [], resilient_parsing=True)
    shown = " ".join(option.get_help_record(context))
    assert option.is_flag or re.search(r"default: |Default: |Without it", shown), shown
    if type(option.default) in (int, float):
        assert option.metavar in ("SECONDS", "DAYS", "N"), shown
