"""What the doctor says of the versions that proxies report."""

from datetime import UTC, datetime

from rater_service.doctor.findings import Result
from rater_service.doctor.version_checks import judge_proxies
from rater_service.events.producers import Producer

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def producer(number: int, version: str | None, *, stopped: bool = False, retired: bool = False) -> Producer:
    return Producer(
        producer_id=f"spool-{number}",
        first_seen=NOW,
        last_seen=NOW,
        last_seq=0,
        spooled_events=0,
        open_exchanges=0,
        complete_until=None,
        stopped=stopped,
        lost_rows=0,
        retired=retired,
        retired_at=None,
        retired_by=None,
        clock_skew=None,
        name=None,
        version=version,
    )


def test_proxies_of_other_versions_than_the_raters_are_named() -> None:
    found = judge_proxies(
        [producer(1, "2.0"), producer(2, "1.9"), producer(3, None), producer(4, "2.0"), producer(5, "1.9")],
        of_rater="2.0",
    )
    assert [(one.result, one.message) for one in found] == [
        (Result.WARNING, "proxies that do not say which version they are: producer spool-3"),
        (Result.WARNING, "proxies that are 1.9, and the rater is 2.0: producer spool-2, producer spool-5"),
        (Result.OK, "proxies that report and are 2.0: 2"),
    ]


def test_what_stopped_or_was_retired_is_not_asked_for_its_version() -> None:
    gone = [producer(1, "1", stopped=True), producer(2, None, retired=True)]
    assert judge_proxies(gone, of_rater="2.0") == []


def test_of_many_proxies_the_first_are_named_and_the_rest_counted() -> None:
    (found,) = judge_proxies([producer(number, "1.9") for number in range(7)], of_rater="2.0")
    assert found.message.endswith("producer spool-4 and 2 more")
