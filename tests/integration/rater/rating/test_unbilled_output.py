"""What clients were given of answers without usage: every run says how much, and who was given most."""

import asyncio
import json
import logging

import pytest

from rater_service.cli import main
from rater_service.database.database import Pool
from rater_service.rating.run import Mode, RateRequest, UnbilledOutput
from rater_service.service.metrics import Metrics
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event, nonzero

pytestmark = pytest.mark.one_postgres

type Capture = pytest.CaptureFixture[str]


async def store_what_was_given(ledger: Ledger) -> None:
    left = {"usage_found": False, "outcome": "aborted", "model_id": None}
    await ledger.store(
        *(make_event(answer_bytes=1000, **left) for _ in range(3)),
        make_event(answer_bytes=70_000, auth_id="bob", resource_id="small", **left),
        make_event(answer_bytes=2_000_000, auth_id="bob", resource_id="large", **left),
        make_event(answer_bytes=500, auth_id=None, **left),
        make_event(answer_bytes=900, usage_found=False, outcome="upstream_error", auth_id="carol"),
        make_event(answer_bytes=90, usage_found=False, outcome="proxy_error", auth_id="carol"),
    )


async def store_what_is_no_output(ledger: Ledger) -> None:
    """Billed, rightly free, or said elsewhere."""
    await ledger.store(
        make_event(answer_bytes=5000),
        make_event(answer_bytes=5000, outcome="aborted"),
        make_event(answer_bytes=5000, usage_found=False),
        make_event(answer_bytes=5000, usage_found=False, outcome="upstream_error", status_code=503),
        make_event(answer_bytes=5000, usage_found=False, outcome="upstream_error", status_code=None),
        make_event(answer_bytes=0, usage_found=False, outcome="aborted"),
        make_event(answer_bytes=None, usage_found=False, outcome="aborted"),
    )


async def test_a_run_says_who_was_given_what_that_is_not_billed(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    await store_what_was_given(ledger)
    await store_what_is_no_output(ledger)

    with caplog.at_level(logging.WARNING):
        result = await ledger.rate()

    assert result.unbilled_output_by_auth == (
        UnbilledOutput("bob", 2, 2_070_000, "large"),
        UnbilledOutput("alice", 3, 3000, "deployment-1"),
        UnbilledOutput("carol", 2, 990, "deployment-1"),
        UnbilledOutput(None, 1, 500, "deployment-1"),
    )
    assert (result.unbilled_output_events, result.unbilled_output_bytes) == (8, 2_074_490)
    assert result.unbilled_output_auth_count == 4
    assert nonzero(result) == {"rated": 2, "unattributable": 1, "missing_usage": 1, "zero_charge": 11}
    assert "most of it: bob, 2070000 bytes" in caplog.text
    assert "phoebe_abort=drain" in caplog.text


async def test_it_is_no_anomaly_of_itself(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """Clients of model servers that can't say more leave all the time; nobody would look any more."""
    left = {"usage_found": False, "outcome": "aborted", "producer_seq": None}
    await ledger.store(make_event(answer_bytes=1000, **left))

    with caplog.at_level(logging.ERROR):
        result = await ledger.rate(mode=Mode.BACKFILL)

    assert result.unbilled_output_events == 1
    assert [anomaly.reason for anomaly in result.anomalies if anomaly.reason != "INCOMPLETE_HOURS"] == []


async def test_it_is_kept_with_the_run(ledger: Ledger) -> None:
    await store_what_was_given(ledger)

    result = await ledger.rate()

    kept = await ledger.pool.fetchrow("SELECT * FROM rating_run WHERE id = $1", result.run_id)
    assert kept is not None
    assert kept["unbilled_output_bytes"] == 2_074_490
    assert json.loads(kept["unbilled_output_by_auth"])[0] == {
        "auth_id": "bob",
        "events": 2,
        "answer_bytes": 2_070_000,
        "resource_id": "large",
    }


async def test_an_hour_that_is_rated_again_or_pruned_says_it_again(ledger: Ledger) -> None:
    await store_what_was_given(ledger)
    first = await ledger.rate()

    await ledger.correct("DELETE FROM stored_event WHERE auth_id = 'alice'")
    second = await ledger.rate()

    assert first.unbilled_output_events - second.unbilled_output_events == 3
    assert [each.auth_id for each in second.unbilled_output_by_auth] == ["bob", "carol", None]


async def test_the_command_shows_it_and_what_to_do(
    ledger: Ledger, database_url: str, capsys: Capture, caplog: pytest.LogCaptureFixture
) -> None:
    await store_what_was_given(ledger)
    window = ["--since", HOUR.isoformat(), "--until", (HOUR + ONE_HOUR).isoformat()]

    await asyncio.to_thread(main, ["rate", *window, "--database-url", database_url])

    shown = capsys.readouterr().out
    assert "not billed: 2074490 bytes of 8 answers without usage, given to 4 customers" in caplog.text
    assert "declare the model server" in caplog.text
    assert "answers without usage: the first 4 of 4 customers, most bytes first" in " ".join(shown.split())
    assert shown.index("bob") < shown.index("alice", shown.index("bob"))


async def test_metrics_tell_how_much_and_name_no_customer(ledger: Ledger) -> None:
    await store_what_was_given(ledger)
    metrics = Metrics()

    metrics.count_run(RateRequest(HOUR, HOUR + ONE_HOUR, "a test"), await ledger.rate())

    read = metrics.registry.get_sample_value
    assert read("phoebe_rating_unbilled_output_events", {"mode": "routine"}) == 8
    assert read("phoebe_rating_unbilled_output_bytes", {"mode": "routine"}) == 2_074_490


async def test_sums_from_before_stay_what_the_events_make(pool: Pool) -> None:
    columns = await pool.fetch(
        "SELECT column_default FROM information_schema.columns"
        " WHERE table_name = 'hourly_usage' AND column_name LIKE 'unbilled_%'"
    )
    assert [column["column_default"] for column in columns] == ["0", "0"]
