"""What commands say of events, to be compared before and after they are archived."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from rater_service.cli import main
from rater_service.database.database import Pool
from tests.harness import json_documents
from tests.harness.old_events import BEFORE

type Capture = pytest.CaptureFixture[str]
PRUNE = ("prune", "--before", f"{BEFORE:%Y-%m-%dT%H:%MZ}", "--yes")


async def phoebe(url: str, *arguments: str) -> int:
    """Run a command on a database."""
    return await asyncio.to_thread(main, [*arguments, "--database-url", url])


async def said(url: str, capsys: Capture, *arguments: str) -> Any:
    """Run a command with --json; give its status and what it said."""
    status = await phoebe(url, *arguments, "--json")
    written = capsys.readouterr()
    assert written.out, written.err
    return status, json_documents.read(written.out)


async def questions(pool: Pool) -> list[Sequence[str]]:
    """Ask everything of what there is: each rollup with its events, each event, lists, the audit."""
    rollups = await pool.fetch("SELECT id FROM rated_usage ORDER BY id")
    events = await pool.fetch("SELECT request_id, event_time FROM billing_event ORDER BY request_id")
    days = sorted({f"{row['event_time']:%Y-%m-%d}" for row in events})
    return [
        *(("explain", str(row["id"]), "--events", "--limit", "3") for row in rollups),
        *(("event", str(row["request_id"])) for row in events),
        *(("events", "--since", f"{day}T00:00Z", "--until", f"{day}T23:00Z", "--limit", "2") for day in days),
        ("events", "--since", f"{days[0]}T00:00Z", "--until", f"{days[-1]}T23:00Z", "--auth", "bob"),
        ("audit",),
    ]


async def answers(url: str, capsys: Capture, asked: Sequence[Sequence[str]]) -> list[Any]:
    """Give all answers, without what depends on the moment, and what says where events were read."""
    told = []
    for words in asked:
        status, document = await said(url, capsys, *words)
        for name in ("audited_at", "pruned_events", "archived_events"):
            document.pop(name, None)
        for producer in document.get("producers", ()):
            producer.pop("pruned")
        told.append((tuple(words), status, document))
    return told
