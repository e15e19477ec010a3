"""What every command writes with `--json` on a real database, held against its type."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rater_service.cli import main
from rater_service.cli.documents import DOCUMENTS
from rater_service.database.installation import read_installation
from rater_service.events.producer_status import StatusRow
from rater_service.events.store import store_events
from tests.harness import json_documents
from tests.harness.answering import answering
from tests.harness.ledger import HOUR, PRICES, Ledger, make_event
from tests.integration.rater.cli.test_price_commands import MODELS

pytestmark = pytest.mark.one_postgres

type Capture = pytest.CaptureFixture[str]
type Told = dict[str, str]

WINDOW = "2026-11-20T10:00Z/2026-11-20T11:00Z"
BOUNDS = ("--since", "2026-11-20T10:00Z", "--until", "2026-11-20T11:00Z")
ARGUMENTS: Mapping[str, Callable[[Told], tuple[str, ...]]] = {
    "audit": lambda _: (),
    "archive books": lambda told: ("2025", "--archive", f"{told['folder']}/archive"),
    "archive list": lambda _: (),
    # To where it is already: nothing was copied meanwhile.
    "archive move": lambda told: (f"{told['folder']}/archive", f"{told['folder']}/archive"),
    "doctor": lambda _: ("--only", "database,prices,producers,rating"),
    "config": lambda _: ("serve",),
    "event": lambda told: (told["event"],),
    "events": lambda _: (*BOUNDS, "--user", "ann"),
    "explain": lambda _: ("1", "--events"),
    "export": lambda told: (WINDOW, "--format", "csv", "--output", f"{told['folder']}/bills.csv"),
    "forget": lambda _: ("--user-id", "ann"),
    "installation renew": lambda _: (),
    "installation set": lambda told: (told["installation"],),
    "installation show": lambda _: (),
    "migrate": lambda _: (),
    "prices check": lambda told: (told["prices"],),
    "prices coverage": lambda told: (told["url"],),
    "prices diff": lambda told: (told["prices"], "--impact", WINDOW),
    "prices list": lambda _: (),
    "prices show": lambda told: (told["book"],),
    "prices withdraw": lambda _: ("2",),
    "producers list": lambda _: (),
    "producers retire": lambda _: ("spool-1",),
    "prune": lambda _: ("--before", "2026-11-21T00:00Z", "--dry-run"),
    "quote": lambda _: ("ft:declared", "--completion", "3"),
    "rate": lambda _: (*BOUNDS, "--dry-run"),
    "rejected list": lambda _: (),
    "rejected retry": lambda _: ("--all",),
    "report": lambda _: (WINDOW, "--by", "day,user", "--cents"),
    "runs list": lambda _: (),
    "runs show": lambda _: ("1",),
    "sums rebuild": lambda _: ("--dry-run",),
    "sums rebuild-days": lambda _: ("--dry-run",),
    "token new": lambda _: ("atlas", "--rights", "read"),
}
"""What each command is given, after its words."""


@pytest.fixture
async def told(ledger: Ledger, tmp_path: Path) -> Told:
    """A database with something of everything, and what its things are called."""
    mine = make_event(user_id="ann", part_count=0)
    now = datetime.now(UTC)
    status = StatusRow("spool-1", 1000, 3, 1, HOUR, stopped=False, lost_rows=2)
    await store_events(ledger.pool, [mine, make_event(model_id="nobody/knows")], HOUR, status)
    await store_events(ledger.pool, [make_event(auth_id=" blank "), make_event(usage_found=False)], HOUR)
    await ledger.rate()
    await ledger.load(PRICES.replace(b"0.000000600", b"0.000000700"), at=now)
    prices = tmp_path / "prices.yaml"
    prices.write_bytes(PRICES)
    books = await ledger.pool.fetch("SELECT content_hash FROM price_book")
    return {
        "event": mine.request_id,
        "folder": str(tmp_path),
        "installation": str((await read_installation(ledger.pool)).id),
        "prices": str(prices),
        "book": str(books[0]["content_hash"]),
    }


def test_every_command_is_tried() -> None:
    assert ARGUMENTS.keys() == DOCUMENTS.keys()


async def test_what_every_command_writes_is_of_its_kind(
    told: Told, database_url: str, capsys: Capture
) -> None:
    with answering({"/v1/models": json.dumps(MODELS).encode()}) as (url, _):
        told["url"] = url
        for command, arguments in ARGUMENTS.items():
            database = () if command in ("config", "token new") else ("--database-url", database_url)
            words = [*command.split(), *arguments(told), "--json", *database]
            assert await asyncio.to_thread(main, words) in (0, 2), capsys.readouterr().err
            written = capsys.readouterr()
            json_documents.read(written.out)
            assert json.loads(written.out)["kind"] == DOCUMENTS[command][0].name
            if command != "rate":  # whose log is beside its messages
                json_documents.read_lines(written.err)


async def test_a_database_that_is_not_there_is_a_document_without_the_password(capsys: Capture) -> None:
    gone = "postgresql://phoebe:secret@127.0.0.1:1/phoebe"
    assert await asyncio.to_thread(main, ["runs", "list", "--json", "--database-url", gone]) == 1
    written = capsys.readouterr()
    (failure,) = json_documents.read_lines(written.err)
    assert failure["failure"] in ("database", "operator")
    assert "secret" not in written.err
