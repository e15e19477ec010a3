"""A bill that lacks hours says so, and what is on no bill is told by reason."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from rater_service.bills.holes import Holes, find_holes
from rater_service.bills.rollups import Selection, find_as_of
from rater_service.cli import main
from rater_service.rating.run import Mode
from tests.harness import json_documents
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event

pytestmark = pytest.mark.one_postgres

type Capture = pytest.CaptureFixture[str]

DAY = ("--since", "2026-11-20", "--until", "2026-11-21")
WHOLE = Selection(HOUR - 24 * ONE_HOUR, HOUR + 24 * ONE_HOUR)
LATER = HOUR + 9 * ONE_HOUR
COST = Decimal("0.000023")


async def phoebe(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, [*arguments, "--database-url", url])


async def holes(ledger: Ledger, selection: Selection = WHOLE) -> Holes:
    async with ledger.pool.snapshot() as connection:
        return await find_holes(connection, selection, None, LATER)


async def not_billed(ledger: Ledger) -> dict[str, tuple[int, Decimal | None]]:
    found = await holes(ledger)
    return {one.reason: (one.events, one.money_at_risk) for one in found.not_billed}


@pytest.fixture
async def holed(ledger: Ledger) -> Ledger:
    """Three hours: a rated one, one to which usage came since it was rated, and one that no run has rated."""
    await ledger.store(make_event(), make_event(HOUR + ONE_HOUR))
    await ledger.rate(HOUR, HOUR + 2 * ONE_HOUR)
    await ledger.store(
        make_event(HOUR + ONE_HOUR), make_event(HOUR + 4 * ONE_HOUR, auth_id="bob"), make_event(LATER)
    )
    return ledger


async def test_a_report_over_holes_says_so_and_exits_2(
    holed: Ledger, database_url: str, capsys: Capture
) -> None:
    assert await phoebe(database_url, "report", *DAY) == 2
    shown = capsys.readouterr()
    assert "0.000046000" in shown.out
    assert shown.err.strip() == (
        "not on this bill: 3 events in 3 hours, 2026-11-20T11:00:00Z to 2026-11-20T20:00:00Z, that no run "
        "has rated, or that came since; next: phoebe rate --since 2026-11-20T11:00:00Z "
        "--until 2026-11-20T20:00:00Z"
    )


async def test_the_command_that_is_named_makes_the_bill_whole(
    holed: Ledger, database_url: str, capsys: Capture
) -> None:
    await phoebe(database_url, "report", *DAY)
    command = capsys.readouterr().err.rpartition("next: phoebe ")[2].split()
    assert await phoebe(database_url, *command) == 0
    assert await phoebe(database_url, "report", *DAY, "--strict") == 0


async def test_programs_are_told_too(holed: Ledger, database_url: str, capsys: Capture) -> None:
    assert await phoebe(database_url, "report", *DAY, "--json") == 2
    told = json_documents.read(capsys.readouterr().out)
    assert told["unrated_hours"] == ["2026-11-20T11:00:00Z", "2026-11-20T14:00:00Z", "2026-11-20T19:00:00Z"]
    assert (told["unrated_events"], told["window_open"]) == (3, False)
    assert told["not_billed"] == [
        {"reason": "LATE_USAGE", "events": 3, "tokens": 330, "money_at_risk": "0.000069000"}
    ]


@pytest.mark.parametrize("form", ["csv", "focus", "parquet"])
async def test_an_export_over_holes_is_written_whole_and_says_so(
    holed: Ledger, database_url: str, capsys: Capture, tmp_path: Path, form: str
) -> None:
    file, strict = tmp_path / "bill", tmp_path / "strict"
    assert await phoebe(database_url, "export", *DAY, "--format", form, "--output", str(file)) == 2
    assert "not on this bill: 3 events in 3 hours" in capsys.readouterr().err
    written = file.read_bytes()
    assert await phoebe(database_url, "export", *DAY, "--format", form, "-o", str(strict), "--strict") == 1
    assert "not on this bill: 3 events in 3 hours" in capsys.readouterr().err
    assert not strict.exists()
    await holed.rate(HOUR, LATER + ONE_HOUR, now=LATER + ONE_HOUR, mode=Mode.BACKFILL)
    assert await phoebe(database_url, "export", *DAY, "--format", form, "-o", str(strict), "--strict") == 0
    assert len(strict.read_bytes()) > len(written)


async def test_a_strict_report_of_a_bill_with_holes_writes_nothing(
    holed: Ledger, database_url: str, capsys: Capture
) -> None:
    assert await phoebe(database_url, "report", *DAY, "--strict", "--format", "csv") == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("phoebe: not on this bill: 3 events in 3 hours")


async def test_the_running_hour_is_no_hole(holed: Ledger) -> None:
    found = await holes(holed)
    assert (found.hours, found.window_open) == ((HOUR + ONE_HOUR, HOUR + 4 * ONE_HOUR), True)


async def test_a_bill_that_is_narrowed_down_lacks_what_it_is_about(holed: Ledger) -> None:
    for name, missing in (("alice", [HOUR + ONE_HOUR]), ("bob", [HOUR + 4 * ONE_HOUR]), ("carol", [])):
        wanted = Selection(WHOLE.window_start, WHOLE.window_end, auth_id=name)
        assert list((await holes(holed, wanted)).hours) == missing


async def test_what_came_late_of_others_is_no_hole_of_a_customers_bill(ledger: Ledger) -> None:
    await ledger.store(
        make_event(), make_event(auth_id="bob"), make_event(auth_id="carol", usage_found=False)
    )
    await ledger.rate()
    await ledger.store(make_event(auth_id="bob"), make_event(auth_id="bob", usage_found=False))

    found = {}
    for name in ("alice", "bob", "carol"):
        wanted = Selection(WHOLE.window_start, WHOLE.window_end, auth_id=name)
        lacks = await holes(ledger, wanted)
        found[name] = (list(lacks.hours), lacks.unrated_events)

    assert found == {"alice": ([], 0), "bob": ([HOUR], 2), "carol": ([], 0)}


async def test_what_was_billed_and_is_gone_since_is_no_hole(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(auth_id="bob"))
    await ledger.rate()
    await ledger.correct("DELETE FROM stored_event WHERE auth_id = 'bob'")

    assert (await holes(ledger)).hours == ()


async def test_a_bill_of_the_past_lacks_the_hours_that_no_run_had_rated_by_then(ledger: Ledger) -> None:
    await ledger.store(make_event(), make_event(HOUR + ONE_HOUR))
    await ledger.rate()
    then = await ledger.pool.fetchval("SELECT clock_timestamp()")
    await ledger.rate(HOUR + ONE_HOUR)
    async with ledger.pool.snapshot() as connection:
        as_of = await find_as_of(connection, then, then)
        found = await find_holes(connection, WHOLE, as_of, LATER)
    assert (found.hours, found.unrated_events, found.not_billed) == ((HOUR + ONE_HOUR,), 1, ())


async def test_what_is_on_no_bill_is_told_by_reason_with_the_money_that_a_run_would_tell(
    ledger: Ledger,
) -> None:
    await ledger.store(
        make_event(),
        make_event(model_id="nobody/knows"),
        make_event(auth_id=None),
        make_event(usage_found=False),
        make_event(usage_found=False, outcome="aborted"),
        make_event(model_untrusted=True),
        make_event(model_id="ft:x", base_model="meta/base-a"),
        make_event(model_id="ft:x", base_model="meta/base-b"),
        make_event(auth_id="bob", prompt_tokens=10, cached_tokens=30),
    )
    result = await ledger.rate()
    said = {one.reason: (one.events, one.money_at_risk) for one in result.anomalies}
    assert await not_billed(ledger) == said
    assert len(said) == 6


async def test_what_has_a_price_by_now_is_told_with_it(ledger: Ledger) -> None:
    await ledger.store(make_event(model_id="new/model"))
    await ledger.rate()
    assert await not_billed(ledger) == {"UNPRICED": (1, None)}
    await ledger.load(PRICES.replace(b'"tiny/nano"', b'"new/model"'), at=HOUR)
    assert await not_billed(ledger) == {"UNPRICED": (1, Decimal("0.000000080"))}


async def test_of_late_usage_of_a_rollup_only_what_it_lacks_is_told(holed: Ledger) -> None:
    await holed.store(make_event(HOUR + ONE_HOUR, prompt_tokens=200))
    assert await not_billed(holed) == {"LATE_USAGE": (3, 2 * COST + Decimal("0.000043"))}


async def test_usage_that_lacks_a_count_and_output_without_usage_are_told(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    left = {"usage_found": False, "outcome": "aborted"}
    await ledger.store(
        make_event(prompt_tokens=None, cached_tokens=None),
        make_event(auth_id="bob", completion_tokens=None, usage_partial=True),
        make_event(model_id="no/price", usage_partial=True),
        *(make_event(answer_bytes=size, **left) for size in (0, 10, 20_000)),
    )
    await ledger.rate()

    assert await not_billed(ledger) == {
        "COUNT_NOT_REPORTED": (2, None),
        "UNBILLED_OUTPUT": (2, None),
        "UNPRICED": (1, None),
    }
    await phoebe(database_url, "report", *DAY)
    assert "UNBILLED_OUTPUT" in capsys.readouterr().out


async def test_what_a_rollup_of_a_fine_tune_lacks_is_told_at_the_price_of_its_own_base(
    ledger: Ledger,
) -> None:
    tuned = {"model_id": "ft:x"}
    await ledger.store(
        make_event(base_model="meta/base-a", **tuned), *(make_event(**tuned) for _ in range(2))
    )
    await ledger.rate()
    # Two without a base have no price. At that of the others they would be worth something.
    assert await not_billed(ledger) == {"UNPRICED": (2, None)}

    await ledger.store(make_event(base_model="meta/base-a", **tuned))
    assert await not_billed(ledger) == {"UNPRICED": (2, None), "LATE_USAGE": (1, COST * 3 / 2)}


async def test_what_is_ambiguous_now_and_was_billed_before_is_told_without_what_is_billed(
    ledger: Ledger,
) -> None:
    tuned = {"model_id": "ft:x"}
    await ledger.store(*(make_event(base_model="meta/base-a", **tuned) for _ in range(3)))
    await ledger.rate()
    await ledger.store(make_event(base_model="meta/base-b", **tuned))

    assert await not_billed(ledger) == {"AMBIGUOUS_BASE": (1, 3 * COST)}
