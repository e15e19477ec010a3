"""Commands that need no more than Python, and the command line where only they are installed."""

from pathlib import Path

import pytest

from rater_service.cli import main, plain

PROJECT = Path(__file__).parents[4]

type Capture = pytest.CaptureFixture[str]


def test_the_path_is_that_of_a_file_that_mitmdump_can_load_like_the_one_in_the_tree(capsys: Capture) -> None:
    assert main(["addon-path"]) == 0

    path = Path(capsys.readouterr().out.removesuffix("\n"))
    assert path.name == "phoebe.py"
    assert path.read_text() == (PROJECT / "addon" / "phoebe.py").read_text()
    # mitmproxy puts the folder on sys.path: nothing else in it may be found there.
    assert [other for other in path.parent.iterdir() if other.suffix == ".py"] == [path]


def test_its_usage_is_on_standard_output_only_when_asked_for(capsys: Capture) -> None:
    assert main(["addon-path", "--help"]) == 0
    assert "Usage: phoebe addon-path" in capsys.readouterr().out

    assert main(["addon-path", "here"]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    assert "Usage: phoebe addon-path" in written.err


def test_it_is_listed_with_the_other_commands(capsys: Capture) -> None:
    assert main(["--help"]) == 0

    assert "addon-path    Show the path of the file that mitmdump loads." in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["rate", "--json"], [], ["frobnicate"]])
def test_where_the_raters_half_is_missing_a_command_says_what_to_install(
    arguments: list[str], capsys: Capture
) -> None:
    assert plain.without_the_rest(arguments, ModuleNotFoundError("…", name="typer")) == 1

    written = capsys.readouterr()
    assert written.out == ""
    assert "needs typer, which is not installed: pip install 'phoebe-metering[rater]" in written.err
    assert "addon-path" in written.err


def test_where_the_raters_half_is_missing_help_and_version_are_there(capsys: Capture) -> None:
    missing = ModuleNotFoundError("…", name="typer")

    assert plain.without_the_rest(["rate", "--help"], missing) == 0
    assert "addon-path    Show the path" in capsys.readouterr().out
    assert plain.without_the_rest(["--version"], missing) == 0
    assert capsys.readouterr().out.startswith("phoebe ")
