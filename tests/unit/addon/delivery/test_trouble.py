import logging

import grpc
import pytest
from grpc.aio import AioRpcError, Metadata

from phoebe_addon.delivery.trouble import (
    SAY_AGAIN_S,
    DeliveryError,
    DeliveryTrouble,
    WrongInstallationError,
)

type Log = pytest.LogCaptureFixture


def rpc_error(code: grpc.StatusCode, details: str = "because") -> AioRpcError:
    return AioRpcError(code, Metadata(), Metadata(), details)


UNKNOWN_TOKEN = rpc_error(grpc.StatusCode.UNAUTHENTICATED)
NO_RIGHT = rpc_error(grpc.StatusCode.PERMISSION_DENIED)
AWAY = rpc_error(grpc.StatusCode.UNAVAILABLE)
UNLUCKY = rpc_error(grpc.StatusCode.INTERNAL, "Internal error from Core")


def levels(log: Log) -> list[str]:
    return [record.levelname for record in log.records]


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def trouble(caplog: Log, clock: Clock) -> DeliveryTrouble:
    caplog.set_level(logging.DEBUG)
    return DeliveryTrouble("rater:1", clock)


@pytest.mark.parametrize("error", [UNKNOWN_TOKEN, NO_RIGHT, WrongInstallationError("another")])
def test_what_only_a_human_can_mend_is_an_error_at_once_and_not_at_every_attempt(
    trouble: DeliveryTrouble, caplog: Log, error: Exception
) -> None:
    for _ in range(3):
        trouble.met(error)

    assert levels(caplog) == ["ERROR", "DEBUG", "DEBUG"]
    assert "rater:1" in caplog.text


def test_what_passes_is_a_warning_at_its_beginning(trouble: DeliveryTrouble, caplog: Log) -> None:
    for error in (AWAY, AWAY, DeliveryError("no answer"), DeliveryError()):
        trouble.met(error)

    assert levels(caplog) == ["WARNING", "DEBUG", "DEBUG", "DEBUG"]
    assert "UNAVAILABLE: because" in caplog.text
    assert "DeliveryError()" in caplog.text


@pytest.mark.parametrize("between", [AWAY, NO_RIGHT, DeliveryError("no answer")])
def test_an_error_that_comes_back_after_another_trouble_is_said_again(
    trouble: DeliveryTrouble, caplog: Log, between: Exception
) -> None:
    for error in (UNKNOWN_TOKEN, between, UNKNOWN_TOKEN):
        trouble.met(error)

    assert levels(caplog)[::2] == ["ERROR", "ERROR"]


def test_a_stream_that_ended_at_an_unlucky_moment_changes_nothing(
    trouble: DeliveryTrouble, caplog: Log
) -> None:
    for error in (UNKNOWN_TOKEN, UNLUCKY, UNKNOWN_TOKEN):
        trouble.met(error)

    assert levels(caplog) == ["ERROR", "DEBUG", "DEBUG"]


def test_the_end_of_an_error_is_said_once_and_the_next_one_is_new(
    trouble: DeliveryTrouble, caplog: Log
) -> None:
    trouble.met(UNKNOWN_TOKEN)
    trouble.over()
    trouble.over()
    trouble.met(UNKNOWN_TOKEN)

    assert levels(caplog) == ["ERROR", "WARNING", "ERROR"]
    assert caplog.text.count("takes events again") == 1


def test_the_end_of_what_passed_by_itself_is_said_too_and_without_trouble_nothing(
    trouble: DeliveryTrouble, caplog: Log, clock: Clock
) -> None:
    trouble.over()
    trouble.met(AWAY)
    clock.now_s += 30
    trouble.over()

    assert levels(caplog) == ["WARNING", "WARNING"]
    assert "takes events again, after 30 seconds" in caplog.text


@pytest.mark.parametrize("error", [UNKNOWN_TOKEN, WrongInstallationError("another"), AWAY, DeliveryError()])
def test_as_long_as_it_lasts_an_error_says_so_every_minute_and_for_how_long(
    trouble: DeliveryTrouble, caplog: Log, clock: Clock, error: Exception
) -> None:
    for _ in range(31):  # an attempt every 10 seconds, for 5 minutes
        trouble.met(error)
        clock.now_s += SAY_AGAIN_S / 6

    said = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    repeated = [message for message in said if message.count(" now")]
    assert ["for 60 seconds" in message for message in repeated] == [True, False, False, False, False]
    assert "for 5 minutes now" in repeated[-1]
    assert len(said) - len(repeated) == (0 if error is AWAY or type(error) is DeliveryError else 1)


def test_after_it_was_over_a_minute_begins_anew(trouble: DeliveryTrouble, caplog: Log, clock: Clock) -> None:
    trouble.met(AWAY)
    clock.now_s += SAY_AGAIN_S
    trouble.over()
    trouble.met(AWAY)
    clock.now_s += SAY_AGAIN_S - 1
    trouble.met(AWAY)
    assert levels(caplog) == ["WARNING", "WARNING", "WARNING", "DEBUG"]

    clock.now_s += 1
    trouble.met(AWAY)
    trouble.over()
    assert levels(caplog)[4:] == ["ERROR", "WARNING"]
    assert caplog.text.count("takes events again") == 2
