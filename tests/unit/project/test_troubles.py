"""Trouble in the log: when it begins, while it lasts, when it ends."""

import logging

import pytest

from phoebe_runtime.troubles import Trouble

type Log = pytest.LogCaptureFixture


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trouble(clock: Clock) -> Trouble:
    return Trouble(logging.getLogger("disk"), "the disk works again", clock)


def test_it_is_said_once_a_minute_and_for_how_long(trouble: Trouble, clock: Clock, caplog: Log) -> None:
    for second in range(121):
        clock.now_s = 1000.0 + second
        trouble.met("the disk is full")

    assert caplog.messages == [
        "the disk is full",
        "the disk is full; for 60 seconds now",
        "the disk is full; for 2 minutes now",
    ]


def test_another_cause_is_said_once_too(trouble: Trouble, caplog: Log) -> None:
    for words in ("the session is lost", "nobody answers") * 3:
        trouble.met(words)

    assert caplog.messages == ["the session is lost", "nobody answers"]


def test_its_end_is_said_once(trouble: Trouble, clock: Clock, caplog: Log) -> None:
    trouble.met("the disk is full")
    clock.now_s += 30
    trouble.is_over()
    trouble.is_over()

    assert caplog.messages == ["the disk is full", "the disk works again, after 30 seconds"]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_where_none_was_none_is_over(trouble: Trouble, caplog: Log) -> None:
    trouble.is_over()

    assert not caplog.messages
