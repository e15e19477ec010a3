"""A real mitmdump and a real `phoebe serve` with certificates on both sides and a token."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from rater_service.database.database import Pool
from rater_service.service.access_list import Right
from tests.e2e.conftest import IDENTITY
from tests.harness import engine as engines
from tests.harness.certificates import Authority, Certificate, replace
from tests.harness.engine import Engine
from tests.harness.guarded_rater import TokensFile
from tests.harness.proxy import Proxy
from tests.harness.served_rater import ServedRater
from tests.harness.waiting import until_found

CHAT = "/v1/chat/completions"
ANSWER = {"model": "m", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


def serve(
    folder: Path, database_url: str, tokens: TokensFile, rater: Certificate, clients: Authority
) -> ServedRater:
    certificate, key = rater.write(folder, "rater")
    replace(folder / "clients.pem", clients.pem)
    served = ServedRater(
        folder,
        {"DATABASE_URL": database_url},
        *("--tls-cert", str(certificate), "--tls-key", str(key)),
        *("--tls-client-ca", str(folder / "clients.pem"), "--tokens", str(tokens.path)),
    )
    served.wait_until_ready()
    return served


def credentials(folder: Path, authority: Authority, addon: Certificate) -> dict[str, str]:
    """Write what the addon proves itself with, and return the options for it."""
    certificate, key = addon.write(folder, "addon")
    replace(folder / "ca.pem", authority.pem)
    return {
        "phoebe_rater_tls": "true",
        "phoebe_rater_ca": str(folder / "ca.pem"),
        "phoebe_rater_cert": str(certificate),
        "phoebe_rater_key": str(key),
    }


def start_proxy(folder: Path, engine: Engine, options: dict[str, str], token_file: Path) -> Proxy:
    return Proxy(
        folder / "proxy",
        *("--mode", f"reverse:{engine.url}"),
        options=options,
        environment={"PHOEBE_RATER_TOKEN_FILE": str(token_file)},
    )


def ask(proxy: Proxy) -> None:
    response = httpx.post(proxy.url + CHAT, json={"model": "m"}, headers=IDENTITY, timeout=20)
    assert response.status_code == 200


async def test_events_of_an_addon_that_lost_its_token_wait_and_arrive_when_it_has_one_again(
    tmp_path: Path, engine: Engine, pool: Pool, database_url: str
) -> None:
    engine.script = engines.document(ANSWER)
    authority, clients = Authority("servers"), Authority("clients")
    server, addon = authority.issue_for_loopback(), clients.issue("addon")
    tokens = TokensFile(tmp_path / "tokens")
    tokens.let_in(Right.READ, name="atlas")
    first = tokens.let_in(Right.PRODUCE, name="addon-1")
    replace(tmp_path / "token", first.encode())

    async with AsyncExitStack() as stack:
        rater = await asyncio.to_thread(serve, tmp_path, database_url, tokens, server, clients)
        stack.push_async_callback(asyncio.to_thread, rater.stop)
        options = {"phoebe_rater": f"127.0.0.1:{rater.port}", **credentials(tmp_path, authority, addon)}
        proxy = await asyncio.to_thread(start_proxy, tmp_path, engine, options, tmp_path / "token")
        stack.push_async_callback(asyncio.to_thread, proxy.stop)
        await asyncio.to_thread(ask, proxy)
        await until_found(pool, "SELECT count(*) = 1 FROM billing_event")

        tokens.put_out(first)
        await asyncio.to_thread(rater.wait_for_log, "was read again")
        await asyncio.to_thread(ask, proxy)
        await asyncio.to_thread(proxy.wait_for_log, "lets no event in: UNAUTHENTICATED")
        assert await asyncio.to_thread(proxy.metric, "phoebe_spool_events") == 1
        assert await pool.fetchval("SELECT count(*) FROM billing_event") == 1

        second = tokens.let_in(Right.PRODUCE, name="addon-1")
        replace(tmp_path / "token", second.encode())
        await until_found(pool, "SELECT count(*) = 2 FROM billing_event")
        await asyncio.to_thread(proxy.wait_for_log, "takes events again")

    assert (proxy.process.returncode, rater.process.returncode) == (0, 0)
    assert proxy.log().count("lets no event in") == 1
    assert "addon-1 calls /phoebe.v1.MeteringService/StreamEvents" in rater.log()
    digests = [line.rpartition(":")[2] for line in tokens.lines.values()]
    keys = [certificate.key.decode().splitlines()[1] for certificate in (server, addon)]
    for secret in (first, second, *digests, *keys):
        assert secret not in proxy.log() + rater.log()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"phoebe_rater_tls": "true", "phoebe_rater_ca": "/nowhere"}, "can't read /nowhere"),
        ({"phoebe_rater_token_file": "/nowhere"}, "can't read the file that phoebe_rater_token_file names"),
        ({"phoebe_rater_ca": "/nowhere"}, "need phoebe_rater_tls=true"),
    ],
)
def test_mitmdump_does_not_start_with_credentials_it_cannot_use(
    tmp_path: Path, engine: Engine, settings: dict[str, str], said: str
) -> None:
    proxy = Proxy(tmp_path, *("--mode", f"reverse:{engine.url}"), options=settings, ready=None)

    assert proxy.ended() == 1
    assert said in proxy.log()
