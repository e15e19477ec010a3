"""What commands that other packages plug in import, in processes of their own."""

import pytest

from rater_service.distribution import how_to_install
from tests.harness.python_child import run_python

URL = "http://127.0.0.1:9"


def test_it_is_not_imported_by_other_commands() -> None:
    ran = run_python(
        "import sys; from rater_service.cli import main; code = main(['prices', 'check', '-h']);"
        "print('httpx' in sys.modules, 'phoebe_conformance' in sys.modules, code, file=sys.stderr)"
    )

    assert ran.stderr == "False False 0\n"


@pytest.mark.parametrize("arguments", [[URL, "--model", "m"], ["--help"], []])
@pytest.mark.parametrize("missing", ["httpx", "zstandard"])
def test_without_its_extra_it_says_in_one_line_what_to_install(arguments: list[str], missing: str) -> None:
    ran = run_python(
        f"import sys; sys.modules[{missing!r}] = None; from rater_service.cli import main;"
        f"sys.exit(main(['conformance', *{arguments!r}]))"
    )

    assert ran.returncode == 1
    assert ran.stdout == ""
    assert ran.stderr == (
        f"phoebe: `phoebe conformance` needs {missing}, which is not installed: "
        f"{how_to_install(['conformance'])}\n"
    )


def test_without_its_extra_it_is_listed_all_the_same() -> None:
    ran = run_python(
        "import sys; sys.modules['httpx'] = None; from rater_service.cli import main; sys.exit(main(['-h']))"
    )

    assert ran.returncode == 0
    assert "conformance   Needs what is not installed: the extra `conformance`." in ran.stdout
