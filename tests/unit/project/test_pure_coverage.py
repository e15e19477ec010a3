"""The coverage of the pure modules is held for each of their files, also those that no test imports."""

import json
from pathlib import Path

from tests.pure_coverage import ROOT, Measured, faults, files_of, pure_modules, read_report


def test_the_modules_are_those_of_the_import_contract() -> None:
    modules = pure_modules()

    assert "phoebe_addon.formats" in modules
    assert "rater_service.money" in modules
    assert "rater_service.database" not in modules


def test_a_package_is_all_of_its_files_and_a_module_its_own() -> None:
    files = files_of(["phoebe_addon.apis", "rater_service.money"])

    families = ROOT / "addon" / "phoebe_addon" / "apis" / "families"
    assert "rater_service/money.py" in files
    assert {str(path.relative_to(ROOT)) for path in Path(families).glob("*.py")} < files
    assert not any("formats" in file for file in files)


def test_a_report_has_a_share_and_lines_for_each_file() -> None:
    report = {"files": {"a.py": {"summary": {"percent_covered": 87.5}, "missing_lines": [3, 7]}}}

    assert read_report(json.dumps(report)) == [Measured("a.py", 87.5, (3, 7))]


def test_a_file_that_is_run_too_little_or_never_imported_is_named() -> None:
    measured = [Measured("a.py", 94.9, (3, 7)), Measured("b.py", 95.0, (1,)), Measured("c.py", 10.0, (2,))]

    assert faults({"a.py", "b.py", "c.py", "d.py"}, measured) == [
        "d.py: no test imports it",
        "c.py: 10.0 % of lines and branches, not 95; lines 2",
        "a.py: 94.9 % of lines and branches, not 95; lines 3, 7",
    ]
