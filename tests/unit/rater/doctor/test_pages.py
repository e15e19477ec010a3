"""What metrics ports say, and answers to forged headers, as findings."""

import pytest

from rater_service.doctor.access import Answered
from rater_service.doctor.findings import Result
from rater_service.doctor.http_checks import judge_console, judge_edge
from rater_service.doctor.metrics_checks import judge_spool
from rater_service.doctor.pages import parse_probe, parse_samples

GATE = '{"error": {"message": "…", "type": "x", "param": null, "code": "%s"}}'


def test_a_probe_says_what_fails_and_what_does_not_count() -> None:
    found = parse_probe(
        "not ready\nFAILED: the spool is full\ndoes not count: the rater is away\nok: it serves\n"
    )

    assert found
    assert [(one.result, one.message) for one in found] == [
        (Result.FAILED, "the spool is full"),
        (Result.WARNING, "the rater is away"),
    ]
    ready = parse_probe("ready\nok: it serves\n")
    assert ready
    assert [one.result for one in ready] == [Result.OK]


@pytest.mark.parametrize("text", ["", "live\n", "<html>"], ids=["nothing", "another probe", "another server"])
def test_what_is_no_probe_is_told_apart(text: str) -> None:
    assert parse_probe(text) is None


@pytest.mark.parametrize("text", ["", "go_gc 1\n", "phoebe_x{ 1\n"], ids=["nothing", "another's", "damaged"])
def test_what_is_no_page_of_metrics_is_told_apart(text: str) -> None:
    assert parse_samples(text) is None


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ("phoebe_rater_up 0\n", "does not reach the rater"),
        ("phoebe_spool_writable 0\n", "can't write its spool"),
        ("phoebe_spool_bytes 6\nphoebe_spool_limit_bytes 10\n", "filled to 60%"),
        ("phoebe_spool_oldest_event_timestamp_seconds 1\n", "waits in its spool for"),
        ("phoebe_spool_events_lost 3\n", "3 events of its spool can't be read"),
        ("phoebe_spool_free_disk_bytes 1048576\n", "has 1 MiB free"),
    ],
    ids=["rater", "disk", "full", "old", "lost", "room"],
)
def test_what_a_proxy_s_metrics_say_of_its_spool_is_a_finding(metrics: str, words: str) -> None:
    samples = parse_samples(metrics)

    assert samples
    (found,) = judge_spool(samples)
    assert words in found.message


@pytest.mark.parametrize(
    ("status", "text", "result"),
    [
        (200, "{}", Result.FAILED),
        (302, "", Result.FAILED),
        (404, GATE % "no_upstream", Result.FAILED),
        (400, "no deployment phoebe-doctor-forged", Result.FAILED),
        (401, "", Result.OK),
        (400, GATE % "identity", Result.OK),
        (404, "", Result.UNCHECKED),
        (502, "", Result.UNCHECKED),
    ],
    ids=["passes", "redirect", "believed", "named", "refused", "removed", "elsewhere", "down"],
)
def test_what_an_edge_answers_to_forged_headers_tells_whether_they_passed(
    status: int, text: str, result: Result
) -> None:
    assert judge_edge(Answered(status, text, {})).result is result


@pytest.mark.parametrize(
    ("status", "headers", "is_loopback", "result"),
    [
        (303, {"location": "/login?next=/"}, False, Result.OK),
        (401, {}, False, Result.OK),
        (200, {}, True, Result.OK),
        (200, {}, False, Result.FAILED),
        (404, {}, True, Result.FAILED),
        (500, {}, True, Result.FAILED),
    ],
    ids=["sign in", "refused", "this machine", "everybody", "another server", "broken"],
)
def test_a_console_beyond_this_machine_has_to_ask_who_reads(
    status: int, headers: dict[str, str], is_loopback: bool, result: Result
) -> None:
    assert judge_console(Answered(status, "", headers), is_loopback).result is result
