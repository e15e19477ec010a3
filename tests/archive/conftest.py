"""The archive in a bucket, and as other tools read it: `make test-archive` installs moto's server and DuckDB.

Both have an environment of their own: they are large, and nothing else needs them.
"""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from rig.programs import PROJECT
from tests.harness.ledger import Ledger
from tests.harness.old_events import store_two_weeks

PROGRAMS = PROJECT / ".venv-archive" / "bin"
BUCKET = "bills"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: they are run where they are asked for."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.archive)


@pytest.fixture
async def old(ledger: Ledger) -> Ledger:
    """Two weeks of events that may be dropped, and one event of the week after."""
    await store_two_weeks(ledger)
    return ledger


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that speaks S3."""
    assert (PROGRAMS / "moto_server").exists(), "moto's server is not installed: make test-archive"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("moto") / "log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [PROGRAMS / "moto_server", "-H", "127.0.0.1", "-p", str(port)], stdout=file, stderr=file
        ) as server,
    ):
        try:
            _wait_for(port, server, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < until:
        with socket.socket() as trying:
            if trying.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[fs.S3FileSystem]:
    """A bucket, and the environment in which commands find it; emptied afterwards."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "a-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": s3_url,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    files = fs.S3FileSystem(endpoint_override=s3_url, allow_bucket_creation=True)
    files.create_dir(BUCKET)
    yield files
    files.delete_dir_contents(BUCKET, missing_dir_ok=True)
