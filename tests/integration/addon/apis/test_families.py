"""An API family that somebody adds."""

import json
import shutil
from pathlib import Path

from rig.programs import PROJECT
from tests.harness.python_child import run_python

NEW_FAMILY = """
from phoebe_addon.apis.family import AnswerFormat, Family, Fold, RequestFormat, mark, usage_at
from phoebe_addon.apis.usage import Counts

FAMILIES = (
    Family(
        "acme.think",
        ("POST /think", "POST /v1/rooms/{room}/think"),
        RequestFormat(),
        AnswerFormat(
            usage=(usage_at(Counts(prompt=("in",), completion=("out",)), "spent"),),
            fold=Fold.LAST,
            ends=(mark("over", True),),
        ),
    ),
)
"""
PROGRAM = """
import json
from phoebe_addon.answer.reader import AnswerReader, RequestFacts
from phoebe_addon.formats.steps import at_once
from phoebe_addon.gate.request_body import UsagePolicy, read_request
from phoebe_addon.gate.built_in_routes import built_in_routes
from phoebe_addon.gate.routes import Match, RouteTable

match = RouteTable(built_in_routes()).find("POST", "/v1/rooms/a/think")
assert isinstance(match, Match)
body = at_once(read_request(b'{"model":"m"}', "", match, UsagePolicy()))
reader = AnswerReader((body.family.answer,), RequestFacts())
reader.read_chunk(b'{"model":"m","spent":{"in":3,"out":2},"over":true}')
answer = reader.answer()
print(json.dumps([body.family.api, answer.usage.prompt, answer.usage.completion, answer.finished]))
"""


def test_a_module_that_is_put_among_the_families_is_found_without_any_other_change(tmp_path: Path) -> None:
    package = tmp_path / "phoebe_addon"
    shutil.copytree(PROJECT / "addon/phoebe_addon", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "apis" / "families" / "acme.py").write_text(NEW_FAMILY)

    ran = run_python(PROGRAM, environment={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"})

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == ["acme.think", 3, 2, True]
