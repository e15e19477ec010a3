"""The runs that are kept, as the command and the RPC show them."""

import asyncio
from datetime import timedelta

import pytest

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.bills.rollups import reading
from rater_service.bills.runs import list_runs, read_run, read_run_changes
from rater_service.cli import main
from rater_service.rating.run import Mode
from rater_service.service.rating_response import rate_response
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event
from tests.harness.rater import Rater
from tests.harness.rpc import failure

pytestmark = pytest.mark.one_postgres

type Capture = pytest.CaptureFixture[str]


async def phoebe(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "--database-url", url])


async def test_a_kept_run_says_what_it_answered(ledger: Ledger, rater: Rater) -> None:
    await ledger.store(make_event(), make_event(model_id="nobody/knows"), make_event(usage_found=False))
    result = await ledger.rate(by="atlas")
    kept = await read_run(ledger.pool, result.run_id)
    assert kept.anomalies == result.anomalies
    assert kept.incomplete_producers == result.incomplete_producers
    (listed,) = (await rater.rating.ListRuns(pb.ListRunsRequest())).runs
    answer = rate_response(result)
    for name in ("change", "changes_by_auth", "changed_auth_count"):
        answer.ClearField(name)
    assert listed.answer == answer
    assert (listed.mode, listed.dry_run, listed.reprice) == (pb.RATE_MODE_ROUTINE, False, False)


async def test_runs_are_listed_the_last_one_first_and_page_by_page(ledger: Ledger, rater: Rater) -> None:
    ids = [(await ledger.rate(dry_run=dry)).run_id for dry in (False, True, False, False)]
    token, listed = "", []
    while True:
        page = await rater.rating.ListRuns(pb.ListRunsRequest(page_size=3, page_token=token))
        listed += [run.answer.run_id for run in page.runs]
        if not (token := page.next_page_token):
            break
    assert listed == ids[::-1]
    real = await rater.rating.ListRuns(pb.ListRunsRequest(no_dry_runs=True))
    assert [run.answer.run_id for run in real.runs] == [ids[3], ids[2], ids[0]]
    for wrong in ("0", "-1", "x", "9" * 30):
        refused = await failure(rater.rating.ListRuns(pb.ListRunsRequest(page_token=wrong)))
        assert refused[1:] == ("INVALID_PAGE_TOKEN", "page_token")


async def test_runs_over_an_hour_are_found(ledger: Ledger) -> None:
    first = await ledger.rate()
    await ledger.rate(HOUR + ONE_HOUR)
    found = await list_runs(ledger.pool, 10, hour=HOUR + timedelta(minutes=59))
    assert [run.id for run in found.runs] == [first.run_id]


async def test_the_changes_of_a_run_are_its_own(ledger: Ledger) -> None:
    await ledger.store(make_event(auth_id="alice"), make_event(auth_id="bob"))
    await ledger.rate()
    await ledger.store(*(make_event(auth_id="bob") for _ in range(3)), make_event(auth_id="carol"))
    second = await ledger.rate(mode=Mode.BACKFILL)
    async with reading(ledger.pool) as connection:
        changes = await read_run_changes(connection, await read_run(ledger.pool, second.run_id), 1)
    assert changes.auth_ids == 2
    (most,) = changes.by_auth
    assert (most.auth_id, most.rollups_inserted, most.rollups_updated) == ("bob", 0, 1)
    assert changes.total.difference == second.changes.total.difference


async def test_a_run_without_changes_has_none(ledger: Ledger) -> None:
    run = await ledger.rate()
    async with reading(ledger.pool) as connection:
        changes = await read_run_changes(connection, await read_run(ledger.pool, run.run_id), 5)
    assert changes.auth_ids == len(changes.by_auth) == 0
    assert changes.total.difference == 0


async def test_the_command_lists_and_shows(ledger: Ledger, database_url: str, capsys: Capture) -> None:
    assert await phoebe(database_url, "runs", "list") == 0
    assert capsys.readouterr().out == "no run yet: phoebe rate\n"
    await ledger.store(make_event(), make_event(model_id="nobody/knows"))
    await ledger.rate(by="jane")
    assert await phoebe(database_url, "runs", "list") == 0
    assert "jane" in capsys.readouterr().out
    assert await phoebe(database_url, "runs", "show", "1") == 0
    said = capsys.readouterr().out
    assert "2 events = 1 rated + 1 unpriced" in said
    assert "UNPRICED: 1 event," in said
    assert await phoebe(database_url, "runs", "show", "1", "--json") == 0
    shown = json_documents.read(capsys.readouterr().out)
    assert (shown["run"]["id"], shown["changes"]["auth_ids"], shown["run"]["total_cost"]) == (
        1,
        1,
        "0.000023000",
    )
    assert await phoebe(database_url, "runs", "list", "--json", "--limit", "1") == 0
    assert json_documents.read(capsys.readouterr().out)["has_more"] is False
    assert await phoebe(database_url, "runs", "show", "7") == 1
    assert "there is no run 7" in capsys.readouterr().err
