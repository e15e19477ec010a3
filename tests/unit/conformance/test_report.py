import pytest

from phoebe_conformance.report import Finding, Report, Result

OK, WARNING, FAILED, UNCHECKED = Result


@pytest.mark.parametrize(
    ("results", "conforms"),
    [
        ([OK], True),
        ([OK, WARNING], True),
        ([OK, UNCHECKED], None),
        ([UNCHECKED, FAILED, OK], False),
        ([WARNING, FAILED], False),
    ],
)
def test_one_failure_is_enough_and_without_all_answers_nothing_conforms(
    results: list[Result], conforms: bool | None
) -> None:
    report = Report(None, None, None, [Finding("check", result, "") for result in results])

    assert report.conforms is conforms
