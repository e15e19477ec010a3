import pytest

from phoebe_conformance.report import Finding, Report, Result, UncheckedError

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


def test_what_could_not_be_checked_says_why_what_to_do_and_whether_the_rest_can() -> None:
    alone = UncheckedError("the engine hung up")
    everywhere = UncheckedError("the key is refused", "Give another.", everywhere=True)

    assert (str(alone), alone.hint, alone.everywhere) == ("the engine hung up", None, False)
    assert (str(everywhere), everywhere.hint, everywhere.everywhere) == (
        "the key is refused",
        "Give another.",
        True,
    )
