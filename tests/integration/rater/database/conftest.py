"""Servers that tests stop and kill."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.own_postgres import OwnPostgres, binaries_of, own_postgres
from tests.harness.postgres import PostgresServer


@pytest.fixture
def own_server(postgres: PostgresServer) -> Iterator[OwnPostgres]:
    """A server without anything in it."""
    with (
        tempfile.TemporaryDirectory(prefix="phoebe-pg-") as folder,
        own_postgres(binaries_of(postgres.url), Path(folder)) as own,
    ):
        yield own
