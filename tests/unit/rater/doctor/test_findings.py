from rater_service.doctor.findings import Checked, Report, Result, failed, ok, unchecked, warning
from rater_service.views.doctor import report_json


def test_findings_are_counted_by_their_results() -> None:
    report = Report(
        (Checked("a", [ok("x"), warning("y", "do")]), Checked("b", [failed("z", "do").of("one")]))
    )

    assert [
        report.count(result) for result in (Result.OK, Result.WARNING, Result.FAILED, Result.UNCHECKED)
    ] == [
        1,
        1,
        1,
        0,
    ]
    assert not report.nothing_checked


def test_where_nothing_could_be_looked_at_that_is_said() -> None:
    assert Report((Checked("a", [unchecked("x", "give it")]),)).nothing_checked


def test_json_has_each_finding_with_its_check_and_subject() -> None:
    told = report_json(Report((Checked("a.b", [failed("broken", "mend it").of("proxy 1")]),)))

    assert told["counts"] == {"failed": 1, "warning": 0, "not_checked": 0, "ok": 0}
    assert told["findings"] == [
        {
            "check": "a.b",
            "subject": "proxy 1",
            "result": "failed",
            "message": "broken",
            "advice": "mend it",
        }
    ]
