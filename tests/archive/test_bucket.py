"""The archive in a bucket of a real server that speaks S3: docs/archive.md."""

from pathlib import Path

import pytest
from pyarrow import fs

from rater_service.archive import place
from tests.archive.conftest import BUCKET
from tests.harness.archives import PRUNE, Capture, answers, phoebe, questions, said
from tests.harness.ledger import Ledger
from tests.harness.old_events import bills_of, events_of

pytestmark = pytest.mark.one_postgres

URL = f"s3://{BUCKET}/of/phoebe"
WEEK_45 = "events/billing_event_2026w45.parquet"


def names(bucket: fs.S3FileSystem) -> list[str]:
    found = bucket.get_file_info(fs.FileSelector(f"{BUCKET}/of/phoebe/events", allow_not_found=True))
    return sorted(one.base_name for one in found)


async def test_every_answer_is_the_same_before_and_after(
    old: Ledger, database_url: str, bucket: fs.S3FileSystem, capsys: Capture
) -> None:
    asked = await questions(old.pool)
    before, bills = await answers(database_url, capsys, asked), await bills_of(old.pool)

    assert await phoebe(database_url, *PRUNE, "--archive", URL) == 0

    assert f"archived 7 events to {URL}/{WEEK_45}" in capsys.readouterr().out
    assert len(await events_of(old.pool)) == 1
    assert names(bucket) == [
        f"billing_event_2026w{week}.{suffix}" for week in (45, 46) for suffix in ("json", "parquet")
    ]
    assert await answers(database_url, capsys, asked) == before
    assert await bills_of(old.pool) == bills


async def test_a_person_is_erased_and_the_archive_moves_from_a_folder_and_back(
    old: Ledger, database_url: str, bucket: fs.S3FileSystem, tmp_path: Path, capsys: Capture
) -> None:
    await old.force("UPDATE stored_event SET user_id = 'ada' WHERE producer_seq = 1")
    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0
    fs.copy_files(str(tmp_path), f"{BUCKET}/of/phoebe", destination_filesystem=bucket)
    assert await phoebe(database_url, "archive", "move", str(tmp_path), URL) == 0
    capsys.readouterr()

    status, erased = await said(database_url, capsys, "forget", "--user-id", "ada", "--yes")

    assert (status, erased["archived_events"], erased["archived_files"]) == (0, 1, [f"{URL}/{WEEK_45}"])
    status, audit = await said(database_url, capsys, "audit")
    assert (status, audit["archived_events"]) == (0, 9)
    assert (await said(database_url, capsys, "forget", "--user-id", "ada"))[1]["archived_events"] == 0


async def test_an_object_that_is_gone_or_another_is_found(
    old: Ledger, database_url: str, bucket: fs.S3FileSystem, capsys: Capture
) -> None:
    assert await phoebe(database_url, *PRUNE, "--archive", URL) == 0
    bucket.delete_file(f"{BUCKET}/of/phoebe/{WEEK_45}")
    capsys.readouterr()
    status, audit = await said(database_url, capsys, "audit")
    assert (status, audit["difference_counts"]) == (2, {"ARCHIVE_DIFFERS": 1})
    with bucket.open_output_stream(f"{BUCKET}/of/phoebe/{WEEK_45}") as stream:
        stream.write(b"PAR1")
    assert (await said(database_url, capsys, "audit"))[1]["difference_counts"] == {"ARCHIVE_DIFFERS": 1}


async def test_a_bucket_that_is_not_there_or_not_reachable_is_said_soon_and_events_stay(
    old: Ledger,
    database_url: str,
    bucket: fs.S3FileSystem,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    assert await phoebe(database_url, *PRUNE, "--archive", "s3://no-such-bucket/x") == 1
    error = capsys.readouterr().err
    assert "the archive s3://no-such-bucket/x can't be written" in error
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setattr(place, "_CONNECT_TIMEOUT_S", 1)
    assert await phoebe(database_url, *PRUNE, "--archive", URL) == 1
    error += capsys.readouterr().err
    assert f"the archive {URL} can't be" in error
    assert "a-secret" not in error
    assert len(await events_of(old.pool)) == 10
    assert names(bucket) == []
