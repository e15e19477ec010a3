"""A deployment that answers as whatever it is asked: a run says so once its window has two such names."""

import logging
from datetime import timedelta

import pytest

from rater_service.database.database import Pool
from rater_service.rating.run import Anomaly, RateResult
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event, nonzero

pytestmark = pytest.mark.one_postgres


def echoing(result: RateResult) -> Anomaly | None:
    return next((anomaly for anomaly in result.anomalies if anomaly.reason == "MODEL_ECHOED"), None)


async def test_a_run_names_a_deployment_that_answered_as_two_names_each_as_asked(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await ledger.store(
        make_event(model_id="meta/base-b", model_echoed=True),
        *(make_event(HOUR + ONE_HOUR, auth_id="bob", model_echoed=True) for _ in range(2)),
        make_event(HOUR + ONE_HOUR, auth_id="bob"),
        make_event(resource_id="deployment-2", model_echoed=True),
    )

    with caplog.at_level(logging.ERROR):
        result = await ledger.rate(HOUR, HOUR + 2 * ONE_HOUR)

    assert nonzero(result) == {"rated": 5}
    anomaly = echoing(result)
    assert anomaly is not None
    assert (anomaly.events, anomaly.tokens, anomaly.money_at_risk) == (3, 330, None)
    assert (anomaly.hours, anomaly.first_hour, anomaly.last_hour) == (2, HOUR, HOUR + ONE_HOUR)
    names = 'the resource answered as 2 names, each exactly what was asked: ["meta/base-a","meta/base-b"]'
    told = [(one.auth_id, one.resource_id, one.model_id, one.events, one.detail) for one in anomaly.offenders]
    assert told == [
        ("bob", "deployment-1", "meta/base-a", 2, names),
        ("alice", "deployment-1", "meta/base-b", 1, names),
    ]
    assert "most of all auth_id 'bob', resource_id 'deployment-1', model_id 'meta/base-a'" in caplog.text
    assert (
        "phoebe report --since 2026-11-20T10:00:00Z --until 2026-11-20T12:00:00Z --by resource,model"
        in caplog.text
    )


@pytest.mark.parametrize(
    "second",
    [
        {"model_id": "meta/base-a", "model_echoed": True},
        {"model_id": "meta/base-b", "model_echoed": False},
        {"model_id": "meta/base-b", "model_echoed": True, "resource_id": "deployment-2"},
        {"model_id": None, "model_echoed": True},
    ],
    ids=["the same name", "a name of its own", "another deployment's", "no name"],
)
async def test_one_such_name_proves_nothing(ledger: Ledger, second: dict[str, object]) -> None:
    await ledger.store(make_event(model_echoed=True), make_event(**second))

    assert echoing(await ledger.rate()) is None


async def test_a_name_in_another_window_is_not_held_against_it(ledger: Ledger) -> None:
    await ledger.store(
        make_event(model_echoed=True), make_event(HOUR + ONE_HOUR, model_id="meta/base-b", model_echoed=True)
    )

    assert echoing(await ledger.rate(HOUR + ONE_HOUR)) is None


async def test_of_very_many_names_few_are_said(ledger: Ledger) -> None:
    await ledger.store(*(make_event(model_id=f"m{number:02}", model_echoed=True) for number in range(20)))

    anomaly = echoing(await ledger.rate())

    assert anomaly is not None
    assert len(anomaly.offenders) == 10
    assert anomaly.offenders[0].detail == (
        'the resource answered as 20 names, each exactly what was asked: ["m00","m01","m02"]'
    )


async def test_events_of_earlier_addons_and_earlier_raters_are_not_marked(pool: Pool, ledger: Ledger) -> None:
    """They name no such column: it has its default, as have the sums."""
    await ledger.store(make_event(), make_event(HOUR + timedelta(minutes=1)))
    columns = await pool.fetch(
        "SELECT table_name, column_name, column_default FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND column_name LIKE '%echoed%'"
        " AND table_name IN ('billing_event', 'hourly_usage') ORDER BY 1, 2"
    )
    assert [tuple(column) for column in columns] == [
        ("billing_event", "model_echoed", "false"),
        ("hourly_usage", "echoed_events", "0"),
        ("hourly_usage", "echoed_tokens", "0"),
    ]
    assert await pool.fetchval("SELECT count(*) FROM billing_event WHERE model_echoed") == 0
    assert await pool.fetchval("SELECT sum(echoed_events) FROM hourly_usage") == 0
