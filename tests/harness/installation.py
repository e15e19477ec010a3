"""A whole installation: PostgreSQL with a role of the service's own, a rater with TLS and tokens, a proxy
with an edge's secret, and a toy engine. And the doctor, as somebody calls it who knows where all of it is.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import override
from urllib.parse import urlsplit

import httpx
import pytest

from rater_service.cli import main
from rater_service.database.database import open_pool
from rater_service.events.partitions import try_to_make_partitions
from rater_service.service.access_list import Right, new_token
from rig.ports import reserve_port
from rig.postgres import execute
from tests.harness import engine as engines
from tests.harness import json_documents
from tests.harness.certificates import Authority, replace
from tests.harness.engine import Engine
from tests.harness.guarded_rater import TokensFile
from tests.harness.postgres import TEMPLATE, PostgresServer, database
from tests.harness.proxy import Proxy
from tests.harness.served_rater import ServedRater, served_rater
from tests.harness.waiting import wait_until

EDGE_SECRET = "an-edge-secret-of-the-test-0123456789"
PASSWORD = "a-password-of-the-test"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
RATES = '{ prompt: "0.000000200", cached: "0.000000050", completion: "0.000000600" }'
PRICES = f'version: 1\nbase_models:\n  "{MODEL}": {RATES}\n  "Qwen/Qwen3-32B": {RATES}\n'
USAGE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}

# By the file in which a token with these rights is; the one in the file `unknown` has none.
OTHER_TOKENS = {"reader": (Right.READ,), "both": (Right.PRODUCE, Right.READ)}

ROLE = """
CREATE ROLE {name};
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {name};
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {name};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {name}
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of the doctor's, as its JSON has it."""

    check: str
    subject: str | None
    result: str
    message: str
    advice: str | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor said. status: of its process."""

    status: int
    findings: Sequence[Finding]

    def of(self, check: str, result: str | None = None) -> list[Finding]:
        return [one for one in self.findings if one.check == check and result in {None, one.result}]

    def says(self, check: str, result: str, words: str) -> bool:
        return any(words in one.message for one in self.of(check, result))

    def results(self, *results: str) -> dict[str, str]:
        """The messages of findings with one of these results, by check."""
        return {one.check: one.message for one in self.findings if one.result in results}


@dataclass
class Installation:
    """Everything there is. owner_url: of the database, as a superuser; url: as the service's role."""

    folder: Path
    owner_url: str
    url: str
    tokens: TokensFile
    rater: ServedRater
    proxy: Proxy
    engine: Engine
    rater_metrics: str
    console: str
    prices: Path
    token: str = field(repr=False)

    def options(self) -> dict[str, str]:
        """What the doctor is told of a whole installation, but for an edge and a canary."""
        return {
            "--database-url": self.url,
            "--rater": f"127.0.0.1:{self.rater.port}",
            "--rater-ca": str(self.folder / "ca.pem"),
            "--rater-token-file": str(self.folder / "token"),
            "--rater-metrics": self.rater_metrics,
            "--proxy-metrics": f"http://127.0.0.1:{self.proxy.metrics_port}",
            "--proxy": self.proxy.url,
            "--console": self.console,
            "--ca-file": str(self.folder / "ca.pem"),
            "--spool": str(self.folder / "proxy" / "spool"),
            "--edge-secret-file": str(self.folder / "edge.secret"),
            # A busy machine must not look like a broken part.
            "--timeout": "60",
        }

    def execute(self, *commands: str) -> None:
        """Execute statements as a superuser."""
        asyncio.run(execute(self.owner_url, *commands))

    def answer_with(self, model: str, usage: object = USAGE) -> None:
        """Let the engine answer every request with this."""
        message = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
        answer = {"id": "x", "object": "chat.completion", "model": model, "choices": [message]}
        self.engine.script = engines.document(answer if usage is None else answer | {"usage": usage})

    def ask(self, model: str) -> None:
        """Have one request metered, and wait until its event was taken."""
        taken = self.proxy.metric("phoebe_events_delivered_total", outcome="stored")
        self.send(model)
        wait_until(lambda: self.proxy.metric("phoebe_events_delivered_total", outcome="stored") > taken)

    def send(self, model: str) -> None:
        """Have one request metered."""
        headers = {
            "X-Saturn-Auth-Id": "acme",
            "X-Saturn-Resource-Id": "blue",
            "X-Phoebe-Edge-Secret": EDGE_SECRET,
        }
        self.answer_with(model)
        answer = httpx.post(
            f"{self.proxy.url}/v1/chat/completions", json={"model": model}, headers=headers, timeout=20
        )
        assert answer.status_code == 200


def role_url(url: str, role: str) -> str:
    """The URL of another role, and with a password, which the test's server does not look at."""
    return url.replace("postgresql://postgres@", f"postgresql://postgres:{PASSWORD}@") + f"&role={role}"


def diagnose(
    capsys: pytest.CaptureFixture[str], options: dict[str, str], *words: str, secrets: Sequence[str] = ()
) -> Diagnosis:
    """Call the doctor. None of `secrets` may be in what it writes."""
    capsys.readouterr()
    status = main(["doctor", "--json", *(word for pair in options.items() for word in pair), *words])
    said = capsys.readouterr()
    assert not [secret for secret in secrets if secret in said.out + said.err]
    assert said.out, said.err
    told = json_documents.read(said.out)
    return Diagnosis(status, [Finding(**one) for one in told["findings"]])


class BlindEdge:
    """An edge that adds the secret and lets all else through as it came: what must never be."""

    def __init__(self, behind: str) -> None:
        class Passing(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._pass(None)

            def do_POST(self) -> None:
                self._pass(self.rfile.read(int(self.headers["Content-Length"])))

            def _pass(self, body: bytes | None) -> None:
                headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN}
                headers["X-Phoebe-Edge-Secret"] = EDGE_SECRET
                answer = httpx.request(self.command, behind + self.path, headers=headers, content=body)
                self.send_response(answer.status_code)
                self.send_header("X-Request-Id", answer.headers.get("X-Request-Id", ""))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            @override
            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Passing)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


_OWN = frozenset({"host", "connection", "content-length", "x-phoebe-edge-secret"})


@asynccontextmanager
async def installation(postgres: PostgresServer, folder: Path) -> AsyncIterator[Installation]:
    """Start everything, as long as the context lasts."""
    async with AsyncExitStack() as stack:
        owner_url = await stack.enter_async_context(database(postgres, TEMPLATE))
        name = urlsplit(owner_url).path.lstrip("/")
        role = f"service_of_{name}"
        # Of each partition the role needs rights; those of later ones are not needed here.
        async with open_pool(owner_url) as pool:
            await try_to_make_partitions(pool, datetime.now(UTC))
        statements = ROLE.format(name=role, database=name)
        await execute(owner_url, *statements.split(";\n"))
        stack.push_async_callback(execute, owner_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")
        authority = Authority()
        certificate, key = authority.issue_for_loopback().write(folder / "tls", "rater")
        replace(folder / "ca.pem", authority.pem)
        replace(folder / "edge.secret", EDGE_SECRET.encode())
        tokens = TokensFile(folder / "tokens")
        token = tokens.let_in(Right.PRODUCE, name="addon")
        replace(folder / "token", token.encode())
        for name, rights in OTHER_TOKENS.items():
            replace(folder / name, tokens.let_in(*rights, name=name).encode())
        replace(folder / "unknown", new_token().encode())
        prices = folder / "prices.yaml"
        prices.write_text(PRICES)
        metrics, console = reserve_port(), reserve_port()
        url = role_url(owner_url, role)
        rater = await stack.enter_async_context(
            served_rater(
                folder,
                {"DATABASE_URL": url},
                *("--tls-cert", str(certificate), "--tls-key", str(key), "--tokens", str(tokens.path)),
                *("--metrics", f"127.0.0.1:{metrics}", "--console", f"127.0.0.1:{console}"),
                *("--prices", str(prices)),
            )
        )
        engine = Engine()
        stack.callback(engine.close)
        proxy = await asyncio.to_thread(_proxy, folder, engine, rater)
        stack.callback(proxy.stop)
        yield Installation(
            folder,
            owner_url,
            url,
            tokens,
            rater,
            proxy,
            engine,
            f"http://127.0.0.1:{metrics}",
            f"https://127.0.0.1:{console}",
            prices,
            token,
        )


def _proxy(folder: Path, engine: Engine, rater: ServedRater) -> Proxy:
    return Proxy(
        folder / "proxy",
        *("--mode", f"reverse:{engine.url}"),
        options={
            "phoebe_rater": f"127.0.0.1:{rater.port}",
            "phoebe_rater_ca": str(folder / "ca.pem"),
            "phoebe_rater_tls": "true",
            "phoebe_rater_token_file": str(folder / "token"),
            "phoebe_edge_secret_file": str(folder / "edge.secret"),
        },
    )
