"""`phoebe doctor` on a real installation: whole at first, and then with one thing broken at a time."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import pytest

from rater_service.cli import main
from rater_service.distribution import installed_version
from tests.harness.certificates import Authority, replace
from tests.harness.installation import (
    EDGE_SECRET,
    MODEL,
    PASSWORD,
    PRICES,
    RATES,
    BlindEdge,
    Diagnosis,
    Installation,
    diagnose,
    installation,
)
from tests.harness.postgres import PostgresServer
from tests.harness.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.one_postgres]

type Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def there(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with asyncio.Runner() as runner:
        opening = installation(postgres, tmp_path_factory.mktemp("installation"))
        opened = runner.run(opening.__aenter__())
        try:
            opened.ask(MODEL)
            assert main(["rate", "--database-url", opened.url]) == 0
            yield opened
        finally:
            runner.run(opening.__aexit__(None, None, None))


def doctor(there: Installation, capsys: Capture, *words: str, **changed: str | None) -> Diagnosis:
    """Call the doctor. changed: options that are not as usual; None: not given."""
    other = {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    options = {name: value for name, value in (there.options() | other).items() if value is not None}
    return diagnose(capsys, options, *words, secrets=(EDGE_SECRET, PASSWORD, there.token))


@contextmanager
def blind_edge(there: Installation) -> Iterator[str]:
    edge = BlindEdge(there.proxy.url)
    try:
        yield edge.url
    finally:
        edge.close()


def test_of_a_whole_installation_everything_is_checked_and_only_what_is_so_is_complained_of(
    there: Installation, capsys: Capture
) -> None:
    there.answer_with(MODEL)
    found = doctor(there, capsys, canary=MODEL)

    assert found.results("failed") == {
        # As servers of tests do.
        "database.server": "the server runs with fsync = off: a crash of the machine can lose events that "
        "were answered for, or the whole database"
    }
    soon = {"rater.encryption", "rater.metrics", "proxy.metrics", "console"}
    warnings = found.results("warning")
    assert warnings.keys() == soon
    assert all(" ends in 23 hours, " in words for words in warnings.values())
    # There is no standby, and no edge.
    assert found.results("not_checked").keys() == {"database.standby", "edge.encryption", "edge.headers"}
    assert found.status == 2
    assert found.says("rater.credentials", "ok", "let a proxy deliver events, and not read bills")
    assert found.says("proxy.headers", "ok", "refuses billing headers")
    assert {one.message.partition(" is ")[0] for one in found.of("versions", "ok")} == {
        *("this program", "the rater", "the addon", f"proxies that report and are {installed_version()}: 1")
    }


def test_a_canary_is_metered_and_priced_and_changes_no_bill(there: Installation, capsys: Capture) -> None:
    there.answer_with(MODEL)
    found = doctor(there, capsys, "--only", "canary", canary=MODEL)

    words = [finding.message for finding in found.of("canary", "ok")]
    assert found.status == 0
    assert "5 prompt and 1 completion tokens" in words[0]
    assert words[1:3] == ["it is metered to 'phoebe-doctor'", "it will cost 0.000001600 USD"]
    assert "no bill was changed" in words[3]
    assert main(["report", f"{datetime.now(UTC):%Y-%m}", "--database-url", there.url]) in {0, 2}
    assert "phoebe-doctor" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("usage", "words"), [(None, "the canary can't be billed: MISSING_USAGE")], ids=["no usage"]
)
def test_a_canary_that_can_not_be_billed_is_told_of(
    there: Installation, capsys: Capture, usage: object, words: str
) -> None:
    there.answer_with(MODEL, usage)

    assert doctor(there, capsys, "--only", "canary", canary=MODEL).says("canary", "failed", words)


def test_an_edge_that_lets_forged_headers_pass_is_found_by_itself_and_by_the_canary(
    there: Installation, capsys: Capture
) -> None:
    there.answer_with(MODEL)
    with blind_edge(there) as url:
        found = doctor(
            there, capsys, "--only", "edge,proxy.headers,canary", edge=url, proxy=url, canary=MODEL
        )

    assert found.says("edge.headers", "failed", "forged billing headers pass the edge: it answered with 200")
    assert found.says("canary", "failed", "the edge let a forged auth id pass")
    assert found.says("proxy.headers", "warning", "believed forged billing headers without the edge's secret")
    assert found.status == 2


def test_rights_that_a_role_lacks_or_has_too_many_are_named(there: Installation, capsys: Capture) -> None:
    role = there.url.rpartition("&role=")[2]
    there.execute(f"REVOKE DELETE ON rated_usage FROM {role}", f"GRANT CREATE ON SCHEMA public TO {role}")
    try:
        found = doctor(there, capsys, "--only", "database.role")
    finally:
        there.execute(f"GRANT DELETE ON rated_usage TO {role}", f"REVOKE CREATE ON SCHEMA public FROM {role}")

    assert found.says("database.role", "failed", f"the role {role} lacks DELETE on rated_usage")
    assert found.says("database.role", "warning", "may make tables in Phoebe's schema")

    reader = doctor(there, capsys, "--only", "database.role", role="reader")
    assert reader.says("database.role", "warning", "INSERT and UPDATE and DELETE on ")
    superuser = doctor(there, capsys, "--only", "database.role", database_url=there.owner_url)
    assert superuser.says("database.role", "warning", "the role postgres is a superuser")


def test_a_database_that_is_not_there_is_one_failure_and_no_dozen(
    there: Installation, capsys: Capture
) -> None:
    nowhere = f"postgresql://postgres:{PASSWORD}@/phoebe?host={there.folder}"
    found = doctor(there, capsys, "--only", "database,prices", database_url=nowhere)

    assert found.results("failed").keys() == {"database.connection"}
    assert {one.message for one in found.of("prices.coming")} == {"the database can't be used"}


async def test_a_database_without_tables_is_told_to_be_migrated(
    there: Installation, capsys: Capture, empty_database_url: str
) -> None:
    found = await asyncio.to_thread(
        doctor, there, capsys, "--only", "database,rating", database_url=empty_database_url
    )

    assert found.says("database.schema", "failed", "run `phoebe migrate`")
    assert [one.message for one in found.of("rating", "not_checked")] == ["the tables can't be read"]


def test_a_model_without_a_price_is_named_with_the_price_that_was_meant(
    there: Installation, capsys: Capture
) -> None:
    there.ask("Qwen/Qwen3-32B-Instruct")
    found = doctor(there, capsys, "--only", "prices")

    (finding,) = found.of("prices.used-models", "failed")
    assert finding.message.startswith(
        "no price for 'Qwen/Qwen3-32B-Instruct': 1 event from the resource 'blue'"
    )
    assert finding.advice
    assert finding.advice.endswith("the price file has 'Qwen/Qwen3-32B': is that it?")
    assert found.says("prices.unused", "warning", "the price of 'Qwen/Qwen3-32B' was not used in 7 days")


@pytest.mark.parametrize(
    ("file", "result", "words"),
    [
        ("unknown", "failed", "the bearer token is not one of those"),
        ("reader", "failed", "the right produce is missing"),
        ("both", "warning", "may also read bills"),
    ],
)
def test_credentials_of_a_proxy_are_tried(
    there: Installation, capsys: Capture, file: str, result: str, words: str
) -> None:
    found = doctor(there, capsys, "--only", "rater.credentials", rater_token_file=str(there.folder / file))

    assert found.says("rater.credentials", result, words)


def test_a_rater_that_nobody_can_vouch_for_is_told_from_one_that_is_not_there(
    there: Installation, capsys: Capture
) -> None:
    replace(there.folder / "other.pem", Authority("another").pem)
    distrusted = doctor(there, capsys, "--only", "rater", rater_ca=str(there.folder / "other.pem"))
    assert distrusted.says("rater.encryption", "failed", "the rater's certificate does not prove who it is")
    assert distrusted.says("rater.calls", "failed", "the rater can't be called: UNAVAILABLE")

    plain = doctor(there, capsys, "--only", "rater.calls", rater_ca=None)
    assert plain.says("rater.calls", "failed", "the rater can't be called: UNAVAILABLE")


def test_a_part_that_hangs_holds_up_no_other(there: Installation, capsys: Capture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        found = doctor(
            there,
            capsys,
            *("--only", "rater.probes,proxy.probes", "--proxy-metrics", url, "--timeout", "0.5"),
            rater_metrics=url,
        )

    assert found.says("rater.probes", "failed", "no answer within 0.5 s")
    assert {(one.subject == url, one.result) for one in found.of("proxy.probes")} == {
        (True, "failed"),
        (False, "ok"),
    }


def test_a_proxy_that_never_came_back_and_one_with_a_wrong_clock_are_named(
    there: Installation, capsys: Capture
) -> None:
    there.execute(
        "INSERT INTO producer (producer_id, name, first_seen, last_seen, last_seq, spooled_events,"
        " open_exchanges, stopped, lost_rows, clock_skew) VALUES ('spool-7', 'gateway-7', now(),"
        " now() - interval '1 hour', 9, 5, 0, false, 2, interval '90 seconds')"
    )
    found = doctor(there, capsys, "--only", "producers,clocks")
    there.execute("DELETE FROM producer WHERE producer_id = 'spool-7'")

    assert found.says("producers", "failed", "is silent for 60 minutes; it had 5 events in its spool")
    assert found.says("producers", "failed", "can't read 2 events of its spool")
    assert found.says("clocks", "failed", "is 90.0 s ahead of the rater's")


def test_events_kept_aside_are_counted(there: Installation, capsys: Capture) -> None:
    there.execute(
        "INSERT INTO rejected_event (kind, reason, event, received_at) VALUES ('REJECTED', 'x', 'x', now())"
    )
    found = doctor(there, capsys, "--only", "rejected")
    there.execute("DELETE FROM rejected_event")

    assert found.says("rejected", "warning", "kept aside and not billed: 1 event")


def test_a_spool_that_others_may_change_is_told_of(there: Installation, capsys: Capture) -> None:
    spool = there.folder / "proxy" / "spool"
    mode = spool.stat().st_mode
    spool.chmod(0o777)
    found = doctor(there, capsys, "--only", "spool")
    spool.chmod(mode)

    assert found.says("spool", "failed", f"others than its owner may change the spool {spool}")


def test_a_price_file_that_can_not_be_used_and_a_coming_one_that_lacks_a_model_are_told_of(
    there: Installation, capsys: Capture
) -> None:
    coming = there.folder / "coming.yaml"
    coming.write_text(f'version: 1\nbase_models:\n  "another": {RATES}\n')
    assert main(["rate", "--prices", str(coming), "--database-url", there.url]) in {0, 2}
    found = doctor(there, capsys, "--only", "prices")
    assert found.says("prices.coming", "failed", f"there is no price for {MODEL!r}")
    assert found.says("prices.in-force", "ok", "to come at ")

    there.prices.write_text("version: 1\nbase_models: [")
    wait_until(
        lambda: 'phoebe_file_refused{file="prices"} 1.0' in httpx.get(f"{there.rater_metrics}/metrics").text
    )
    broken = doctor(there, capsys, "--only", "rater.metrics")
    assert broken.says("rater.metrics", "failed", "what the file says now can't be used: prices")
    there.prices.write_text(PRICES)


def test_it_is_shown_in_lines_and_secrets_are_not(there: Installation, capsys: Capture) -> None:
    capsys.readouterr()
    words = [word for pair in there.options().items() for word in pair]
    assert main(["doctor", *words, "--only", "rater.reflection,rater.encryption,edge"]) == 0
    said = capsys.readouterr()

    assert "ok           rater.reflection: strangers learn nothing of the rater's methods" in said.out
    assert "WARNING      rater.encryption: the rater's certificate ends in 23 hours" in said.out
    assert "not checked  edge.encryption, edge.headers: no edge was named" in said.out
    assert "-> give --edge URL, where customers call" in said.out
    assert "0 failed, " in said.out.splitlines()[-1]
    assert not [secret for secret in (EDGE_SECRET, PASSWORD, there.token) if secret in said.out + said.err]


def test_a_rater_that_is_gone_is_told_of_from_all_sides(there: Installation, capsys: Capture) -> None:
    there.rater.process.kill()
    there.send(MODEL)
    wait_until(lambda: there.proxy.metric("phoebe_rater_up") == 0)
    found = doctor(there, capsys, "--only", "rater,proxy")

    assert found.says("rater.calls", "failed", "the rater can't be called: UNAVAILABLE")
    assert found.says("rater.probes", "failed", "it can't be asked")
    assert found.says("proxy.metrics", "failed", "it does not reach the rater")
    assert found.says("proxy.probes", "warning", "has not answered for")
