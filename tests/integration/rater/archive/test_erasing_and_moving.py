"""A person is erased from archived events, and an archive moves elsewhere: no other answer changes.

The commands are those of docs/archive.md.
"""

import json
import shutil
from pathlib import Path

import pytest
from pyarrow import parquet

from rater_service.archive import erasure
from rater_service.archive.erasure import PersonColumn, erase_archived
from rater_service.errors import OperatorError
from rater_service.events.forget import Person, erase_person
from rater_service.events.store import Fate
from tests.harness.archives import PRUNE, Capture, answers, phoebe, questions, said
from tests.harness.ledger import Ledger
from tests.harness.old_events import NOW, OLDEST_WEEK, STORED_AT, WEEK, bills_of, store, timed_event

pytestmark = pytest.mark.one_postgres

WEEK_45, WEEK_46 = (f"events/billing_event_2026w{week}.parquet" for week in (45, 46))
PERSONAL = {
    "user_id": "ada@example.org",
    "client_request_id": "lovelace-1",
    "usage_raw": '{"lovelace": 1}',
    "trace_id": "0af7651916cd43dd8448eb211c80319c",
}


def read(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture
async def archived(old: Ledger, database_url: str, tmp_path: Path, capsys: Capture) -> Ledger:
    """Two weeks in an archive, with two events of a person in the first."""
    its = [timed_event(OLDEST_WEEK, number, **PERSONAL) for number in (11, 12)]
    other = timed_event(OLDEST_WEEK, 13, user_id="bob", usage_raw="{}")
    assert await store(old.pool, *its, other, at=STORED_AT) == [Fate.STORED] * 3
    await old.force("UPDATE producer SET last_seq = 13")
    await old.rate(OLDEST_WEEK, OLDEST_WEEK + 3 * WEEK, now=NOW)
    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0
    capsys.readouterr()
    return old


async def test_files_with_a_person_are_written_again_without_it_and_nothing_else_changes(
    archived: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    bills = await bills_of(archived.pool)
    before = parquet.read_table(tmp_path / WEEK_45).to_pylist()
    untouched = read(tmp_path / WEEK_46)
    words = ("forget", "--user-id", PERSONAL["user_id"])

    status, counted = await said(database_url, capsys, *words)
    assert (status, counted["archived_events"]) == (0, 2)
    assert counted["archived_files"] == [f"{tmp_path}/{WEEK_45}"]
    assert parquet.read_table(tmp_path / WEEK_45).to_pylist() == before
    assert await phoebe(database_url, *words, "--yes") == 0
    shown = capsys.readouterr().out
    assert f"written again: {tmp_path}/{WEEK_45}" in shown
    assert "0 stored events, 2 archived and 0 kept aside" in shown

    content = b"".join(read(path) for path in (tmp_path / "events").iterdir())
    rows = parquet.read_table(tmp_path / WEEK_45).to_pylist()
    for value in PERSONAL.values():
        assert value not in str(rows)
        assert value.encode() not in content
    erased = dict.fromkeys(PERSONAL)
    expected = [{**row, **erased} if row["user_id"] == PERSONAL["user_id"] else row for row in before]
    assert rows == expected
    assert read(tmp_path / WEEK_46) == untouched
    assert await bills_of(archived.pool) == bills
    manifest = json.loads(read(tmp_path / WEEK_45.replace(".parquet", ".json")))
    row = await archived.pool.fetchrow("SELECT sha256, next_sha256 FROM archived_file ORDER BY id")
    assert row is not None
    assert (row["sha256"], row["next_sha256"]) == (manifest["sha256"], None)
    assert manifest["rows"] == 10
    status, audit = await said(database_url, capsys, "audit")
    assert (status, audit["proven"], audit["archived_events"]) == (0, True, 12)
    assert (await said(database_url, capsys, *words))[1]["archived_events"] == 0
    event_count = await archived.pool.fetchval(
        "SELECT event_count FROM erasure WHERE finished_at IS NOT NULL"
    )
    assert event_count == 2
    assert await archived.pool.fetchval("SELECT count(*) FROM forgotten_event") == 2


class Killed(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("step", ["store_file", "_describe", "count_erasure"])
async def test_an_erasure_that_is_cut_short_leaves_a_whole_archive_and_goes_on(
    archived: Ledger, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: Capture, step: str
) -> None:
    def kill(*_: object, **__: object) -> None:
        raise Killed

    done = await erase_person(archived.pool, Person(user_id=PERSONAL["user_id"]), "ops", NOW)
    assert done.id is not None
    person = PersonColumn("user_id", PERSONAL["user_id"])
    with monkeypatch.context() as broken:
        broken.setattr(erasure, step, kill)
        with pytest.raises(Killed):
            await erase_archived(archived.pool, person, done.id, NOW, lambda _: None)
    status, audit = await said(database_url, capsys, "audit")
    assert (status, audit["archived_events"]) == (0, 12)

    status, _ = await said(database_url, capsys, "forget", "--user-id", PERSONAL["user_id"], "--yes")

    assert status == 0
    assert await archived.pool.fetchval("SELECT count(next_sha256) FROM archived_file") == 0
    assert (await said(database_url, capsys, "audit"))[0] == 0
    status, counted = await said(database_url, capsys, "forget", "--user-id", PERSONAL["user_id"])
    assert counted["archived_events"] == 0


async def test_one_erasure_at_a_time_works_on_the_archive(archived: Ledger) -> None:
    async with archived.pool.acquire() as other:
        await other.execute("SELECT pg_advisory_lock($1)", erasure._LOCK)
        with pytest.raises(OperatorError, match="another erasure"):
            await erase_archived(archived.pool, PersonColumn("user_id", "x"), 1, NOW, lambda _: None)
        await other.execute("SELECT pg_advisory_unlock($1)", erasure._LOCK)


async def test_csv_files_that_may_have_the_person_are_named(
    old: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    assert await phoebe(database_url, *PRUNE, "--export", str(tmp_path)) == 0
    capsys.readouterr()
    assert await phoebe(database_url, "forget", "--user-id", "x") == 0
    shown = "".join(capsys.readouterr().out.split("\n"))
    assert "not looked into" in shown
    assert "billing_event_2026w46.csv.gz" in shown


async def test_an_archive_is_listed_and_moves_once_each_file_is_there(
    archived: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    _, listed = await said(database_url, capsys, "archive", "list")
    assert [(file["name"], file["rows"]) for file in listed["files"]] == [(WEEK_45, 10), (WEEK_46, 2)]
    asked = await questions(archived.pool)
    before = await answers(database_url, capsys, asked)
    there = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "events", there / "events")
    (there / WEEK_46).unlink()
    assert await phoebe(database_url, "archive", "move", str(tmp_path), str(there)) == 1
    assert f"the archive {there} has no file {WEEK_46}" in capsys.readouterr().err
    shutil.copy(tmp_path / WEEK_45, there / WEEK_46)
    assert await phoebe(database_url, "archive", "move", str(tmp_path), str(there)) == 1
    assert "is not the file that was archived" in capsys.readouterr().err
    shutil.copy(tmp_path / WEEK_46, there / WEEK_46)
    assert await phoebe(database_url, "archive", "move", "/nowhere", str(there)) == 1
    assert f"nothing was archived in /nowhere; there is {tmp_path}" in capsys.readouterr().err

    assert await phoebe(database_url, "archive", "move", str(tmp_path), str(there)) == 0

    assert f"2 files of {tmp_path}: read in {there} from now on" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "events")
    assert await answers(database_url, capsys, asked) == before
    assert await phoebe(database_url, "archive", "list") == 0
    assert "bytes a row" in capsys.readouterr().out
