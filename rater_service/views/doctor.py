"""How it is shown what the doctor found."""

from collections.abc import Sequence
from typing import TypedDict

from phoebe_runtime.counts import counted
from rater_service.distribution import installed_version
from rater_service.doctor.findings import Finding, Report, Result
from rater_service.views.documents import Kind
from rater_service.views.terminal import write


class FindingJson(TypedDict):
    """What a check found of one thing. subject: which of several, such as a proxy. advice: what to do."""

    check: str
    subject: str | None
    result: Result
    message: str
    advice: str | None


class CountsJson(TypedDict):
    """How many findings have each result."""

    failed: int
    warning: int
    not_checked: int
    ok: int


class DoctorJson(TypedDict):
    """What the doctor found, in the order of the checks. phoebe_version: of the doctor itself."""

    phoebe_version: str
    counts: CountsJson
    findings: Sequence[FindingJson]


DOCTOR = Kind("doctor", DoctorJson)

_MARKS = {
    Result.OK: "ok         ",
    Result.WARNING: "WARNING    ",
    Result.FAILED: "FAILED     ",
    Result.UNCHECKED: "not checked",
}


def show_report(report: Report) -> None:
    """Show a line for each finding and what to do below it, and last what was not checked, by its reason."""
    for check in report.checks:
        for finding in check.findings:
            if finding.result is not Result.UNCHECKED:
                _show(finding, check.name)
    for finding, names in _unchecked(report).items():
        _show(finding, ", ".join(names))
    write(_summary(report))


def _show(finding: Finding, what: str) -> None:
    subject = f"{finding.subject}: " if finding.subject else ""
    write(f"{_MARKS[finding.result]}  {what}: {subject}{finding.message}")
    if finding.advice:
        write(f"             -> {finding.advice}")


def _unchecked(report: Report) -> dict[Finding, list[str]]:
    """Give the checks that were not made, by why: most of them lack the same."""
    found: dict[Finding, list[str]] = {}
    for check in report.checks:
        for finding in check.findings:
            if finding.result is Result.UNCHECKED:
                found.setdefault(finding, []).append(check.name)
    return found


def _summary(report: Report) -> str:
    return (
        f"{report.count(Result.FAILED)} failed, {counted(report.count(Result.WARNING), 'warning')}, "
        f"{report.count(Result.UNCHECKED)} not checked, {report.count(Result.OK)} ok"
    )


def report_json(report: Report) -> DoctorJson:
    """Return what is written of a report as JSON."""
    return {
        "phoebe_version": installed_version(),
        "counts": {
            "failed": report.count(Result.FAILED),
            "warning": report.count(Result.WARNING),
            "not_checked": report.count(Result.UNCHECKED),
            "ok": report.count(Result.OK),
        },
        "findings": [
            {
                "check": check.name,
                "subject": finding.subject,
                "result": finding.result,
                "message": finding.message,
                "advice": finding.advice,
            }
            for check in report.checks
            for finding in check.findings
        ],
    }
