"""What producers say of themselves: kept with their events, and which hours it makes incomplete."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from phoebe_proto.v1 import metering_pb2 as pb
from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.cli import main
from rater_service.database.database import Pool
from rater_service.events.producer_status import StatusRow
from rater_service.events.producers import Producer, list_producers, retire_producer
from rater_service.events.store import store_events
from rater_service.rating.run import INCOMPLETE_HOURS, Mode
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.rater import Rater
from tests.integration.rater.cli.test_cli_with_database import phoebe

NOW = HOUR + 2 * ONE_HOUR
SECOND = timedelta(seconds=1)
type Capture = pytest.CaptureFixture[str]


def status(
    producer_id: str = "spool-1",
    last_seq: int = 0,
    complete_until: datetime | None = NOW,
    *,
    spooled: int = 0,
    running: int = 0,
    stopped: bool = False,
    lost_rows: int = 0,
) -> StatusRow:
    return StatusRow(producer_id, last_seq, spooled, running, complete_until, stopped, lost_rows)


async def report(pool: Pool, said: StatusRow, *events: MeteringEvent, now: datetime = NOW) -> None:
    await store_events(pool, events, now, said)


async def the_producer(pool: Pool) -> Producer:
    (producer,) = await list_producers(pool)
    return producer


async def test_a_status_without_events_is_kept(pool: Pool) -> None:
    await report(pool, status(last_seq=7, spooled=3, running=2, lost_rows=1))
    assert await the_producer(pool) == Producer(
        producer_id="spool-1",
        first_seen=NOW,
        last_seen=NOW,
        last_seq=7,
        spooled_events=3,
        open_exchanges=2,
        complete_until=NOW,
        stopped=False,
        lost_rows=1,
        retired=False,
        retired_at=None,
        retired_by=None,
        clock_skew=None,
        name=None,
        version=None,
    )


async def test_a_name_stays_when_another_process_delivers_what_is_left(pool: Pool) -> None:
    await report(pool, replace(status(last_seq=1), name="gateway-0"))
    await report(pool, status(last_seq=2))
    assert (await the_producer(pool)).name == "gateway-0"
    await report(pool, replace(status(last_seq=3), name="gateway-1"))
    assert (await the_producer(pool)).name == "gateway-1"


async def test_a_version_is_that_of_the_last_word_and_unknown_when_an_earlier_addon_reports_again(
    pool: Pool, database_url: str, capsys: Capture
) -> None:
    await report(pool, replace(status(last_seq=1), version="9.8.7"))
    await phoebe(database_url, "producers", "list")
    assert "9.8.7" in capsys.readouterr().out
    await report(pool, status(last_seq=2))
    assert (await the_producer(pool)).version is None
    await phoebe(database_url, "producers", "list")
    assert "unknown" in capsys.readouterr().out


async def test_runs_and_audits_call_a_proxy_by_its_name_and_say_since_when_it_is_silent(
    ledger: Ledger, database_url: str, caplog: pytest.LogCaptureFixture, capsys: Capture
) -> None:
    seen = datetime.now(UTC) - timedelta(minutes=7, seconds=20)
    silent = replace(
        status(complete_until=HOUR, spooled=2), name="gateway-0", clock_skew=timedelta(seconds=90)
    )
    await report(ledger.pool, silent, now=seen)
    result = await ledger.rate(mode=Mode.ROUTINE)
    words = {anomaly.reason: anomaly.offenders[0].detail for anomaly in result.anomalies}
    assert words["INCOMPLETE_HOURS"] == (
        "gateway-0 (producer spool-1): silent for 7 minutes; 2 events in its spool, 0 exchanges under way"
    )
    assert str(words["CLOCK_SKEW"]).startswith(
        "the clock of gateway-0 (producer spool-1) is 90.0 s ahead of "
    )
    assert result.incomplete_producers[0].name == "gateway-0"
    assert "silent for 7 minutes" in caplog.text
    assert await phoebe(database_url, "producers", "list") == 0
    assert re.search(r"gateway-0 .*silent for 7 minutes", capsys.readouterr().out)
    assert await phoebe(database_url, "audit") == 2
    assert "gateway-0 (producer spool-1)" in capsys.readouterr().out


async def test_events_that_come_with_a_status_are_no_longer_in_the_spool(pool: Pool) -> None:
    brought = [make_event(producer_seq=1), make_event(producer_seq=2, outcome="?")]
    others = [make_event(producer_seq=9), make_event(producer_seq=1, producer_id="spool-2")]
    await report(pool, status(last_seq=5, spooled=5), *brought, *others)
    assert (await the_producer(pool)).spooled_events == 3


async def test_a_status_is_kept_only_if_its_batch_is_stored(pool: Pool) -> None:
    await pool.execute("ALTER TABLE producer ADD CONSTRAINT odd CHECK (producer_id <> 'spool-1')")
    with pytest.raises(Exception, match="odd"):
        await report(pool, status(), make_event())
    assert await pool.fetchval("SELECT count(*) FROM billing_event") == 0


async def test_a_status_that_was_overtaken_changes_nothing(pool: Pool) -> None:
    await report(pool, status(last_seq=8, complete_until=HOUR, stopped=True))
    later = await the_producer(pool)
    await report(pool, status(last_seq=7, spooled=4, complete_until=HOUR), now=NOW + SECOND)
    await report(pool, status(last_seq=8, spooled=4, complete_until=HOUR - SECOND), now=NOW + SECOND)
    await report(pool, status(last_seq=8, spooled=4, complete_until=None), now=NOW + SECOND)
    assert await the_producer(pool) == later


async def test_the_end_of_a_producer_is_believed_also_when_its_clock_went_back(pool: Pool) -> None:
    await report(pool, status(last_seq=8, running=1))
    await report(pool, status(last_seq=7, complete_until=HOUR, stopped=True), now=NOW + SECOND)
    assert not (await the_producer(pool)).stopped
    await report(pool, status(last_seq=8, complete_until=HOUR, stopped=True), now=NOW + SECOND)
    ended = await the_producer(pool)
    assert (ended.stopped, ended.open_exchanges) == (True, 0)


async def test_a_producer_that_really_went_back_is_believed_after_two_minutes(pool: Pool) -> None:
    await report(pool, status(last_seq=8))
    restored = status(last_seq=3)
    await report(pool, restored, now=NOW + 119 * SECOND)
    assert (await the_producer(pool)).last_seq == 8
    await report(pool, restored, now=NOW + 121 * SECOND)
    assert (await the_producer(pool)).last_seq == 3


async def test_a_status_changes_one_row_and_no_index(pool: Pool) -> None:
    await report(pool, status(last_seq=1))
    for number in range(2, 20):
        await report(pool, status(last_seq=number, complete_until=NOW + number * SECOND))
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
        row = await connection.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'producer'"
        )
    assert row is not None
    assert (row["n_tup_upd"], row["n_tup_hot_upd"]) == (18, 18)


async def test_a_status_that_breaks_a_rule_holds_up_no_event(
    rater: Rater, caplog: pytest.LogCaptureFixture
) -> None:
    call = rater.metering.StreamEvents()
    wrong = pb.ProducerStatus(producer_id="x" * 65, last_seq=-1)
    await call.write(pb.StreamEventsRequest(events=[make_event()], status=wrong))
    answer = await call.read()
    assert isinstance(answer, pb.StreamEventsResponse)
    assert [result.outcome for result in answer.results] == [pb.EVENT_OUTCOME_STORED]
    right = pb.ProducerStatus(producer_id="spool-1", last_seq=1)
    await call.write(pb.StreamEventsRequest(status=right))
    answer = await call.read()
    assert isinstance(answer, pb.StreamEventsResponse)
    assert not answer.results
    assert (await the_producer(rater.pool)).complete_until is None
    assert "producer_id: must be 1 to 64 characters; last_seq: must be 0 to 2^53" in caplog.text


async def test_a_silent_producer_makes_its_hours_incomplete(ledger: Ledger) -> None:
    await report(
        ledger.pool, status(complete_until=HOUR + 59 * 60 * SECOND, spooled=2, running=3), make_event()
    )
    result = await ledger.rate()
    assert [(anomaly.reason, anomaly.events) for anomaly in result.anomalies] == [(INCOMPLETE_HOURS, 5)]
    assert result.incomplete_producer_count == 1
    assert [producer.producer_id for producer in result.incomplete_producers] == ["spool-1"]
    kept = await ledger.pool.fetchrow(
        "SELECT incomplete_producer_count, incomplete_producers FROM rating_run"
    )
    assert kept is not None
    assert kept["incomplete_producer_count"] == 1
    assert json.loads(kept["incomplete_producers"])[0]["producer_id"] == "spool-1"


async def test_a_producer_that_never_said_how_far_it_is_makes_all_hours_incomplete(ledger: Ledger) -> None:
    await report(ledger.pool, status(complete_until=None))
    assert (await ledger.rate()).incomplete_producer_count == 1


@pytest.mark.parametrize(
    "said",
    [
        status(complete_until=HOUR + ONE_HOUR),
        status(complete_until=HOUR - ONE_HOUR, stopped=True),
    ],
    ids=["has-sent-all", "stopped"],
)
async def test_a_producer_that_owes_nothing_leaves_hours_complete(ledger: Ledger, said: StatusRow) -> None:
    await report(ledger.pool, said, make_event())
    result = await ledger.rate()
    assert (result.anomalies, result.incomplete_producers) == ((), ())


async def test_senders_without_a_status_leave_hours_complete(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(producer_id="", producer_seq=0))
    assert (await ledger.rate()).anomalies == ()


@pytest.mark.parametrize(
    ("now", "incomplete"),
    [
        (HOUR + timedelta(minutes=30), 0),
        (HOUR + timedelta(minutes=60, seconds=59), 0),
        (HOUR + timedelta(minutes=61), 1),
    ],
)
async def test_the_running_hour_is_not_called_incomplete_nor_one_that_ended_just_now(
    ledger: Ledger, now: datetime, incomplete: int
) -> None:
    await report(ledger.pool, status(complete_until=HOUR + SECOND))
    assert (await ledger.rate(now=now)).incomplete_producer_count == incomplete


async def test_the_hours_before_the_running_one_are_called_incomplete(ledger: Ledger) -> None:
    await report(ledger.pool, status(complete_until=HOUR - SECOND))
    result = await ledger.rate(start=HOUR - ONE_HOUR, end=HOUR + ONE_HOUR, now=HOUR + 600 * SECOND)
    assert result.incomplete_producer_count == 1


async def test_incomplete_hours_are_logged_at_error(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    await report(ledger.pool, status(complete_until=HOUR))
    await ledger.rate(mode=Mode.ROUTINE)
    assert [record.levelname for record in caplog.records if INCOMPLETE_HOURS in record.message] == ["ERROR"]


async def test_of_many_silent_producers_the_first_are_named_and_all_are_counted(ledger: Ledger) -> None:
    for number in range(120):
        await report(ledger.pool, status(f"p{number:03}", complete_until=HOUR - number * SECOND, spooled=1))
    result = await ledger.rate()
    assert (result.incomplete_producer_count, len(result.incomplete_producers)) == (120, 100)
    assert result.incomplete_producers[0].producer_id == "p119"
    assert result.anomalies[0].events == 120


async def test_a_retired_producer_is_waited_for_no_more_until_it_reports_again(ledger: Ledger) -> None:
    await report(ledger.pool, status(complete_until=HOUR))
    assert await retire_producer(ledger.pool, "spool-1", "ops", NOW)
    assert (await ledger.rate()).incomplete_producer_count == 0
    await report(ledger.pool, status(complete_until=HOUR + SECOND), now=NOW + SECOND)
    assert (await ledger.rate()).incomplete_producer_count == 1
    back = await the_producer(ledger.pool)
    assert (back.retired, back.retired_at, back.retired_by) == (False, NOW, "ops")


async def test_the_command_line_lists_and_retires_producers(
    pool: Pool, database_url: str, capsys: Capture
) -> None:
    await report(pool, status("behind\x1b", complete_until=None, spooled=4))
    await report(pool, status("done", stopped=True))

    assert await phoebe(database_url, "producers", "list") == 0
    shown = capsys.readouterr().out
    assert shown.index("behind\\x1b") < shown.index("done")
    assert "stopped" in shown

    assert await phoebe(database_url, "producers", "retire", "done", "--by", "ops") == 0
    assert await phoebe(database_url, "producers", "retire", "unknown") == 1
    assert "there is no producer 'unknown'" in capsys.readouterr().err

    assert await phoebe(database_url, "producers", "list", "--json") == 0
    behind, done = json_documents.read(capsys.readouterr().out)["producers"]
    assert (behind["state"], behind["spooled_events"], behind["complete_until"]) == ("running", 4, None)
    assert (done["state"], done["retired_by"]) == ("retired", "ops")


async def test_rating_incomplete_hours_exits_with_2_and_names_the_producer(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await report(ledger.pool, status("silent-one", complete_until=HOUR))
    window = ["--since", "2026-11-20T10:00Z", "--until", "2026-11-20T11:00Z"]
    assert datetime.now(UTC) > HOUR + ONE_HOUR
    assert await phoebe(database_url, "rate", *window) == 2
    shown = capsys.readouterr().out
    assert "INCOMPLETE_HOURS: the first 1 of 1 producer," in shown
    assert "silent-one" in shown


async def test_the_answer_of_a_run_names_the_producers(rater: Rater) -> None:
    ledger = Ledger(rater.pool)
    await ledger.load()
    await report(rater.pool, status(complete_until=None, spooled=2))
    from phoebe_proto.v1 import rating_pb2
    from rater_service.wire_time import to_timestamp

    answer = await rater.rating.RateWindow(
        rating_pb2.RateWindowRequest(
            window_start=to_timestamp(HOUR), window_end=to_timestamp(HOUR + ONE_HOUR)
        )
    )
    assert answer.incomplete_producer_count == 1
    (producer,) = answer.incomplete_producers
    assert (producer.producer_id, producer.spooled_events) == ("spool-1", 2)
    assert not producer.HasField("complete_until")


def test_a_producer_must_be_named(capsys: Capture) -> None:
    assert main(["producers", "retire"]) == 1
    assert "ID" in capsys.readouterr().err
