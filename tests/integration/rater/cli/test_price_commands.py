"""`phoebe prices` on a real database."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from phoebe_proto.v1.metering_pb2 import MeteringEvent
from rater_service.cli import main
from rater_service.rating.withdrawal import withdraw_loading
from tests.harness import json_documents
from tests.harness.answering import answering
from tests.harness.ledger import HOUR, ONE_HOUR, PRICES, Ledger, make_event

pytestmark = pytest.mark.one_postgres

MODELS = {
    "data": [
        {"id": "meta/base-a"},
        {"id": "ft:adapter", "parent": "meta/base-a"},
        {"id": "ft:orphan"},
        {"id": "new/model"},
    ]
}

type MakeEvent = Callable[..., MeteringEvent]
type Capture = pytest.CaptureFixture[str]

DEARER = PRICES.replace(b'"0.000000600"', b'"0.000000900"')
WINDOW = "2026-11-20T10:00Z/2026-11-20T12:00Z"


async def phoebe(url: str, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["prices", *arguments, "--database-url", url])


def file_of(folder: Path, content: bytes, name: str = "new.yaml") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


async def test_all_loadings_are_listed_past_present_and_to_come(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.load(DEARER, HOUR)
    await ledger.load(DEARER + b"# loaded in the same hour, but later\n", HOUR + ONE_HOUR / 2)
    await ledger.load(DEARER + b'effective_from: "2099-01-01T00:00:00Z"\n', HOUR + 2 * ONE_HOUR)
    await withdraw_loading(ledger.pool, 4, "ops")
    await ledger.load(DEARER + b'effective_from: "2098-01-01T00:00:00Z"\n', HOUR + 3 * ONE_HOUR)

    assert await phoebe(database_url, "list", "--json") == 0

    listed = json_documents.read(capsys.readouterr().out)["loadings"]
    assert [
        (each["loading"], each["state"], each["in_force_from"], each["in_force_until"], each["replaced_by"])
        for each in listed
    ] == [
        (1, "past", None, "2026-11-20T11:00:00Z", None),
        (2, "replaced", "2026-11-20T11:00:00Z", None, 3),
        (3, "in force", "2026-11-20T11:00:00Z", "2098-01-01T00:00:00Z", None),
        (4, "withdrawn", "2099-01-01T00:00:00Z", None, None),
        (5, "to come", "2098-01-01T00:00:00Z", None, None),
    ]
    assert {(each["file"], each["loaded_by"]) for each in listed} == {("prices.yaml", "a test")}
    assert [each["withdrawn_by"] for each in listed] == [None, None, None, "ops", None]
    assert await phoebe(database_url, "list") == 0
    table = capsys.readouterr().out
    for part in (
        "5 loadings of 5 price books", "the beginning", "multiplier 1.5", "replaced by 3", "by ops",
        "in force: book ", "to come: book ", "from 2098-01-01T00:00:00Z until further notice",
    ):  # fmt: skip
        assert part in table


async def test_a_check_says_from_when_a_file_would_be_in_force_and_what_it_would_replace(
    ledger: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    await ledger.load(DEARER + b'effective_from: "2099-01-01T00:00:00Z"\n', HOUR)

    assert await phoebe(database_url, "check", file_of(tmp_path, DEARER)) == 0
    shown = capsys.readouterr().out
    for part in (
        "Z, if it is loaded now", "compared with book ", "(loading 1, prices.yaml", "it would replace book ",
        "(loading 2, prices.yaml", "in force: book ", "to come: book ",
    ):  # fmt: skip
        assert part in shown
    back = DEARER + b'effective_from: "2026-01-01T00:00:00Z"\n'
    assert await phoebe(database_url, "check", file_of(tmp_path, back), "--json") == 0
    found = json_documents.read(capsys.readouterr().out)
    assert (found["reaches_back"], found["in_force_from"], found["replaces"], found["loaded_last"]) == (
        *(True, "2026-01-01T00:00:00Z", [2], False),
    )
    assert await ledger.pool.fetchval("SELECT count(*) FROM price_loading") == 2


async def test_a_check_and_a_loading_refuse_the_same_prices(
    ledger: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    slip = file_of(tmp_path, PRICES.replace(b'"0.000000200"', b'"0.000002001"'))
    window = ("--since", "2026-11-20T10:00Z", "--until", "2026-11-20T11:00Z", "--database-url", database_url)

    assert await phoebe(database_url, "check", slip) == 1
    checked = capsys.readouterr().err
    assert await asyncio.to_thread(main, ["rate", *window, "--prices", slip]) == 1
    assert capsys.readouterr().err == checked
    assert "more than tenfold against what is in force" in checked
    assert await ledger.pool.fetchval("SELECT count(*) FROM price_book") == 1
    allowed = ["rate", *window, "--prices", slip, "--allow-change", "meta/base-a"]
    assert await asyncio.to_thread(main, allowed) == 0
    assert "to come: book " in capsys.readouterr().err
    # It was loaded last: there is nothing to load, and nothing to refuse.
    assert await phoebe(database_url, "check", slip) == 0
    assert "it is what was loaded last" in capsys.readouterr().out
    assert await asyncio.to_thread(main, ["rate", *window, "--prices", slip]) == 0


async def test_a_database_that_is_named_and_cannot_be_asked_fails_the_check(
    tmp_path: Path, capsys: Capture
) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nowhere"
    assert await phoebe(url, "check", file_of(tmp_path, PRICES)) == 1
    assert "can't be used" in capsys.readouterr().err


async def test_a_loading_to_come_is_withdrawn_by_the_command(
    ledger: Ledger, database_url: str, capsys: Capture
) -> None:
    await ledger.load(DEARER + b'effective_from: "2099-01-01T00:00:00Z"\n', HOUR)
    await ledger.store(make_event())
    await ledger.rate()

    assert await phoebe(database_url, "withdraw", "1") == 1
    assert "loading 1 can't be withdrawn: it priced 1 hour" in capsys.readouterr().err
    assert await phoebe(database_url, "withdraw", "--by", "ops") == 0
    shown = capsys.readouterr().out
    for part in (
        "withdrawn: book ",
        "(loading 2, ",
        "from the beginning until further notice",
        "to come: nothing",
    ):
        assert part in shown
    assert await phoebe(database_url, "withdraw") == 1
    assert "name the loading to withdraw" in capsys.readouterr().err
    for name, said in (
        ("2", "was withdrawn before"),
        ("7", "'7' is no loading"),
        ("abcdef", "no price book"),
    ):
        assert await phoebe(database_url, "withdraw", name) == 1
        assert said in capsys.readouterr().err


async def test_without_books_the_list_says_what_to_do(database_url: str, capsys: Capture) -> None:
    assert await phoebe(database_url, "list") == 0
    assert "start `phoebe serve` with --prices FILE" in capsys.readouterr().out


async def test_a_book_is_shown_as_it_was_loaded_by_the_first_characters_of_its_hash(
    ledger: Ledger, database_url: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    found = await ledger.pool.fetchval("SELECT content_hash FROM price_book")

    assert await phoebe(database_url, "show", found[:8]) == 0
    assert capfdbinary.readouterr().out == PRICES
    for wrong, said in (("ffffff", b"no price book begins with"), ("xyz", b"is not the hash")):
        assert await phoebe(database_url, "show", wrong) == 1
        assert said in capfdbinary.readouterr().err


async def test_a_file_is_compared_with_what_is_in_force(
    ledger: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    assert await phoebe(database_url, "diff", file_of(tmp_path, DEARER)) == 0

    shown = capsys.readouterr().out
    assert "0.000000600 -> 0.000000900 (+50.00 %)" in shown
    assert "other fine-tunes of meta/base-a" in shown
    assert "ft:declared" in shown
    assert "meta/base-b" not in shown


async def test_books_are_named_by_hash_too(
    ledger: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    found = await ledger.pool.fetchval("SELECT content_hash FROM price_book")

    assert await phoebe(database_url, "diff", found[:6], file_of(tmp_path, PRICES)) == 0
    assert "no model's price is different" in capsys.readouterr().out
    assert await phoebe(database_url, "diff", "nowhere.yaml", found) == 1
    assert "there is no file nowhere.yaml" in capsys.readouterr().err


def test_two_files_need_no_database(tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    old, new = file_of(tmp_path, PRICES, "old.yaml"), file_of(tmp_path, DEARER)

    assert main(["prices", "diff", old, new, "--json"]) == 0

    document = json_documents.read(capsys.readouterr().out)
    assert {(each["model_id"], each["any_fine_tune"], each["change"]) for each in document["models"]} == {
        ("meta/base-a", False, "CHANGED"),
        ("ft:declared", False, "CHANGED"),
        ("meta/base-a", True, "CHANGED"),
    }
    assert document["models"][0]["new"]["completion_rate"] == "0.000001350"


async def test_the_impact_on_real_usage_is_told_by_customer_and_changes_nothing(
    ledger: Ledger, database_url: str, make_event: MakeEvent, tmp_path: Path, capsys: Capture
) -> None:
    await ledger.store(
        make_event(HOUR),
        make_event(HOUR + ONE_HOUR),
        make_event(HOUR, auth_id="bob", model_id="meta/base-b"),
        make_event(HOUR, auth_id="carol", model_id="new/model"),
        make_event(HOUR, model_id=None),
        make_event(HOUR + 2 * ONE_HOUR),
    )
    new = file_of(
        tmp_path,
        DEARER.replace(
            b'  "tiny/half"', b'  "new/model": { prompt: "1", cached: "1", completion: "1" }\n  "tiny/half"'
        ),
    )

    assert await phoebe(database_url, "diff", new, "--impact", WINDOW, "--json") == 0

    found = json_documents.read(capsys.readouterr().out)["impact"]
    # By hand: 80 prompt, 20 cached and 10 completion tokens per event.
    assert found["customers"] == [
        {
            "auth_id": "carol",
            "events": 1,
            "cost_before": "0",
            "cost_after": "110.000000000",
            "unpriced_before": 1,
            "unpriced_after": 0,
            "difference": "110.000000000",
        },
        {
            "auth_id": "alice",
            "events": 2,
            "cost_before": "0.000046000",
            "cost_after": "0.000052000",
            "unpriced_before": 0,
            "unpriced_after": 0,
            "difference": "0.000006000",
        },
        {
            "auth_id": "bob",
            "events": 1,
            "cost_before": "0.000046000",
            "cost_after": "0.000046000",
            "unpriced_before": 0,
            "unpriced_after": 0,
            "difference": "0",
        },
    ]
    assert (found["total_before"], found["total_after"]) == ("0.000092000", "110.000098000")
    assert found["unbillable_events"] == 1
    assert await ledger.rollups() == []
    assert await ledger.pool.fetchval("SELECT count(*) FROM price_book") == 1
    assert await phoebe(database_url, "diff", new, "--impact", WINDOW) == 0
    assert "total: 0.000092000 -> 110.000098000 USD, difference 110.000006000" in capsys.readouterr().out


async def test_the_impact_of_what_is_in_force_is_what_a_run_bills(
    ledger: Ledger, database_url: str, make_event: MakeEvent, tmp_path: Path, capsys: Capture
) -> None:
    await ledger.store(
        make_event(HOUR, prompt_tokens=5, cached_tokens=50),
        make_event(HOUR, prompt_tokens=100),
        make_event(HOUR, model_id="ft:mine", base_model="meta/base-a"),
        make_event(HOUR, model_id="ft:mine", base_model=None),
        make_event(HOUR, model_id="ft:two", base_model="meta/base-a"),
        make_event(HOUR, model_id="ft:two", base_model="meta/base-b"),
    )
    billed = await ledger.rate()

    assert await phoebe(database_url, "diff", file_of(tmp_path, DEARER), "--impact", WINDOW, "--json") == 0

    found = json_documents.read(capsys.readouterr().out)["impact"]
    assert found["total_before"] == str(billed.total_cost)
    assert found["unbillable_events"] == billed.ambiguous_base_events == 2


def test_a_window_that_is_none_is_refused(tmp_path: Path, capsys: Capture) -> None:
    assert main(["prices", "diff", file_of(tmp_path, PRICES), "--impact", "yesterday"]) == 1
    assert "'yesterday' is not a window" in capsys.readouterr().err


async def test_models_a_live_server_serves_without_a_price_are_named_with_exit_code_2(
    ledger: Ledger, database_url: str, tmp_path: Path, capsys: Capture
) -> None:
    with answering({"/v1/models": json.dumps(MODELS).encode()}) as (url, _):
        await check_coverage(url, database_url, tmp_path, capsys)


async def check_coverage(url: str, database_url: str, tmp_path: Path, capsys: Capture) -> None:
    assert await phoebe(database_url, "coverage", url, "--json") == 2

    found = {each["model_id"]: each for each in json_documents.read(capsys.readouterr().out)["models"]}
    assert found["meta/base-a"]["completion_rate"] == "0.000000600"
    assert found["ft:adapter"]["completion_rate"] == "0.000000900"
    assert found["ft:adapter"]["derived_from"] == "meta/base-a"
    assert found["ft:orphan"]["reason"] == "FINE_TUNE_WITHOUT_BASE"
    assert found["new/model"]["reason"] == "NO_PRICE"
    assert await phoebe(database_url, "coverage", url) == 2
    assert "4 models served, 2 without a price" in capsys.readouterr().out

    priced = PRICES + (b'  "ft:orphan": { derived_from: "tiny/nano" }\n')
    everything = priced.replace(
        b'  "tiny/half"', b'  "new/model": { prompt: "1", cached: "1", completion: "1" }\n  "tiny/half"'
    )
    only_file = file_of(tmp_path, everything)
    assert await phoebe(database_url, "coverage", url, "--prices", only_file) == 0


def test_a_server_that_does_not_answer_is_a_failure(tmp_path: Path, capsys: Capture) -> None:
    prices = file_of(tmp_path, PRICES)

    assert main(["prices", "coverage", "http://127.0.0.1:1", "--prices", prices]) == 1
    assert "http://127.0.0.1:1/v1/models can't be asked" in capsys.readouterr().err
