"""Events that were archived in a folder: every command says of them what it said before.

The commands are those of docs/archive.md.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pyarrow import parquet

from rater_service.archive import storing
from rater_service.archive.files import FileState, list_files
from rater_service.archive.layout import COLUMNS, SCHEMA, EventFile, EventFileWriter, rows_of
from rater_service.archive.place import local_state, place_of
from rater_service.archive.sums import READ, sum_archived, sum_groups
from rater_service.errors import OperatorError
from rater_service.events.store import Fate
from rater_service.hours import HOUR
from rater_service.retention import archiving, drop
from rater_service.retention.archiving import archive_events
from rater_service.retention.drop import drop_events
from tests.harness.archives import PRUNE, Capture, answers, phoebe, questions, said
from tests.harness.ledger import ONE_HOUR, Ledger
from tests.harness.old_events import (
    BEFORE,
    MINUTE,
    NOW,
    OLDEST_WEEK,
    STORED_AT,
    WEEK,
    bills_of,
    events_of,
    judge,
    store,
    timed_event,
    two_weeks_of_events,
)

pytestmark = pytest.mark.one_postgres

FIRST = "events/billing_event_2026w45.parquet"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
async def odd(old: Ledger) -> Ledger:
    """Besides, events with everything that an event can have, in the first week."""
    first = OLDEST_WEEK + 5 * HOUR
    whole = timed_event(
        first, 11, usage_raw='{"a":\n"b, \\"c\\" é"}', user_id="ada", group_id="g", client_request_id="4711",
        trace_id="0af7651916cd43dd8448eb211c80319c", finish_reason="stop", part_count=1, reasoning_tokens=3,
        answer_bytes=2**53, model_echoed=True, cached_tokens=2**53, prompt_tokens=7,
    )  # fmt: skip
    part = timed_event(first, 12, part_of=whole.request_id, prompt_tokens=None, usage_partial=True)
    begun = timed_event(
        first + MINUTE, 13, usage_found=False, outcome="aborted", answer_bytes=17, auth_id="bob"
    )
    untrusted = timed_event(first + MINUTE, 14, model_untrusted=True)
    assert await store(old.pool, whole, part, begun, untrusted, at=STORED_AT) == [Fate.STORED] * 4
    await old.force("UPDATE producer SET last_seq = 14")
    await old.rate(OLDEST_WEEK, OLDEST_WEEK + 3 * WEEK, now=NOW)
    return old


async def test_every_answer_is_the_same_before_and_after(
    odd: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    asked = await questions(odd.pool)
    before, bills = await answers(database_url, capsys, asked), await bills_of(odd.pool)

    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0

    shown = capsys.readouterr().out
    assert f"archived 11 events to {tmp_path}/{FIRST}" in shown
    assert "dropped 13 events of 2 partitions" in shown
    assert len(await events_of(odd.pool)) == 1
    after = await answers(database_url, capsys, asked)
    for one, other in zip(before, after, strict=True):
        assert other == one
    assert await bills_of(odd.pool) == bills
    _, audit = await said(database_url, capsys, "audit")
    assert (audit["pruned_events"], audit["archived_events"]) == (0, 13)


async def test_a_file_has_all_there_is_to_know_and_its_manifest_says_what_is_in_it(
    odd: Ledger, database_url: str, tmp_path: Path
) -> None:
    names = [row["column_name"] for row in await odd.pool.fetch(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'billing_event'")]  # fmt: skip
    assert set(names) == set(COLUMNS), "a column that is not archived is lost: add it, and raise FORMAT"
    before = [dict(row) for row in await events_of(odd.pool)]

    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0

    rows: list[dict[str, Any]] = []
    for name in (FIRST, FIRST.replace("45", "46")):
        with EventFile(place_of(str(tmp_path)), name) as file:
            rows += [row for group in file.groups for row in rows_of(file.read(group))]
        manifest = json.loads((tmp_path / name.replace(".parquet", ".json")).read_text())
        content = (tmp_path / name).read_bytes()
        assert (manifest["sha256"], manifest["bytes"]) == (hashlib.sha256(content).hexdigest(), len(content))
        assert (manifest["format"], manifest["rows"]) == (1, parquet.read_metadata(tmp_path / name).num_rows)
    left = [dict(row) for row in await events_of(odd.pool)]
    assert sorted([*rows, *left], key=lambda row: row["request_id"]) == before
    recorded = await odd.pool.fetch("SELECT archive, name, sha256, size, row_count FROM archived_file")
    assert [row["row_count"] for row in recorded] == [11, 2]
    assert {row["archive"] for row in recorded} == {str(tmp_path)}
    assert sorted(path.name for path in (tmp_path / "events").iterdir()) == [
        f"billing_event_2026w{week}.{suffix}" for week in (45, 46) for suffix in ("json", "parquet")
    ]


async def test_the_sums_of_the_archive_are_those_of_the_database(odd: Ledger, tmp_path: Path) -> None:
    end = OLDEST_WEEK + 2 * WEEK
    # Where events are distributed, the database makes sums of each producer, of whom there is one.
    expected = [
        {name: value for name, value in row.items() if name != "producer_id"}
        for row in await odd.pool.fetch("SELECT * FROM hourly_usage_of_events($1, $2)", OLDEST_WEEK, end)
    ]
    unnumbered = timed_event(OLDEST_WEEK, 99, producer_id=None, producer_seq=None)
    for verdict in await judge(odd.pool, BEFORE):
        kept = await archive_events(odd.pool, verdict.events, str(tmp_path), NOW)
        await drop_events(odd.pool, verdict, kept, "ops", NOW)
    async with odd.pool.acquire() as connection:
        files = await list_files(connection)

    sums = await sum_archived(files, OLDEST_WEEK, end)

    def ordered(rows: Any) -> list[list[tuple[str, object]]]:
        return sorted((sorted(dict(row).items()) for row in rows), key=repr)

    assert ordered(sums.rows) == ordered(expected)
    assert (sums.unnumbered_events, sums.part_events) == (0, 1)
    assert unnumbered.producer_seq == 0
    assert sum_groups(()).rows == ()


DAMAGES = {
    "gone": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "changed": lambda path: path.write_bytes(
        path.read_bytes()[:200] + bytes([path.read_bytes()[200] ^ 1]) + path.read_bytes()[201:]
    ),
    "other": lambda path: path.write_bytes(path.with_name(path.name.replace("45", "46")).read_bytes()),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_file_that_is_not_what_was_archived_is_found_by_the_audit_and_no_bill_depends_on_it(
    odd: Ledger, database_url: str, tmp_path: Path, capsys: Capture, damage: str
) -> None:
    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0
    DAMAGES[damage](tmp_path / FIRST)
    capsys.readouterr()

    status, audit = await said(database_url, capsys, "audit")

    assert status == 2
    assert audit["difference_counts"] == {"ARCHIVE_DIFFERS": 1}
    (difference,) = audit["differences"]
    assert difference["subject"] == f"file {tmp_path}/{FIRST}"
    assert (audit["pruned_events"], audit["archived_events"]) == (11, 2)
    if damage != "changed":
        assert await phoebe(database_url, "event", two_weeks_of_events()[0].request_id) == 1
        error = capsys.readouterr().err
        assert FIRST in error
        assert "Traceback" not in error


async def test_sums_that_were_changed_are_found_by_the_archive(
    odd: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0
    await odd.force("UPDATE hourly_usage SET event_count = event_count + 1 WHERE auth_id = 'bob'")
    capsys.readouterr()
    status, audit = await said(database_url, capsys, "audit")
    found = set(audit["difference_counts"])
    assert status == 2
    assert "SUMS_DIFFER" in found
    assert "ROLLUP_DIFFERS_FROM_EVENTS" not in found, "the rollups agree with the events in the archive"


async def test_a_file_of_a_later_version_is_said_to_be_one(
    odd: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0
    table = parquet.read_table(tmp_path / FIRST)
    parquet.write_table(table.replace_schema_metadata({"phoebe.format": "2"}), tmp_path / FIRST)
    assert await phoebe(database_url, "event", two_weeks_of_events()[0].request_id) == 1
    assert "has format 2; this Phoebe reads up to 1: use a newer one" in capsys.readouterr().err


async def archive_and_drop_first(ledger: Ledger, folder: Path) -> None:
    """Do what `phoebe prune` does for the first week."""
    verdict, *_ = await judge(ledger.pool, BEFORE)
    kept = await archive_events(ledger.pool, verdict.events, str(folder), NOW)
    await drop_events(ledger.pool, verdict, kept, "ops", NOW)


class Killed(BaseException):
    """The process ended here."""


STEPS = {
    "while it is written": (EventFileWriter, "close"),
    "before it has its name": (archiving, "_publish"),
    "before its manifest": (archiving, "store_manifest"),
    "before it is dropped": (drop, "_drop"),
    "before the commit": (drop, "LOCK_ALL"),
}


@pytest.mark.parametrize("step", STEPS)
async def test_a_crash_between_any_two_steps_loses_nothing_and_running_again_goes_on(  # noqa: PLR0917 - fixtures
    odd: Ledger,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
    step: str,
) -> None:
    asked = await questions(odd.pool)
    before, events = await answers(database_url, capsys, asked), await events_of(odd.pool)
    where, name = STEPS[step]
    with monkeypatch.context() as broken:

        def kill(*_: object, **__: object) -> None:
            raise Killed

        broken.setattr(where, name, "SELECT 1 / 0" if name == "LOCK_ALL" else kill)
        with pytest.raises((Killed, asyncpg.DivisionByZeroError)):
            await archive_and_drop_first(odd, tmp_path)
    assert await events_of(odd.pool) == events
    assert await odd.pool.fetchval("SELECT count(*) FROM archived_file") == 0

    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0

    capsys.readouterr()
    assert await answers(database_url, capsys, asked) == before
    assert len(list((tmp_path / "events").iterdir())) == 4


async def test_a_file_with_other_events_is_never_overwritten(
    odd: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    verdict, *_ = await judge(odd.pool, BEFORE)
    await archive_events(odd.pool, verdict.events, str(tmp_path), NOW)
    there = (tmp_path / FIRST).read_bytes()
    await odd.force("UPDATE stored_event SET status_code = 201 WHERE producer_seq = 1")
    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 1
    assert "is there and holds other events; move it away" in capsys.readouterr().err
    assert (tmp_path / FIRST).read_bytes() == there
    assert len(await events_of(odd.pool)) == 14


async def test_what_was_written_must_be_what_was_judged(odd: Ledger, tmp_path: Path) -> None:
    verdict, *_ = await judge(odd.pool, BEFORE)
    await store(odd.pool, timed_event(OLDEST_WEEK, 20), at=NOW)
    with pytest.raises(OperatorError, match=r"has 12 events .* should have 11"):
        await archive_events(odd.pool, verdict.events, str(tmp_path), NOW)
    assert names(tmp_path) == set()


async def test_events_that_are_another_customers_in_the_file_are_noticed_although_all_adds_up(
    odd: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = EventFileWriter.write_rows

    def swap(writer: EventFileWriter, rows: list[dict[str, Any]]) -> None:
        names = {"alice": "bob", "bob": "alice"}
        write(writer, [{**row, "auth_id": names.get(row["auth_id"], row["auth_id"])} for row in rows])

    monkeypatch.setattr(EventFileWriter, "write_rows", swap)
    verdict, *_ = await judge(odd.pool, BEFORE)
    with pytest.raises(OperatorError, match="events came meanwhile, or the disk is damaged"):
        await archive_events(odd.pool, verdict.events, str(tmp_path), NOW)
    assert names(tmp_path) == set()


async def test_a_file_that_is_not_read_back_as_it_was_written_drops_nothing(
    odd: Ledger, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    damage = local_state

    def other(path: Path) -> FileState:
        state = damage(path)
        return FileState(state.sha256[::-1], state.size)

    with monkeypatch.context() as broken:
        broken.setattr(storing, "local_state", other)
        assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 1
    assert "was read back with" in capsys.readouterr().err
    assert len(await events_of(odd.pool)) == 14
    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("{folder}/file", "can't be written: Not a directory"),
        ("s3://key:secret@bucket/x", "keys are in AWS_ACCESS_KEY_ID"),
        ("s3://bucket/x?endpoint_override=http://y", "keys are in AWS_ACCESS_KEY_ID"),
        ("gs://bucket", "gs:// is no archive"),
    ],
)
async def test_an_archive_that_can_not_be_used_is_said_and_events_stay(  # noqa: PLR0917 - fixtures
    old: Ledger, database_url: str, tmp_path: Path, capsys: Capture, url: str, reason: str
) -> None:
    (tmp_path / "file").touch()
    assert await phoebe(database_url, *PRUNE, "--archive", url.format(folder=tmp_path)) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert "secret@" not in error
    assert len(await events_of(old.pool)) == 10


async def test_events_of_the_default_partition_are_archived_once_for_each_time(
    old: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    odd = timed_event(OLDEST_WEEK + ONE_HOUR, 10, request_id="6d9c8b1e-7c57-4d0e-9f0a-3b1f0e2d4c5b")
    await old.force("DELETE FROM stored_event WHERE producer_seq = 10")
    assert await store(old.pool, odd, at=STORED_AT) == [Fate.STORED]
    await old.force("UPDATE hourly_usage SET event_count = event_count")
    await old.rate(OLDEST_WEEK, OLDEST_WEEK + 3 * WEEK, now=NOW)
    status, told = await said(database_url, capsys, "event", odd.request_id)
    await phoebe(database_url, *PRUNE, "--archive", str(tmp_path))
    capsys.readouterr()
    assert (tmp_path / f"events/billing_event_default_before_{BEFORE:%Y-%m-%dT%H}.parquet").exists()
    assert await said(database_url, capsys, "event", odd.request_id) == (status, told)


def test_every_column_that_sums_need_is_in_the_file() -> None:
    assert set(READ) <= set(SCHEMA.names)
