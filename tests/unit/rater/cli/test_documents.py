"""What commands write with `--json`: which kinds there are, and how failures are said."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import typer.main

from docs_site import documents as reference
from phoebe_conformance.cli import CONFORMANCE
from rater_service.cli import main
from rater_service.cli.documents import DOCUMENTS, MESSAGES, AnyKind
from rater_service.cli.program import app
from rater_service.views.documents import MESSAGE, Failure, document_text, messages_as_json
from rater_service.views.terminal import complain
from rig.programs import PROJECT
from tests.harness import json_documents

WITHOUT = {
    "completion": "a script",
    "embedded": "what its program writes",
    "serve": "a log",
}
"""Commands that write no data."""

type Capture = pytest.CaptureFixture[str]


def commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    below = getattr(command, "commands", None)
    if below is None:
        yield path, command
    for name, each in (below or {}).items():
        yield from commands(f"{path} {name}".strip(), each)


def test_every_command_that_writes_data_takes_json_and_is_in_the_list() -> None:
    found = dict(commands("", typer.main.get_command(app)))
    taking = {
        path for path, command in found.items() if any("--json" in each.opts for each in command.params)
    }
    assert taking == DOCUMENTS.keys()
    assert found.keys() - taking <= WITHOUT.keys()


def test_no_two_kinds_have_one_name() -> None:
    kinds = {id(kind): kind for kinds in DOCUMENTS.values() for kind in kinds}
    names = [kind.name for kind in (*kinds.values(), *MESSAGES, CONFORMANCE)]
    assert len(names) == len(set(names))


def test_the_page_names_every_command_and_every_kind() -> None:
    page = (PROJECT / "docs/command-line.md").read_text("utf-8")
    rows = dict(line.split(" | ")[:2] for line in page.splitlines() if line.startswith("| `phoebe "))
    said = {command.strip("| `"): kinds.strip("` ").split("`, `") for command, kinds in rows.items()}
    listed = {f"phoebe {command}": [kind.name for kind in kinds] for command, kinds in DOCUMENTS.items()}
    assert said == listed | {"phoebe conformance": ["conformance"]}


@pytest.mark.parametrize("kind", [*json_documents.KINDS.values(), CONFORMANCE], ids=lambda kind: kind.name)
def test_every_kind_has_a_schema_in_which_no_amount_is_a_number(kind: AnyKind) -> None:
    made = reference.schema(kind)
    assert made["properties"]["version"] == {"const": 1}  # type: ignore[index]
    seconds = {"behind_s", "silent_s", "clock_skew", "locked_s", "prepared_s"}
    assert set(_numbers(made)) <= seconds


def _numbers(schema: Any, name: str = "") -> Iterator[str]:
    if isinstance(schema, dict):
        if schema.get("type") == "number":
            yield name
        for key, below in schema.items():
            yield from _numbers(below, name if key in {"anyOf", "items"} else key)
    elif isinstance(schema, list):
        for below in schema:
            yield from _numbers(below, name)


@pytest.mark.parametrize(
    ("arguments", "failure", "said"),
    [
        (["quote", "m", "--nonsense"], Failure.USAGE, "No such option: --nonsense"),
        (["quote"], Failure.USAGE, "Missing argument"),
        (["quote", "m", "--prices", "missing.yaml"], Failure.OPERATOR, "can't read the price file"),
    ],
)
def test_a_failure_is_a_document_on_standard_error(
    arguments: list[str], failure: Failure, said: str, capsys: Capture
) -> None:
    assert main([*arguments, "--json"]) == 1
    written = capsys.readouterr()
    assert written.out == ""
    (told,) = json_documents.read_lines(written.err)
    assert told["failure"] == failure
    assert said in told["message"]


def test_a_message_is_a_line_and_a_person_gets_text(capsys: Capture) -> None:
    with messages_as_json(True):
        complain("warning: a\nb\x1b")
    complain("warning: c")
    first, second = capsys.readouterr().err.splitlines()
    assert json_documents.read(first) == {"message": "warning: a\nb\x1b"}
    assert second == "warning: c"


def test_json_behind_two_hyphens_is_the_other_programs(capsys: Capture) -> None:
    assert main(["quote", "m", "--prices", "missing.yaml", "--", "--json"]) == 1
    with pytest.raises(json.JSONDecodeError):
        json.loads(capsys.readouterr().err)


def test_what_json_does_not_have_is_refused() -> None:
    assert '"amount": "0.000000001"' in document_text(MESSAGE, {"amount": Decimal("1E-9")})
    with pytest.raises(TypeError, match="set has no JSON form"):
        document_text(MESSAGE, {"message": set()})
