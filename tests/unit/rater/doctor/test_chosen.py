"""Which checks are made, and how what is given is read."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from rater_service.cli import main
from rater_service.doctor.certificates import ServerCertificate, judge
from rater_service.doctor.checks import CHECKS, UnknownCheckError, chosen
from rater_service.doctor.findings import Result
from rater_service.doctor.targets import require_url
from rig.programs import PROJECT

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_checks_are_chosen_by_name_or_group_and_left_out_alike() -> None:
    assert [check.name for check in chosen(["prices", "rating"], ["prices.unused"])] == [
        "prices.in-force",
        "prices.used-models",
        "prices.coming",
        "rating",
    ]
    assert chosen([], []) == CHECKS
    with pytest.raises(UnknownCheckError):
        chosen(["price"], [])


def test_a_check_that_is_not_known_is_wrong_usage_with_what_was_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["doctor", "--only", "price"]) == 1
    assert "did you mean prices?" in " ".join(capsys.readouterr().err.split())


def test_a_canary_needs_a_way(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--canary", "m"]) == 1
    assert "needs --edge or --proxy" in capsys.readouterr().err


@pytest.mark.parametrize("url", ["rater:9464", "ftp://x", "http://user:secret@x", "http://x:y"], ids=range(4))
def test_what_is_no_url_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - what the URL's parser raises, too
        require_url(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("left", "distrust", "result"),
    [
        (timedelta(days=60), None, Result.OK),
        (timedelta(days=13), None, Result.WARNING),
        (timedelta(seconds=0), None, Result.FAILED),
        (timedelta(days=60), "self-signed certificate", Result.FAILED),
    ],
    ids=["long", "soon", "over", "distrusted"],
)
def test_a_certificate_is_judged_by_who_vouches_for_it_and_how_long_it_holds(
    left: timedelta, distrust: str | None, result: Result
) -> None:
    assert judge(ServerCertificate(NOW + left, distrust), "the rater's", NOW).result is result


def test_the_page_lists_every_check() -> None:
    page = (PROJECT / "docs/doctor.md").read_text("utf-8")
    section = page.partition("\n## The checks\n")[2].partition("\n## ")[0]

    assert re.findall(r"^\| `([a-z.-]+)` \|", section, re.MULTILINE) == [check.name for check in CHECKS]
