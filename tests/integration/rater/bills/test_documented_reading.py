"""The session in docs/reading-bills.md, taken at its word."""

import asyncio
import re
from datetime import datetime
from pathlib import Path

import pytest

from rater_service.cli import main
from tests.harness.ledger import HOUR, ONE_HOUR, Ledger, make_event

pytestmark = pytest.mark.one_postgres

ROOT = Path(__file__).parents[4]
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
# These say when the session took place, or are cut short.
VARYING = re.compile(r"^(as of|price book:|  the whole file:|written by) .*$", re.MULTILINE)


def documented() -> dict[str, str]:
    """What the page says that each command answers."""
    text = (ROOT / "docs" / "reading-bills.md").read_text("utf-8")
    found = re.findall(r"^```console\n\$ phoebe (.*)\n((?:.*\n)*?)```$", text, re.MULTILINE)
    return {command: VARYING.sub("", answer).strip() for command, answer in found}


def usage(hours: int, customer: str, tokens: tuple[int, int, int]) -> dict[str, object]:
    """One exchange of the session; customers have one model each."""
    resource, model = ("llama-blue", LLAMA) if customer == "acme" else ("support-bot", "ft:support-assistant")
    names = dict(zip(("prompt_tokens", "cached_tokens", "completion_tokens"), tokens, strict=True))
    return {"hours": hours, "auth_id": customer, "resource_id": resource, "model_id": model, **names}


async def test_every_answer_on_the_page_is_what_the_command_answers(
    ledger: Ledger, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def store(*exchanges: dict[str, object]) -> datetime:
        for exchange in exchanges:
            hours = exchange.pop("hours")
            assert isinstance(hours, int)
            await ledger.store(make_event(HOUR + hours * ONE_HOUR, **exchange))
        await ledger.rate(HOUR, HOUR + 26 * ONE_HOUR, now=HOUR + 27 * ONE_HOUR)
        moment: datetime = await ledger.pool.fetchval("SELECT clock_timestamp()")
        return moment

    await ledger.forget_prices()
    await ledger.load((ROOT / "prices" / "example.yaml").read_bytes())
    first_run = await store(
        usage(0, "acme", (1000, 400, 500)),
        usage(0, "acme", (3000, 0, 800)),
        usage(0, "globex", (2000, 500, 700)),
        usage(25, "acme", (800, 0, 300)),
    )
    await store(usage(0, "acme", (1200, 0, 100)))

    answers = documented()
    assert len(answers) == 4
    for command, answer in answers.items():
        arguments = re.sub(r"(?<=--as-of )\S+", first_run.isoformat(), command).split()
        assert await asyncio.to_thread(main, [*arguments, "--database-url", database_url]) == 0
        said = re.sub(r" +$", "", VARYING.sub("", capsys.readouterr().out), flags=re.MULTILINE).strip()
        assert said.startswith(answer), command
