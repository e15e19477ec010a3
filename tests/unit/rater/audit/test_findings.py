"""What an audit keeps of what it finds: bounded, with the worst in it, and every count whole."""

from datetime import UTC, datetime

import pytest

from rater_service.audit.findings import (
    ADVICE,
    DIFFERENCES_MAX,
    PRODUCERS_MAX,
    AuditedProducer,
    AuditResult,
    Difference,
    Finding,
    Findings,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def producer(name: str, lost: int = 0, repeated: int = 0) -> AuditedProducer:
    return AuditedProducer(name, 1, 10, 10 - lost, 0, 0, lost, repeated)


def examples(count: int) -> list[tuple[str, str]]:
    return [(f"subject-{number}", "detail") for number in range(count)]


@pytest.mark.parametrize("kind", Finding)
def test_every_kind_of_difference_comes_with_what_to_do(kind: Finding) -> None:
    assert Difference(kind, "subject", "detail").advice == ADVICE[kind] != ""


def test_the_first_differences_are_kept_and_all_are_counted() -> None:
    findings = Findings()

    findings.differ(Finding.SUMS_DIFFER, examples(DIFFERENCES_MAX + 5))

    assert [each.subject for each in findings.differences] == [
        f"subject-{number}" for number in range(DIFFERENCES_MAX)
    ]
    assert findings.difference_counts == {Finding.SUMS_DIFFER: DIFFERENCES_MAX + 5}


def test_differences_that_are_noted_in_turns_share_one_bound() -> None:
    findings = Findings()

    for _ in range(3):
        findings.differ(Finding.SUMS_DIFFER, examples(DIFFERENCES_MAX // 2 + 1))

    assert len(findings.differences) == DIFFERENCES_MAX
    assert findings.difference_counts == {Finding.SUMS_DIFFER: 3 * (DIFFERENCES_MAX // 2 + 1)}


def test_each_kind_has_a_bound_of_its_own() -> None:
    findings = Findings()

    findings.differ(Finding.SUMS_DIFFER, examples(DIFFERENCES_MAX))
    findings.differ(Finding.LOST_EVENTS, examples(2))

    assert [each.kind for each in findings.differences[-2:]] == [Finding.LOST_EVENTS] * 2
    assert findings.difference_counts == {Finding.SUMS_DIFFER: DIFFERENCES_MAX, Finding.LOST_EVENTS: 2}


def test_a_count_that_is_known_says_more_than_the_examples() -> None:
    findings = Findings()

    findings.differ(Finding.LOST_EVENTS, iter(examples(1)), count=1000)
    findings.differ(Finding.LOST_EVENTS, [], count=1)

    assert len(findings.differences) == 1
    assert findings.difference_counts == {Finding.LOST_EVENTS: 1001}


def test_of_more_producers_than_are_kept_those_that_lost_least_go() -> None:
    findings = Findings()
    findings.add_producer(producer("lost most", lost=9))
    findings.add_producer(producer("repeated", repeated=1))
    for number in range(PRODUCERS_MAX):
        findings.add_producer(producer(f"whole-{number}"))

    assert findings.producer_count == PRODUCERS_MAX + 2
    assert len(findings.producers) == PRODUCERS_MAX
    kept = {each.producer_id for each in findings.producers}
    assert {"lost most", "repeated"} <= kept
    assert f"whole-{PRODUCERS_MAX - 1}" in kept


def test_nothing_is_proven_once_anything_differs() -> None:
    findings = Findings(events=3)
    audited = AuditResult(NOW, None, None, findings)
    assert audited.proven

    findings.differ(Finding.ROLLUP_MISSING, examples(1))

    assert not audited.proven
