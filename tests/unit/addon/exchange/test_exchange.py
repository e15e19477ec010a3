from datetime import UTC, datetime

import pytest

from phoebe_addon.answer.abort import Abort
from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.exchange import EngineFailure, Exchange, Stage, StageError
from phoebe_addon.gate.refusal import INTERNAL_ERROR, STOPPING
from tests.harness.exchanges import PASSED, admission, checked_exchange

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def admitted() -> Exchange:
    exchange = checked_exchange()
    exchange.admit(admission())
    return exchange


def refused_after_it_was_admitted() -> Exchange:
    exchange = admitted()
    exchange.refuse(INTERNAL_ERROR)
    return exchange


def asked() -> Exchange:
    exchange = admitted()
    assert exchange.ask()
    return exchange


def answering() -> Exchange:
    exchange = asked()
    exchange.answer_began()
    return exchange


def free() -> Exchange:
    exchange = checked_exchange()
    exchange.let_free()
    return exchange


def refused() -> Exchange:
    exchange = checked_exchange()
    exchange.refuse(STOPPING)
    return exchange


def ended() -> Exchange:
    exchange = admitted()
    exchange.end(Ending.PROXY_STOPPED, NOW)
    return exchange


@pytest.mark.parametrize("let_through", [admitted, free])
def test_an_engine_is_asked_once_for_an_exchange_that_was_let_through(let_through: object) -> None:
    exchange = admitted() if let_through is admitted else free()

    assert exchange.ask()
    assert exchange.stage is Stage.ASKED
    assert not exchange.ask()


@pytest.mark.parametrize(
    "exchange",
    [
        Exchange("connection-1"),
        checked_exchange(),
        refused(),
        refused_after_it_was_admitted(),
        asked(),
        answering(),
        ended(),
    ],
    ids=lambda exchange: f"{exchange.stage}",
)
def test_no_engine_is_asked_for_any_other(exchange: Exchange) -> None:
    stage = exchange.stage

    assert not exchange.ask()
    assert exchange.stage is stage


def test_an_exchange_that_cannot_be_admitted_stays_where_it_stands() -> None:
    for exchange in (Exchange("connection-1"), refused(), ended(), free(), asked()):
        stage, metering = exchange.stage, exchange.metering
        with pytest.raises(StageError, match=f"that is {stage} can't become admitted"):
            exchange.admit(admission())
        assert (exchange.stage, exchange.metering) == (stage, metering)


def test_an_exchange_whose_engine_was_asked_is_not_refused_any_more() -> None:
    with pytest.raises(StageError, match="that is asked can't become refused"):
        asked().refuse(INTERNAL_ERROR)


def test_of_several_refusals_the_first_holds() -> None:
    exchange = refused()
    exchange.refuse(INTERNAL_ERROR)

    assert exchange.refusal is STOPPING


def test_what_has_ended_is_not_refused() -> None:
    exchange = ended()
    exchange.refuse(INTERNAL_ERROR)

    assert (exchange.stage, exchange.refusal) == (Stage.ENDED, None)


def test_of_several_failures_of_the_engine_the_first_holds() -> None:
    exchange = asked()
    exchange.engine_failed(EngineFailure.TIMED_OUT)
    exchange.engine_failed(EngineFailure.BROKE_OFF)

    assert exchange.engine_failure is EngineFailure.TIMED_OUT


def test_only_an_answer_that_has_begun_is_read_on_and_ends_as_its_clients_doing() -> None:
    assert not asked().leave(Abort.DRAIN)
    exchange = answering()
    assert exchange.metering
    exchange.metering.answer_began(200, {"content-type": "application/json"})
    assert not exchange.leave(Abort.CUT)

    assert exchange.leave(Abort.FINISH)
    (event,) = exchange.end(Ending.PROXY_STOPPED, NOW)

    assert event.outcome == "aborted"


@pytest.mark.parametrize("ending", Ending)
@pytest.mark.parametrize("again", Ending)
def test_an_exchange_makes_one_event_however_often_it_ends(ending: Ending, again: Ending) -> None:
    exchange = answering()

    assert len(exchange.end(ending, NOW)) == 1
    assert exchange.end(again, NOW) == ()


@pytest.mark.parametrize("exchange", [Exchange("connection-1"), checked_exchange(), refused(), free()])
def test_what_was_not_admitted_makes_no_event(exchange: Exchange) -> None:
    assert exchange.end(Ending.ANSWER_COMPLETE, NOW) == ()
    assert exchange.stage is Stage.ENDED


@pytest.mark.parametrize(
    ("exchange", "ending", "outcome"),
    [
        (answering(), Ending.ANSWER_COMPLETE, "completed"),
        # Its head could not be read, but all of it went to the client.
        (asked(), Ending.ANSWER_COMPLETE, "completed"),
        (asked(), Ending.ENGINE_FAILED, "upstream_error"),
        (admitted(), Ending.CLIENT_GONE, "aborted"),
        # Another addon has answered.
        (admitted(), Ending.ANSWER_COMPLETE, "proxy_error"),
        (refused_after_it_was_admitted(), Ending.ANSWER_COMPLETE, "proxy_error"),
        (refused_after_it_was_admitted(), Ending.CLIENT_GONE, "proxy_error"),
        (answering(), Ending.PROXY_STOPPED, "proxy_error"),
    ],
)
def test_only_what_an_engine_answered_is_its_answer(exchange: Exchange, ending: Ending, outcome: str) -> None:
    (event,) = exchange.end(ending, NOW)

    assert event.outcome == outcome


def test_the_head_that_passed_is_kept_for_the_body() -> None:
    assert checked_exchange().passed is PASSED
