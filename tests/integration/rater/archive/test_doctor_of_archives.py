"""`phoebe doctor` says whether an archive can be read from where it runs."""

from pathlib import Path

import pytest

from tests.harness.archives import PRUNE, Capture, phoebe, said
from tests.harness.ledger import Ledger

pytestmark = pytest.mark.one_postgres

CHECK = ("doctor", "--only", "database.archive")


async def test_an_archive_that_is_not_there_is_said(
    old: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    assert old
    status, found = await said(database_url, capsys, *CHECK)
    assert status == 0
    assert "nothing was archived" in str(found)
    assert await phoebe(database_url, *PRUNE, "--archive", str(tmp_path)) == 0
    capsys.readouterr()
    status, found = await said(database_url, capsys, *CHECK)
    assert status == 0
    assert f"the archive {tmp_path} can be read from here" in str(found)
    newest = tmp_path / "events/billing_event_2026w46.parquet"
    newest.write_bytes(b"cut")
    status, found = await said(database_url, capsys, *CHECK)
    assert status == 2
    assert "has 3 bytes instead of" in str(found)
    newest.unlink()
    assert "is not there" in str(await said(database_url, capsys, *CHECK))
    await old.force("UPDATE archived_file SET archive = 's3://NOT A BUCKET'")
    assert "can't be read from here" in str(await said(database_url, capsys, *CHECK))
